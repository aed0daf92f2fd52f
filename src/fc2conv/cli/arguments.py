"""What the commands take: RUN, and the folder of all runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from fc2conv.errors import ConfigError, DamagedResult
from fc2conv.record.result import Result
from fc2conv.record.runs import find, folders_of_runs, label

Function = TypeVar("Function", bound=Callable[..., Any])

in_runs_dir = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of all runs.",
)


def run_argument(name: str = "run", **options: Any) -> Callable[[Function], Function]:
    """The argument RUN, with completion in the shell."""
    return click.argument(name, metavar=name.upper(), shell_complete=_complete, **options)


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    top = context.params.get("runs_dir") or Path("runs")
    names = [label(str(folder.relative_to(top))) for folder in folders_of_runs(top)] if top.is_dir() else []
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def check_runs_dir(runs_dir: Path) -> None:
    """Raise ConfigError if there is none."""
    if not runs_dir.is_dir():
        raise ConfigError("--runs-dir", f"got {runs_dir}, but there is no such folder; say where the runs lie")


def recorded(name: str, runs_dir: Path) -> tuple[Path, Result]:
    """The folder and the record that RUN means.

    Raises:
        ConfigError: there is none, or several, or a damaged one
    """
    folder = find(name, runs_dir)
    try:
        return folder, Result.read(folder)
    except DamagedResult as error:
        raise ConfigError("RUN", str(error)) from error
