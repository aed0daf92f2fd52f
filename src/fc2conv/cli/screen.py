"""How the commands print: figures are never cut, and recorded text is shown as it is."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.filesize import decimal
from rich.table import Column, Table
from rich.text import Text

from fc2conv.fields import written
from fc2conv.record import terminal

FOLDED = 10
"""Characters that are left at least of a column that is folded."""
MISSING = "-"
BYTES = ("size", "peak_memory")
"""Columns of sizes in bytes."""


def text(value: object) -> Text:
    """Recorded text: rich takes nothing in it as markup, the terminal nothing as a control character."""
    shown = "".join(c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "�" for c in str(value))
    return Text(shown)


def table(*columns: str, footer: bool = False, gap: int = 2) -> Table:
    """An empty one: the first column holds text, which is folded where the screen is narrow, the others figures."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), show_footer=footer)
    for name in columns:
        made.add_column(text(name), justify="right", no_wrap=True)
    hold_text(made.columns[0])
    return made


def hold_text(column: Column) -> None:
    """A column that holds words in place of figures: at the left, and folded."""
    column.justify, column.no_wrap, column.overflow = "left", False, "fold"


def print_table(shown: Table) -> None:
    """Print it; where it cannot fit, nothing is folded, and its lines are longer than the screen is wide."""
    console = terminal.console
    gaps = (len(shown.columns) - 1) * (shown.padding[1] + (1 if shown.box else 0))
    full, least = gaps, gaps
    for column in shown.columns:
        widest = max(cell_len(part) for cell in (column.header, *column.cells, column.footer) for part in _lines(cell))
        column.min_width = widest if column.no_wrap else min(widest, FOLDED)
        full, least = full + widest, least + column.min_width
    shown.width = full if least > console.width else None
    console.print(shown, crop=False)


def _lines(cell: object) -> list[str]:
    return str(cell).split("\n")


def line(value: object = "") -> None:
    """Print a line whole, so that it can be copied."""
    terminal.console.print(text(value), soft_wrap=True)


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def spell(name: str, value: Any) -> str:
    """A value of the column (or key) `name` as tables show it."""
    last = name.rpartition(".")[2]
    if is_missing(value):
        return ""
    if isinstance(value, (bool, str, tuple, list)) or not isinstance(value, (int, float)):
        return written(value)
    if last in ("acc", "loss"):
        return f"{value:.4f}"
    if name in BYTES:
        return decimal(int(value))
    if name.startswith("seconds"):
        return terminal.duration(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if name in ("params", "macs") else str(int(value))
    return f"{value:,.0f}" if name == "images_per_second" else f"{value:g}"
