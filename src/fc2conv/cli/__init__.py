"""The command `fc2conv` (also `python -m fc2conv`): shows, draws, inspects and reports the recorded runs, compares,
exports, publishes and removes them, and lets networks run in a page.

One file a command. None imports torch at its top, so that help, tables and mistakes come at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from fc2conv import __version__, errors
from fc2conv.cli.claims import claims
from fc2conv.cli.diff import diff
from fc2conv.cli.export import export
from fc2conv.cli.inspect import inspect
from fc2conv.cli.playground import playground
from fc2conv.cli.plot import plot
from fc2conv.cli.publish import publish
from fc2conv.cli.report import report
from fc2conv.cli.rm import rm
from fc2conv.cli.runs import runs
from fc2conv.cli.show import show

NAME = "fc2conv"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME)
@click.pass_context
def command(context: click.Context) -> None:
    """Look at the recorded runs, compare, draw, inspect, export and remove them. (python train.py makes them.)

    RUN is a run's folder, or its name in --runs-dir, or enough of its beginning to be the only one.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for each in (claims, diff, export, inspect, playground, plot, publish, report, rm, runs, show):
    command.add_command(each)


def main(arguments: Sequence[str] | None = None) -> Any:
    """The command line's call: what goes wrong becomes one message and an exit code.

    Args:
        arguments: None: the process's own
    """
    # with standalone_mode, click would print its errors itself, in several lines
    return errors.guarded(lambda: command.main(arguments, prog_name=NAME, standalone_mode=False), explain)


def explain(error: BaseException) -> errors.Explanation:
    """How to end the command, click's own errors included."""
    if isinstance(error, click.UsageError) and error.ctx:
        return (
            error.exit_code,
            f"{' '.join(error.format_message().split())} ({error.ctx.command_path} --help says more)",
        )
    if isinstance(error, click.ClickException):
        return error.exit_code, error.format_message()
    if isinstance(error, click.Abort):  # at a question
        return 130, "stopped"
    return errors.explain(error)
