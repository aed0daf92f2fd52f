"""A table whose figures are whole on any screen."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

LONGEST_WORD = 16
"""Characters of a text that stay together; longer words are folded where there is no room."""
UNBOUNDED = 100_000


class FigureTable(Table):
    """A table whose columns to the right hold figures, and those to the left texts.

    Where it is too wide, texts and headings are folded first, then the lines go, at last the columns themselves: each
    row becomes lines of a heading and a value. A figure is never cut.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        natural = [max(map(cell_len, _texts(console, column))) for column in self.columns]
        least = [min(width, _least(console, column)) for width, column in zip(natural, self.columns, strict=True)]
        for look in ({}, {"box": box.SIMPLE_HEAD, "show_edge": False, "padding": (0, 1, 0, 0)}, {"padding": (0, 0)}):
            for name, value in look.items():
                setattr(self, name, value)
            around = Measurement.get(console, options.update(width=UNBOUNDED), self).maximum - sum(natural)
            room = options.max_width - around
            if sum(least) <= room:
                for column, width in zip(self.columns, _dealt(natural, least, room), strict=True):
                    column.width, column.overflow = width, "fold"
                yield from super().__rich_console__(console, options)
                return
        yield from self._as_lines(console)

    def _as_lines(self, console: Console) -> RenderResult:
        if self.title:
            yield self.title
        headings = [_plain(console, column.header) for column in self.columns]
        edge = max(map(cell_len, headings))
        cells = [list(column._cells) for column in self.columns]
        footers = [[column.footer for column in self.columns]] if self.show_footer else []
        for row in (*zip_longest(*cells, fillvalue=""), *footers):
            yield Text("─" * edge)
            for heading, cell in zip(headings, row, strict=True):
                if value := _plain(console, cell).strip():
                    yield Text(f"{heading:{edge}}  {value}", overflow="fold")
        if self.caption:
            yield self.caption


def _plain(console: Console, cell: Any) -> str:
    return cell.plain if isinstance(cell, Text) else console.render_str(str(cell)).plain


def _texts(console: Console, column: Column) -> list[str]:
    return [_plain(console, cell) for cell in (column.header, *column._cells, column.footer)]


def _least(console: Console, column: Column) -> int:
    """The width that leaves the figures, or else the words, of a column whole."""
    words = [min(cell_len(word), LONGEST_WORD) for text in _texts(console, column) for word in text.split()]
    if column.justify != "right":
        return max(words, default=0)
    heading = [cell_len(word) for word in _plain(console, column.header).split()]
    figures = [cell_len(text) for text in _texts(console, column)[1:]]
    return max(*heading, *figures, 0)


def _dealt(natural: list[int], least: list[int], room: int) -> list[int]:
    """The widths of the columns: what each would like, or its least and a fair share of what is left."""
    spare, wanted = room - sum(least), sum(natural) - sum(least)
    if spare >= wanted:
        return natural
    return [low + (high - low) * spare // wanted for high, low in zip(natural, least, strict=True)]
