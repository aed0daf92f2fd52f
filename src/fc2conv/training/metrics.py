"""What is counted over a split of the data: loss, accuracy, and the confusion matrix."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

LOSS_UNIT = 2.0**-24
"""Losses are rounded to 2^-24 nat: such sums are exact in float64, so their order does not matter, nor how the images
were dealt out among batches and ranks."""
SUM_DTYPE = torch.float32 if torch.backends.mps.is_available() else torch.float64
"""MPS has no float64: there the last digits do depend on the order."""


class Totals(Metric):
    """Loss, accuracy and count of a split: summed over batches and ranks, and divided once.

    Example:
        >>> totals = Totals()
        >>> totals.update(torch.tensor([0.5, 1.5]), torch.tensor(1), 2)
        >>> totals.compute()
        {'loss': 1.0, 'acc': 0.5, 'n': 2}
    """

    higher_is_better = None
    full_state_update = False
    loss: Tensor
    correct: Tensor
    n: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("loss", torch.zeros((), dtype=SUM_DTYPE), dist_reduce_fx="sum")
        self.add_state("correct", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, losses: Tensor, correct: Tensor, n: int | Tensor) -> None:
        """Add `n` images, `correct` of them predicted rightly; losses in nats: one an image (n,), or one sum ()."""
        # not in place: after a reset in inference mode (Trainer.validate) training could not write to it
        self.loss = self.loss + (losses.to(SUM_DTYPE) / LOSS_UNIT).round().sum()
        self.correct = self.correct + correct
        self.n = self.n + n

    def compute(self) -> dict[str, float]:
        """{loss, acc, n}; loss and acc are means over the n images."""
        loss, correct, n = self.loss.item() * LOSS_UNIT, int(self.correct.item()), int(self.n.item())
        return {"loss": loss / n, "acc": correct / n, "n": n}

    def sums(self) -> dict[str, Tensor]:
        """What `update` needs to come to the same state: {losses, correct, n}."""
        return {"losses": self.loss * LOSS_UNIT, "correct": self.correct.clone(), "n": self.n.clone()}


class Confusion(Metric):
    """Images of each true class (rows) by predicted class, summed over batches and ranks.

    torchmetrics' own compares every image with every pair of classes in deterministic mode: seconds for 47 classes.
    """

    higher_is_better = None
    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch: outputs (B, classes), labels (B,)."""
        # bincount would wait for a GPU, to know how many bins there are
        pairs = labels, outputs.argmax(1)
        self.counts = self.counts.index_put(pairs, self.counts.new_ones(()), accumulate=True)

    def compute(self) -> Tensor:
        """(classes, classes)"""
        return self.counts.cpu().clone()
