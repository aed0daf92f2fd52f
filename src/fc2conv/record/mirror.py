"""What every tracker has in common: it mirrors the record; whatever happens to it, training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lightning.pytorch.loggers import Logger

from fc2conv.errors import Interrupted
from fc2conv.record.arrays import Arrays
from fc2conv.record.folder import log
from fc2conv.record.result import Result
from fc2conv.record.terminal import console

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class Mirror(Logger):
    """Comes before one of Lightning's loggers among a class's bases. Failures are said once and then ignored."""

    label: ClassVar[str]
    """How its messages call it."""
    broken = False

    def guarded(self, what: str, action: Callable[[], object], vital: bool = True) -> None:
        """Do `action`; if the tracker fails, say so and, if that was `vital`, leave it alone from then on."""
        if self.broken:
            return
        try:
            action()
        except Interrupted as error:
            self.broken = True
            say(f"{error}: no longer waiting for {self.label}", error=True)
        except Exception as error:
            self.broken = vital
            reason = f"{type(error).__name__}: {error}"
            without = "it" if vital else "that"
            say(f"{self.label} failed to {what} ({reason}); the run goes on without {without}", error=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """An epoch's metrics get the numbers that metrics.csv has: Lightning counts epochs and steps from 0. How many
        images were counted is no metric to look at."""
        metrics = {name: value for name, value in metrics.items() if not name.endswith("/n")}
        if step is not None and "epoch" in metrics and not any(name.startswith("test/") for name in metrics):
            metrics, step = {**metrics, "epoch": metrics["epoch"] + 1}, step + 1
        self.guarded("log", lambda: super(Mirror, self).log_metrics(dict(metrics), step))  # type: ignore[safe-super]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        self.guarded("log the config", lambda: super(Mirror, self).log_hyperparams(*args, **kwargs))  # type: ignore[safe-super]

    def save(self) -> None:
        """They write by themselves."""

    def finalize(self, status: str = "success") -> None:
        """Fitting has ended, or testing; the run ends with `close`."""

    def images(
        self,
        arrays: Arrays,
        pictures: Mapping[str, Image],
        confusion: Sequence[Sequence[int]],
        classes: Sequence[str],
    ) -> None:
        """What a run has left to look at, once it was tested. A tracker may show more of it than the pictures.

        Args:
            arrays: what the pictures show, as numbers
            pictures: by name: confusion, filters, misclassified, features_1, ...; fewer, if some cannot be drawn
            confusion: test images of each true class (rows) by predicted class
            classes: their names
        """
        self.guarded("log images", lambda: self.log_pictures(pictures))

    def epoch(self, result: Result, step: int) -> None:
        """An epoch has ended, and the record has its figures.

        Args:
            step: steps of the optimiser so far
        """
        if result.images_per_second is not None:
            figures = {"images_per_second": result.images_per_second}
            self.guarded("log", lambda: super(Mirror, self).log_metrics(figures, step))  # type: ignore[safe-super]

    def histograms(self, values: Mapping[str, Tensor], step: int) -> None:
        """Of gradients and weights, by name; only a tracker that was asked for them gets them."""

    def log_pictures(self, pictures: Mapping[str, Image]) -> None:
        """Show them by their names, under pictures/."""
        raise NotImplementedError

    def close(self, result: Result, exit_code: int) -> None:
        """Summary and state: finished for exit code 0, else failed."""
        raise NotImplementedError


def summary(result: Result) -> dict[str, Any]:
    """What came of a run, by the names that trackers show."""
    found = {
        f"{split}/{k}": v for split in ("val", "test") for k, v in (getattr(result, split) or {}).items() if k != "n"
    }
    return found | {"status": result.status, "best_epoch": result.best_epoch, "seconds": result.seconds.get("total")}


def description(result: Result) -> dict[str, Any]:
    """What a run is: its config, without where it lies, and its counts."""
    return {
        **{k: v for k, v in result.config.items() if k not in ("ckpt", "resume", "runs_dir", "logger")},
        "parameters": result.params["total"],
        "macs": result.macs,
        "receptive_field": result.receptive_field,
        "identity": result.identity,
    }


def say(text: str, error: bool = False) -> None:
    """On the screen and in train.log."""
    log.warning(text) if error else log.info(text)
    console.print(text, markup=False, soft_wrap=True)


def near(path: Path) -> Path:
    """`path` as seen from here, if it lies here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
