"""One HTML file that needs no other: a Jinja2 template with its CSS, ES modules, data and libraries put in.

Modules are found by an import map of data: URLs, so that they are the files that one reads and lints, and `import`
works for a page opened from disk. A Content-Security-Policy lets only the page's own scripts run and forbids every
request.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

PAGES = resources.files("fc2conv") / "pages"
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""Characters that could end the element that JSON stands in, or a line of JavaScript."""


def json_text(value: Any) -> str:
    """JSON that may stand in a script element of a UTF-8 file, whatever texts are in it: half a surrogate pair, which
    UTF-8 does not have, becomes a question mark.

    Raises:
        ValueError: a number is NaN or infinite, which JSON does not have
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode().translate(ESCAPES)


def modules_in(folder: Traversable, prefix: str) -> dict[str, str]:
    """Name that they are imported by -> source, for the ES modules of a folder: `prefix/file.js`."""
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".js")), key=lambda f: f.name)
    return {f"{prefix}/{f.name}": f.read_text("utf-8") for f in files}


@cache
def vega() -> str:
    """The module `vega`, which exports vegaEmbed, with all that it needs. Bundling takes 2 s, once a process."""
    import vl_convert

    return vl_convert.javascript_bundle("export const embed = vegaEmbed;")


@cache
def datatables() -> tuple[str, str]:
    """The module `datatables` (its default export is DataTable), and its CSS."""
    folder = resources.files("itables") / "html"
    return tuple((folder / f"dt_bundle.{kind}").read_text("utf-8") for kind in ("js", "css"))  # type: ignore[return-value]


def html(
    template: Traversable, styles: Iterable[str], modules: Mapping[str, str], data: Any, live: bool = False
) -> str:
    """The page.

    Args:
        template: gets `policy`, `nonce`, `style`, `import_map` and `data`, and all keys of `data` are left to scripts
        styles: CSS, in order
        modules: import name -> source
        data: JSON values
        live: the page may ask the server that it came from
    """
    import jinja2
    from markupsafe import Markup

    urls = {name: _data_url(name, source) for name, source in modules.items()}
    import_map, text = json_text({"imports": urls}), json_text(data)
    # nobody can write a script into the data that knows this: it depends on the data
    nonce = hashlib.sha256((import_map + text).encode()).hexdigest()[:32]
    policy = {
        "default-src": "'none'",
        "script-src": f"'nonce-{nonce}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "font-src": "data:",
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template.read_text("utf-8")).render(
        policy="; ".join(f"{key} {value}" for key, value in policy.items()),
        nonce=nonce,
        style=Markup("\n".join(styles)),
        import_map=Markup(import_map),
        data=Markup(text),
    )


def _data_url(name: str, source: str) -> str:
    # the name is what a browser's developer tools show
    code = f"{source}\n//# sourceURL=fc2conv/{name}\n".encode()
    return f"data:text/javascript;charset=utf-8;base64,{base64.b64encode(code).decode()}"
