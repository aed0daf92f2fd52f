"""The learning rate range test (Smith 2017): the loss while the rate rises from step to step, and a rate to try."""

from __future__ import annotations

import csv
import io
import math
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.tuner.tuning import Tuner

from fc2conv.data.image_data import ImageData
from fc2conv.record import terminal
from fc2conv.record.result import write_atomically
from fc2conv.training.classifier import Classifier

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 200
"""The rates that are tried, on a logarithmic scale, one a step."""
SETTLED = 10
"""Steps until the running mean of the loss says something."""
LEARNED = 0.95
"""Of the loss at the beginning: where it never falls below that, nothing was learned at any rate."""
CSV, PICTURE = "lr_find.csv", "lr_find.png"


@dataclass(frozen=True)
class Curve:
    """Rates in rising order, and the training loss at each, a running mean over the steps so far."""

    rates: list[float]
    losses: list[float]

    def best(self) -> float | None:
        """The rate with the least loss; None if the loss did not fall.

        Example:
            >>> Curve([10.0**i for i in range(-12, 2)], [2.0] * 11 + [1.5, 1.0, 3.0]).best()
            1.0
        """
        points = self._settled()
        if not points:
            return None
        rate, least = min(points, key=lambda point: point[1])
        return rate if least < LEARNED * points[0][1] else None

    def _settled(self) -> list[tuple[float, float]]:
        """(rate, loss) without the first few, and without losses that are not finite."""
        points = list(zip(self.rates, self.losses, strict=True))[SETTLED:]
        return [(rate, loss) for rate, loss in points if math.isfinite(loss)]

    def suggestion(self) -> float | None:
        """A tenth of the best rate, to two digits. Lightning suggests the rate where the loss falls fastest, in units
        of the rate, which is always one of the smallest."""
        best = self.best()
        return None if best is None else float(f"{best / 10:.1e}")

    def write(self, folder: Path) -> None:
        """lr_find.csv and lr_find.png."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("lr", "loss"))
        writer.writerows(zip(self.rates, self.losses, strict=True))
        write_atomically(folder / CSV, text.getvalue())
        self.chart().save(folder / PICTURE, scale_factor=2)

    def chart(self) -> Any:
        """Loss against rate, with a line at the suggestion, as an Altair chart."""
        import altair  # takes a second, and only this task draws

        points = [{"lr": rate, "loss": loss} for rate, loss in self._settled()]
        x = altair.X("lr:Q", title="learning rate", scale=altair.Scale(type="log"))
        x = x.axis(format="~e", grid=False)
        y = altair.Y("loss:Q", title="training loss, running mean")
        if points:  # what explodes leaves the picture at the top
            y = y.scale(zero=False, domainMax=1.2 * points[0]["loss"])
        drawn: Any = altair.Chart(_table(points)).mark_line(clip=True).encode(x=x, y=y)
        if (suggested := self.suggestion()) is not None:
            marked = altair.Chart(_table([{"lr": suggested, "text": f"optim.lr={suggested:g}"}]))
            rule = marked.mark_rule(strokeDash=[4, 3]).encode(x="lr:Q")
            drawn += rule + marked.mark_text(align="left", dx=5, y=10).encode(x="lr:Q", text="text:N")
        return drawn.properties(width=480, height=300)


def _table(rows: list[dict[str, Any]]) -> Any:
    """Rows as Altair takes them without pandas."""
    import altair

    return altair.Data(values=rows)  # type: ignore[no-untyped-call]


def search(trainer: Trainer, module: Classifier, data: ImageData) -> Curve:
    """Train with rising rates until the loss explodes; `module` is afterwards as it was before.

    Args:
        trainer: with at least STEPS epochs, however few batches these have; its default_root_dir takes a file meanwhile
    """
    module.may_diverge = True
    bar = nullcontext() if terminal.console.is_terminal else redirect_stderr(io.StringIO())
    try:
        with bar:
            found = Tuner(trainer).lr_find(
                module, datamodule=data, min_lr=LOWEST, max_lr=HIGHEST, num_training=STEPS, update_attr=False
            )
    finally:
        module.may_diverge = False
    assert found is not None
    return Curve(found.results["lr"], found.results["loss"])
