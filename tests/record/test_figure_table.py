"""What the terminal shows at 80 columns, and down to 60: every figure whole, in one piece."""

from __future__ import annotations

import io
import random
import re

import pytest
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.record import terminal
from fc2conv.record.figure_table import FigureTable
from fc2conv.record.result import Result


def shown(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    return text


def is_whole(figure: str, text: str) -> bool:
    """Whether it stands in one line, with nothing of a number on either side."""
    return re.search(rf"(?<![\d.,±]){re.escape(figure)}(?![\d.,…])", text) is not None


def random_table(generator: random.Random) -> tuple[FigureTable, list[str]]:
    """A table as wide as a sweep over several keys has it, and its figures."""
    look = generator.choice([{}, {"show_lines": True}, {"box": None, "pad_edge": False}, {"box": box.SQUARE}])
    table = FigureTable(title="a title", show_footer=generator.random() < 0.5, **look)
    columns = [generator.choice(["left", "right"]) for _ in range(generator.randint(2, 12))]
    for i, justify in enumerate(columns):
        table.add_column(generator.choice([f"k{i}", "receptive field", "model.kernel_size"]), justify=justify)  # type: ignore[arg-type]
    figures = []
    for _ in range(generator.randint(1, 4)):
        cells = []
        for justify in columns:
            size = 10 ** generator.randint(1, 12)
            count = f"{generator.randint(size, 10 * size):,}"
            text = f"{count} ± 0.0012" if generator.random() < 0.3 else count
            cells.append(text if justify == "right" else "lenet_modern with [bold]a[/] word")
            figures += [text] if justify == "right" else []
        table.add_row(*cells)
    return table, figures


@pytest.mark.parametrize("seed", range(40))
def test_no_figure_is_cut(seed: int) -> None:
    for width in (120, 80, 60):
        table, figures = random_table(random.Random(seed))
        text = shown(table, width)
        assert [figure for figure in figures if not is_whole(figure, text)] == []
        assert "a title" in " ".join(text.split())


def test_what_fits_is_as_rich_has_it() -> None:
    """Rich's own table is the oracle."""
    made: list[Table] = [Table(show_footer=True), FigureTable(show_footer=True)]
    for table in made:
        table.add_column("layer", footer="total")
        table.add_column("MACs", justify="right", footer="1,234,567")
        table.add_row("conv1", "1,000,000")
    assert shown(made[0], 80) == shown(made[1], 80)


@pytest.mark.parametrize(
    "geometry",
    [plan(LeNetConfig(), (1, 28, 28), 10), plan(LadderConfig(constraint="dense"), (1, 1000, 1000), 10)],
    ids=["lenet", "megapixel"],
)
def test_the_layer_table_at_80_columns(geometry: terminal.Geometry) -> None:
    """With the megapixel example of the book: 10^12 weights and 10^6 biases."""
    text = shown(terminal.layer_table("a name", geometry), 80)
    figures = [f"{n:,}" for row in geometry.rows for n in (row.params, row.macs) if n]
    figures += [f"{geometry.params:,}", f"{geometry.macs:,}", *(terminal.spell(row.output) for row in geometry.rows)]
    assert [figure for figure in figures if not is_whole(figure, text)] == []


def test_an_epoch_is_one_line() -> None:
    metrics = {"loss": 0.19021, "acc": 0.92964}
    line = terminal.epoch_line("100/100", metrics, metrics, True, 9999.4)
    assert line == "epoch 100/100  train loss 0.1902 acc 0.9296  val loss 0.1902 acc 0.9296 * 9999 s"
    assert len(line) <= 80


@pytest.mark.parametrize(
    ("family", "smoothing", "note"),
    [
        ("lenet", 0.1, "train loss with label smoothing 0.1, val and test loss without"),
        ("lenet", 0.0, None),
        ("lenet5", 0.1, None),  # a loss of its own
    ],
)
def test_a_smoothed_loss_is_told_from_the_others(family: str, smoothing: float, note: str | None) -> None:
    config = {"optim": {"label_smoothing": smoothing}}
    metrics = {"loss": 0.5, "acc": 0.75, "n": 8}
    result = Result("done", "", "", "", 0, [], config, {}, family=family, train=metrics, val=metrics, best_epoch=3)
    text = " ".join(shown(terminal.result_table(result), 80).split())
    assert terminal.smoothing_note(family, config) == note
    assert ("label smoothing" in text) == (note is not None)
    if note:
        assert note in text
