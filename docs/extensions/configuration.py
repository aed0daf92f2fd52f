"""`configuration`: the keys of a config dataclass, each with its type, its default and its field's docstring. `fields`:
the fields of any other dataclass.

    ```{configuration} fc2conv.config.schema.DataConfig
    :prefix: data
    ```

A field without a docstring is a warning, and so ends the build.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from inspect import getdoc
from typing import Any, cast

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from fc2conv.fields import Sides, written

logger = logging.getLogger(__name__)
CLOSED = "````"
"""A fence around others."""
HIDDEN = ("family",)
"""What is chosen, and not set: model=lenet."""


def documented(config: type[Any]) -> dict[str, str]:
    """Field -> the docstring beneath it, those of its base classes included."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__[:-1]):
        docs = ModuleAnalyzer.for_module(cls.__module__).find_attr_docs()
        found |= {name: "\n".join(lines).strip() for (owner, name), lines in docs.items() if owner == cls.__name__}
    return found


def default_of(field: Field[Any]) -> str:
    """A field's default as it is written on the command line."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return "{}" if value == {} else written(value)


def spelled(hint: Any) -> str:
    """A type in the words of the command line.

    Example:
        >>> spelled(tuple[int, ...] | Literal["same"] | None)
        '[int, ...] | same | null'
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(spelled, args))
    if origin is typing.Literal:
        return " | ".join(map(str, args))
    if origin is tuple:
        inside = spelled(args[0])
        return f"[{inside}, ...]" if args[-1] is Ellipsis else f"[{', '.join(map(spelled, args))}]"
    if hint is Sides:
        return "HEIGHTxWIDTH"
    if origin is dict:
        return "{name: value, ...}"
    return "null" if hint is type(None) else str(getattr(hint, "__name__", hint))


class Configuration(SphinxDirective):
    """One `confval` for each field, but for those that are groups of keys themselves.

    Of a key that several models have, links lead to the first.
    """

    required_arguments = 1
    option_spec = {"prefix": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # of each build: what is said lies in many files
        config = imported(self.arguments[0])
        prefix = f"{self.options['prefix']}." if "prefix" in self.options else ""
        seen = cast(set[str], self.env.current_document.setdefault("config_keys", set()))
        text, hints = class_of(self.arguments[0], config), typing.get_type_hints(config)
        for field, doc in described(config, self.get_location()):
            key = prefix + field.name
            text += [
                "```{confval} " + key,
                f":type: '`{spelled(hints[field.name])}`'",
                f":default: '`{default_of(field)}`'",
            ]
            text += [":no-index:"] * (key in seen)
            text += ["", *doc.splitlines(), "```", ""]
            seen.add(key)
        return self.parse_text_to_nodes("\n".join(text))


class Fields(SphinxDirective):
    """A dataclass with its fields."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        config = imported(self.arguments[0])
        text, hints = class_of(self.arguments[0], config)[:-2], typing.get_type_hints(config)
        for field, doc in described(config, self.get_location()):
            hint = hints[field.name]
            hint = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            text += ["", "```{py:attribute} " + field.name, f":type: {json.dumps(hint)}", "", *doc.splitlines(), "```"]
        text += [CLOSED]
        return self.parse_text_to_nodes("\n".join(text))


def imported(path: str) -> type[Any]:
    module, _, name = path.rpartition(".")
    return cast(type[Any], getattr(import_module(module), name))


def class_of(path: str, config: type[Any]) -> list[str]:
    return [CLOSED + "{py:class} " + path, "", *(getdoc(config) or "").splitlines(), CLOSED, ""]


def described(config: type[Any], location: Any) -> list[tuple[Field[Any], str]]:
    """The fields, each with its docstring; one without is a warning."""
    docs = documented(config)
    shown = [field for field in fields(config) if field.name not in HIDDEN and not is_dataclass(field.default)]
    for field in shown:
        if field.name not in docs:
            logger.warning("%s.%s has no docstring", config.__name__, field.name, location=location)
    return [(field, docs.get(field.name, "")) for field in shown]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("configuration", Configuration)
    app.add_directive("fields", Fields)
    return {"parallel_read_safe": True}
