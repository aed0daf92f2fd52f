"""What a sweep shows while it runs: a live table on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fc2conv.record.folder import LOG
from fc2conv.record.result import Result
from fc2conv.record.terminal import console, duration
from fc2conv.sweep.slots import Slot
from fc2conv.sweep.trials import FINISHED, Trial

RECENT = 5
"""Ended jobs that stay in the table."""
STYLES = {"done": "green", "failed": "bold red", "interrupted": "yellow", "pruned": "cyan", "running": "bold"}


class LiveTable:
    """The state of a sweep's jobs, as their records tell it.

    Args:
        trials: known already, finished or not
        total: of trials to train, finished ones included
        slots: the jobs that run at a time
    """

    def __init__(self, trials: Sequence[Trial], total: int, slots: Sequence[Slot]):
        self.total, self.jobs = total, len(slots)
        found = [trial.result() for trial in trials if not trial.impossible]
        self.count = Counter(result.status for result in found if result and result.status in FINISHED)
        self.running: dict[str, tuple[Trial, float]] = {}
        self.elsewhere_now: set[str] = set()
        self.recent: list[tuple[Trial, Result | None]] = []
        self.seconds: list[float] = []
        self._live: Live | None = None
        self.say(self._plan(len(trials) - len(found), slots))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Holds the table on the screen."""
        if not console.is_terminal:
            yield
            return
        with Live(self._table(), console=console, transient=True, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def _plan(self, skipped: int, slots: Sequence[Slot]) -> str:
        finished = sum(self.count.values())
        parts = [f"{finished} finished before"] if finished else []
        parts += [f"{skipped} impossible"] if skipped else []
        each = f"{slots[0].threads} CPU thread{'s' * (slots[0].threads > 1)} each"
        if slots[0].gpus:
            shared = max(Counter(gpu for slot in slots for gpu in slot.gpus).values())
            each = f"GPUs {' '.join(slots[0].gpus)}, ..." + (f", {shared} on each" if shared > 1 else "")
        return (
            f"{self.total} run{'s' * (self.total != 1)}"
            + "".join(f", {p}" for p in parts)
            + f"; {self.jobs} at a time, {each}"
        )

    def started(self, trial: Trial) -> None:
        self.running[trial.folder.name] = trial, time.monotonic()
        self.elsewhere_now.discard(trial.folder.name)
        if not self._live:
            self.say(f"started      {trial.label}")

    def elsewhere(self, trial: Trial) -> None:
        self.running.pop(trial.folder.name, None)
        self.elsewhere_now.add(trial.folder.name)
        self.say(f"elsewhere    {trial.label} (another process trains it)")

    def ended(self, trial: Trial) -> None:
        _, began = self.running.pop(trial.folder.name, (trial, time.monotonic()))
        result = trial.result()
        status = result.status if result else "failed"
        self.count[status] += 1
        if status == "done":
            self.seconds.append(time.monotonic() - began)
        self.recent = [*self.recent, (trial, result)][-RECENT:]
        if not self._live or status == "failed":
            self.say(f"{status:12} {trial.label}  {_outcome(result)}", "bold red" if status == "failed" else "")
        if status == "failed":
            self.say(f"             its log: {trial.folder / LOG}")

    def note(self, trial: Trial, text: str) -> None:
        """What a job has to say."""
        self.say(f"note         {trial.label}  {text}")

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        console.print(Text(text, style=style), soft_wrap=True)

    def refresh(self) -> None:
        if self._live:
            self._live.update(self._table())

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("job", "state", "epoch", "val acc", "left"):
            table.add_column(column, justify="left" if column in ("job", "state") else "right")
        for trial, result in self.recent:
            status = result.status if result else "failed"
            table.add_row(Text(trial.label), Text(status, STYLES.get(status, "")), *_progress(trial, result), "")
        lefts = []
        for trial, _ in self.running.values():
            result = trial.result()
            left = _left(trial, result)
            lefts.append(left)
            table.add_row(
                Text(trial.label), Text("running", STYLES["running"]), *_progress(trial, result), duration(left)
            )
        return Group(table, Text(self._summary(lefts)))

    def _summary(self, lefts: list[float | None]) -> str:
        elsewhere = len(self.elsewhere_now)
        waiting = self.total - sum(self.count.values()) - len(self.running) - elsewhere
        parts = [f"{n} {status}" for status, n in self.count.items() if n]
        parts += [f"{elsewhere} elsewhere"] if elsewhere else []
        parts += [f"{len(self.running)} running"] + ([f"{waiting} waiting"] if waiting > 0 else [])
        known = [left for left in lefts if left is not None]
        if self.seconds and len(known) == len(lefts):
            mean = sum(self.seconds) / len(self.seconds)
            parts.append(f"about {duration((sum(known) + max(0, waiting) * mean) / max(1, self.jobs))} left")
        return f"{self.total} trial{'s' * (self.total != 1)}: " + ", ".join(parts)


def _progress(trial: Trial, result: Result | None) -> tuple[str, str]:
    """(epochs, validation accuracy of the best)"""
    if result is None or trial.config is None:
        return "", ""
    accuracy = f"{result.val['acc']:.4f}" if result.val else ""
    return f"{result.epochs}/{trial.config.trainer.max_epochs}", accuracy


def _left(trial: Trial, result: Result | None) -> float | None:
    """Seconds that the job still needs, by its own epochs so far."""
    if result is None or not result.epochs or "fit" not in result.seconds or trial.config is None:
        return None
    per_epoch = result.seconds["fit"] / result.epochs
    return per_epoch * (trial.config.trainer.max_epochs - result.epochs)


def _outcome(result: Result | None) -> str:
    if result is None:
        return ""
    if result.status == "failed":
        return result.error or ""
    accuracies = [f"{split} {values['acc']:.4f}" for split in ("val", "test") if (values := getattr(result, split))]
    return "  ".join([*accuracies, duration(result.seconds.get("total"))])
