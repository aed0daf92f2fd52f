"""`help-of`: what `fc2conv COMMAND --help` says, asked of the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fc2conv import cli

WIDTH = 80
SETTINGS = cli.command.context_settings


def helps() -> dict[str, str]:
    """Command -> its help, those of a group's commands after the group's: claims, claims lab, ..."""
    return dict(_helps(cli.command, click.Context(cli.command, info_name=cli.NAME, terminal_width=WIDTH, **SETTINGS)))


def _helps(group: click.Group, parent: click.Context, before: str = "") -> Iterator[tuple[str, str]]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
        yield before + name, command.get_help(context)
        if isinstance(command, click.Group):
            yield from _helps(command, context, f"{before}{name} ")


class HelpOf(SphinxDirective):
    """A section for each command of `fc2conv`, with its help."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # of each build: what is said lies in many files
        found: list[nodes.Node] = []
        for name, text in helps().items():
            section = nodes.section(ids=[f"fc2conv-{name.replace(' ', '-')}"], names=[f"fc2conv {name}"])
            section += nodes.title("", "", nodes.literal("", f"fc2conv {name}"))
            section += nodes.literal_block("", text, language="text")
            found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("help-of", HelpOf)
    return {"parallel_read_safe": True}
