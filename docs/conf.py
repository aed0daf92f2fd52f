"""The site's settings: `make docs` builds it into docs/_build/html. Needs no network, then or when it is read."""

import sys
from pathlib import Path

import fc2conv

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "fc2conv"
author = "the authors of fc2conv"
version = release = fc2conv.__version__
html_title = "fc2conv"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_show_copyright = False
smartquotes_action = "D"  # dashes, and no curly quotes: "model=lenet" is code
toc_object_entries_show_parents = "hide"
html_show_search_summary = False  # fetches the pages it found, which a browser refuses to a page from disk

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # ours, in extensions/
    "configuration",
    "commands",
    "public_names",
    "docstrings",
    "made_pages",
    "mathml",
    "rooms",
    "offline",
]
exclude_patterns = ["_build", "extensions"]
default_role = "literal"  # docstrings have code in single backticks

myst_heading_anchors = 3
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False  # Lightning's are about Lightning
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True
add_module_names = False
napoleon_use_rtype = False
napoleon_use_ivar = True

nitpicky = True
OTHERS = r"(torch|lightning|pandas|numpy|collections|pathlib|os|typing|Path|Any|Callable|pd|nn|Tensor|Net)"
nitpick_ignore_regex = [("py:.*", rf"{OTHERS}(\..*)?")]  # their inventories would have to be fetched
made_pages = ["../reports"]
html_extra_path = ["playground.html"]
