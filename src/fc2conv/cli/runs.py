"""`fc2conv runs`: the recorded runs as a table."""

from __future__ import annotations

import difflib
import json
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import yaml
from rich.text import Text

from fc2conv.api import frame_of
from fc2conv.cli import screen
from fc2conv.cli.arguments import check_runs_dir, in_runs_dir
from fc2conv.errors import ConfigError
from fc2conv.fields import written
from fc2conv.record.result import finite
from fc2conv.record.runs import collect, disk_usage, listing, names_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("run", "model", "params", "macs", "val.acc", "test.acc")
FAILED_COLUMNS = ("run", "model", "error")
HEADINGS = {"macs": "MACs", "val.acc": "val acc", "test.acc": "test acc"}
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
CONDITION = re.compile(r"\s*([^\s=<>!]+)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """Which runs, and how they are shown."""

    where: tuple[str, ...] = ()
    failed: bool = False
    everything: bool = False
    best: int | None = None
    sort: str | None = None
    columns: str | None = None
    size: bool = False
    form: Literal["csv", "json"] | None = None


@click.command()
@click.option("--where", multiple=True, metavar="KEY=VALUE", help="Only these; also != < > <= >=. May be repeated.")
@click.option("--failed", is_flag=True, help="Only those that failed, with their errors.")
@click.option("--all", "everything", is_flag=True, help="Those made with debug= too.")
@click.option("--best", type=click.IntRange(min=1), metavar="N", help="The N of the best validation accuracy.")
@click.option("--sort", metavar="COLUMN", help="By this column; -COLUMN: largest first.")
@click.option("--columns", metavar="A,B,...", help=f"These columns.  [default: {','.join(COLUMNS)}]")
@click.option("--size", is_flag=True, help="What each takes on the disk, and all together.")
@click.option("--csv", "form", flag_value="csv", help="For scripts: all columns, all digits.")
@click.option("--json", "form", flag_value="json", help="The same as JSON.")
@in_runs_dir
def runs(runs_dir: Path, **options: Any) -> None:
    """The recorded runs as a table.

    \b
    fc2conv runs --where model.kernel_size=5 --where 'val.acc>0.9'
    fc2conv runs --best 5 --columns run,optim.lr,val.acc,seconds
    fc2conv runs --sort -size --size

    Columns are the keys of the config, and those of fc2conv.results(): status, epochs, seconds, ... A key's last part
    is enough where it is the only one: kernel_size.
    """
    check_runs_dir(runs_dir)
    wanted, found = Wanted(**options), collect(runs_dir)
    frame = frame_of(found.runs)
    frame.insert(0, "run", names_of([str(folder.relative_to(runs_dir)) for folder in found.runs]))
    if wanted.size:
        frame["size"] = [disk_usage(folder) for folder in found.runs]
    selected, hidden = select(frame, wanted)
    if wanted.form:
        _print_data(selected, wanted)
    elif len(selected):
        _print_table(selected, wanted)
    else:
        screen.line(f"no {'such ' if len(frame) else ''}runs in {runs_dir}/")
    if hidden:
        click.echo(f"{hidden} made with debug= left out; --all shows them", err=True)
    if found.unreadable:
        names = listing(found.unreadable)
        click.echo(f"without a record that can be read, left out: {names}", err=True)


# --- which


def select(frame: pd.DataFrame, wanted: Wanted) -> tuple[pd.DataFrame, int]:
    """(the runs that are wanted, in order; how many debug runs were left out).

    Raises:
        ConfigError: a column that does not exist, or a condition that makes no sense
    """
    hidden = 0
    if "debug" in frame and not wanted.everything:
        debug = frame["debug"].map(lambda v: not screen.is_missing(v) and bool(v)).astype(bool)
        frame, hidden = frame[~debug], int(debug.sum())
    for text in wanted.where:
        frame = frame[_holds(frame, text)]
    if wanted.failed:
        frame = frame[frame["status"] == "failed"]
    if wanted.best:
        done = frame[(frame["status"] == "done") & frame["val.acc"].notna()]
        frame = done.sort_values("val.acc", ascending=False, kind="stable").head(wanted.best)
    if wanted.sort:
        frame = _sorted(frame, wanted.sort)
    return frame, hidden


def column(frame: pd.DataFrame, name: str, option: str) -> str:
    """The column that `name` means: its own, or the only one whose last part it is.

    Raises:
        ConfigError: naming the option, and what was probably meant
    """
    known = list(frame.columns)
    if name in known:
        return name
    if name == "size":
        raise ConfigError(option, "got size, which is known with --size")
    ending = [k for k in known if k.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise ConfigError(option, f"got {name}, which may be {listing(ending)}")
    parts = {k.rpartition(".")[2]: k for k in reversed(known)} | {k: k for k in known}
    close = difflib.get_close_matches(name, parts, n=1)
    hint = f"did you mean {parts[close[0]]}?" if close else "the first line of fc2conv runs --csv has them all"
    raise ConfigError(option, f"got {name}, no such column; {hint}")


def _holds(frame: pd.DataFrame, text: str) -> pd.Series[bool]:
    match = CONDITION.fullmatch(text)
    if not match:
        raise ConfigError("--where", f"got {text}, expected KEY=VALUE, or another of != < > <= >=")
    name, how, right = match.groups()
    cells = frame[column(frame, name, "--where")]
    if how in ORDERED:
        try:
            bound = float(right)
        except ValueError:
            raise ConfigError("--where", f"got {text}, expected a number behind {how}") from None
        return cells.map(lambda cell: _is_number(cell) and ORDERED[how](cell, bound)).astype(bool)
    equal = cells.map(lambda cell: _is(cell, right)).astype(bool)
    return ~equal if how == "!=" else equal


def _is(cell: Any, right: str) -> bool:
    """Whether the cell is what `right` says on the command line: 5, null, true, [6,16], same."""
    if screen.is_missing(cell):
        return right in ("", "null")
    if written(cell) in (right, right.replace(" ", "")):
        return True
    try:
        value = yaml.safe_load(right)
        value = float(value) if isinstance(value, str) and _is_number(cell) else value  # YAML reads 1e-3 as text
    except (ValueError, yaml.YAMLError):
        return False
    return type(value) is not bool and type(cell) is not bool and bool(cell == value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not screen.is_missing(value)


def _sorted(frame: pd.DataFrame, text: str) -> pd.DataFrame:
    """Numbers, then text; a run without a value comes last either way."""
    cells = list(frame[column(frame, text.removeprefix("-"), "--sort")])
    there = [i for i, cell in enumerate(cells) if not screen.is_missing(cell)]
    missing = [i for i, cell in enumerate(cells) if screen.is_missing(cell)]

    def rank(i: int) -> tuple[bool, float, str]:
        number = _is_number(cells[i])
        return not number, float(cells[i]) if number else 0.0, "" if number else str(cells[i])

    return frame.iloc[sorted(there, key=rank, reverse=text.startswith("-")) + missing]


# --- how


def _shown(frame: pd.DataFrame, wanted: Wanted, default: Sequence[str]) -> list[str]:
    """The columns: those asked for, or the usual ones with those that the other options speak of."""
    if wanted.columns is not None:
        return [column(frame, name.strip(), "--columns") for name in wanted.columns.split(",")]
    spoken_of = [match[1] for text in wanted.where if (match := CONDITION.fullmatch(text))]
    spoken_of += [wanted.sort.removeprefix("-")] if wanted.sort else []
    more = [column(frame, name, "--where") for name in spoken_of] + (["size"] if wanted.size else [])
    return list(dict.fromkeys([*default, *(name for name in more if name != "status")]))


def _print_data(frame: pd.DataFrame, wanted: Wanted) -> None:
    frame = frame[_shown(frame, wanted, list(frame.columns))]
    if wanted.form == "csv":
        click.echo(frame.to_csv(index=False), nl=False)
    else:
        click.echo(json.dumps(finite(frame.to_dict("records")), indent=1))


def _print_table(frame: pd.DataFrame, wanted: Wanted) -> None:
    names = _shown(frame, wanted, FAILED_COLUMNS if wanted.failed else COLUMNS)
    made = screen.table(*(HEADINGS.get(name, name) for name in names), footer=wanted.size and "size" in names)
    for shown, name in zip(made.columns, names, strict=True):
        if any(isinstance(cell, str) for cell in frame[name]):
            screen.hold_text(shown)
    if made.show_footer:
        made.columns[0].footer = "total"
        made.columns[names.index("size")].footer = screen.spell("size", int(frame["size"].sum()))
    for _, row in frame[list(dict.fromkeys([*names, "status"]))].iterrows():
        made.add_row(*(_cell(row, name) for name in names))
    screen.print_table(made)


def _cell(row: pd.Series[Any], name: str) -> Text:
    value = row[name]
    if name == "test.acc" and screen.is_missing(value):
        value = row["status"]
    elif name == "error" and isinstance(value, str):
        value = value.splitlines()[0] if value else ""
    return screen.text(screen.spell(name, value))
