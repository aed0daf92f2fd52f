"""`help-of`: what `fc2conv COMMAND --help` says, asked of the command itself."""

from __future__ import annotations

from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fc2conv import cli

WIDTH = 80


def helps() -> dict[str, str]:
    """Command -> its help."""
    settings = cli.command.context_settings
    parent = click.Context(cli.command, info_name=cli.NAME, terminal_width=WIDTH, **settings)
    found = {}
    for name in cli.command.list_commands(parent):
        command = cli.command.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
        found[name] = command.get_help(context)
    return found


class HelpOf(SphinxDirective):
    """A section for each command of `fc2conv`, with its help."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # of each build: what is said lies in many files
        found: list[nodes.Node] = []
        for name, text in helps().items():
            section = nodes.section(ids=[f"fc2conv-{name}"], names=[f"fc2conv {name}"])
            section += nodes.title("", "", nodes.literal("", f"fc2conv {name}"))
            section += nodes.literal_block("", text, language="text")
            found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("help-of", HelpOf)
    return {"parallel_read_safe": True}
