"""Docstrings as they are written here.

What an annotation or a docstring calls by its last name is found: ConfigError is fc2conv.errors.ConfigError. (A name
that two documented objects have stays unresolved, which nitpicky reports.) And an attribute's docstring is a sentence,
in which a colon does not end a type, as napoleon would have it.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Node | None:
    if node.get("refdomain") != "py":
        return None
    name = node["reftarget"].rpartition(".")[2]
    objects = env.domains.python_domain.objects
    found = [full for full, entry in objects.items() if full.rpartition(".")[2] == name and not entry.aliased]
    found = [full for full in found if full.rpartition(".")[0] not in objects]  # no attributes of classes
    if len(found) != 1:
        return None
    entry = objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, found[0])


def keep_sentence(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment: napoleon looks for a type in the first line


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", keep_sentence, priority=400)  # before napoleon
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
