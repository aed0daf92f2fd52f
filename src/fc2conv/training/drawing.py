"""A run's pictures, as it ends. What cannot be drawn is said, once, and stops nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from fc2conv.data.image_data import ImageData
from fc2conv.errors import Interrupted
from fc2conv.pictures import folder as pictures
from fc2conv.record import terminal
from fc2conv.record.arrays import Arrays
from fc2conv.record.folder import log
from fc2conv.record.result import Result
from fc2conv.training.arrays import Mistakes, Predictions, collect

if TYPE_CHECKING:
    from PIL.Image import Image


class Drawing:
    """Draws into a run's folder.

    Args:
        run: its folder
    """

    def __init__(self, run: Path):
        self.run = run
        self._failed = False

    def leave_arrays(self, net: nn.Module, data: ImageData, mistakes: Mistakes, predictions: Predictions) -> Arrays:
        """Write down what the pictures are drawn from, and the predictions of the test."""
        arrays = Arrays()
        with self._unless_it_fails():
            arrays = collect(net, data, mistakes, predictions)
            arrays.write(self.run)
        return arrays

    def images(self, arrays: Arrays, confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> dict[str, Image]:
        """All but the learning curves, which are drawn when the record is complete."""
        found = {}
        with self._unless_it_fails():
            found = pictures.images(arrays, confusion, classes)
            pictures.save(found, self.run / pictures.FOLDER)
        return found

    def curves(self, result: Result) -> None:
        """A signal ends it, and nothing else: the run is over."""
        with suppress(Interrupted, KeyboardInterrupt), self._unless_it_fails():
            pictures.save_curves(self.run, result)

    @contextmanager
    def _unless_it_fails(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._failed:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                text = f"pictures cannot be drawn ({reason}); to draw them again: fc2conv plot {self.run}"
                log.warning(text)
                terminal.console.print(text, markup=False, soft_wrap=True)
            self._failed = True
