"""Weights & Biases: one W&B run for each of ours."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import wandb
from lightning.pytorch.loggers import WandbLogger
from wandb.errors import AuthenticationError
from wandb.plot.custom_chart import CustomChart

from fc2conv.config.schema import WandbConfig
from fc2conv.record import outage
from fc2conv.record.access import TIMEOUT, answers, key_configured, server_address
from fc2conv.record.arrays import Arrays
from fc2conv.record.folder import CHECKPOINTS
from fc2conv.record.mirror import Mirror, near, say, summary
from fc2conv.record.result import Result, per_class
from fc2conv.record.shown import (
    CLASS_COLUMNS,
    CONFUSION,
    CONFUSION_CHART,
    CONFUSION_COLUMNS,
    EPOCHS,
    MISCLASSIFIED,
    PER_CLASS,
    STEPS,
    SUMMED_UP,
    flat_config,
    identifying,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

INIT_TIMEOUT = TIMEOUT
"""Seconds to wait for the server at the start, before going on offline."""
MODES = get_args(wandb.Settings.model_fields["mode"].annotation)
"""What WANDB_MODE may be."""
FINISH_TIMEOUT = 60.0
"""Seconds that W&B may take at the end for what it has not uploaded yet. Without it, an outage would hold the run for
as long as it lasts."""


LONGEST_NAME = 128
"""Characters of a run's name that W&B takes."""
MOST_CELLS = 10_000
"""Of a confusion matrix, the largest first; the whole of up to 100 classes."""


class _Stepped(WandbLogger):
    """W&B's own step counts the optimiser's. So a run that goes on finds where it was, and is not logged twice."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        run = self.experiment
        known = {} if step is None else {"trainer/global_step": step}
        run.log({**metrics, **known}, step=max(step or 0, run.step))  # W&B drops what comes with an earlier step


class Tracker(Mirror, _Stepped):
    """Lightning's W&B logger on a run that is ours alone.

    Args:
        folder: the run's
    """

    label = "W&B"

    def __init__(self, run: wandb.Run, folder: Path, log_model: bool = False):
        super().__init__(experiment=run, save_dir=folder)
        self.run, self.folder, self._keeps_model = run, folder, log_model
        self._watched: set[str] = set()

    def guarded(self, what: str, action: Callable[[], object], vital: bool = True) -> None:
        """As Mirror's; the next runs of a sweep need not wait for a server that has not answered."""

        def noted() -> None:
            try:
                action()
            except TimeoutError:
                outage.note()
                raise

        super().guarded(what, noted, vital)

    def define_metrics(self) -> None:
        """What each is drawn over. A name may have a pattern's axis, but not its summary."""
        for names, axis in ((EPOCHS, "epoch"), (STEPS, "trainer/global_step")):
            for name in names:
                self.run.define_metric(name, step_metric=axis, summary="none" if name in SUMMED_UP else None)

    def epoch(self, result: Result, step: int) -> None:
        super().epoch(result, step)
        best = {f"val/{k}": v for k, v in (result.val or {}).items() if k != "n"}
        self.guarded("update the summary", lambda: self.run.summary.update(best | {"best_epoch": result.best_epoch}))

    def histograms(self, values: Mapping[str, Tensor], step: int) -> None:
        def send() -> None:
            for name in values.keys() - self._watched:
                self.run.define_metric(name, step_metric="trainer/global_step")
            self._watched |= values.keys()
            _Stepped.log_metrics(self, {name: _histogram(value) for name, value in values.items()}, step)  # type: ignore[misc]

        self.guarded("log histograms", send)

    def images(
        self,
        arrays: Arrays,
        pictures: Mapping[str, Image],
        confusion: Sequence[Sequence[int]],
        classes: Sequence[str],
    ) -> None:
        super().images(arrays, pictures, confusion, classes)

        def send() -> None:
            self._check_reachable()
            if confusion:
                self._log(
                    {CONFUSION: confusion_chart(confusion, classes), PER_CLASS: classes_chart(confusion, classes)}
                )
            if len(arrays.examples):
                self._log({MISCLASSIFIED: examples_table(arrays, classes)})

        self.guarded("log the charts of the test", send, vital=False)

    def log_pictures(self, pictures: Mapping[str, Image]) -> None:
        self._log({f"pictures/{name}": wandb.Image(picture) for name, picture in pictures.items()})

    def _log(self, values: Mapping[str, Any]) -> None:
        self.run.log(dict(values), step=self.run.step)

    def close(self, result: Result, exit_code: int) -> None:
        """Summary and state: finished for exit code 0, else failed."""
        best = self.folder / CHECKPOINTS / "best.ckpt"
        if self._keeps_model and result.status in ("done", "pruned") and best.exists():
            self.guarded("keep the model", lambda: self._keep(best), vital=False)
        self.guarded("log", lambda: self.run.log({}, commit=True))  # or W&B would take the last row for the summary
        self.guarded("update the summary", lambda: self.run.summary.update(summary(result) | identifying(result)))
        offline, where = self.run.settings._offline, self.run.settings.sync_dir
        self.guarded("finish", lambda: self.run.finish(exit_code=exit_code))
        if self.broken or (offline and not outage.is_shared()):  # of a whole sweep, one line is said at its end
            state = "is offline" if offline else "has not got all of this run, but it is kept"
            include = "" if offline else "--include-online "
            say(f"W&B {state}; to upload this run: wandb sync {include}{shlex.quote(str(near(Path(where))))}")

    def _check_reachable(self) -> None:
        """Tables and artifacts ask the server first, and would wait for one that is gone."""
        server = None if self.run.settings._offline else server_address()
        if server and not answers(server):
            raise TimeoutError(f"no answer from {server}")

    def _keep(self, best: Path) -> None:
        self._check_reachable()
        artifact = wandb.Artifact(f"model-{self.run.id}", type="model")
        # a run that is done leaves the file as it is, so that it need not be copied, nor lie somewhere else
        artifact.add_file(str(best), policy="immutable", skip_cache=True)
        self.run.log_artifact(artifact, aliases=["latest", "best"])


def confusion_chart(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> CustomChart:
    """W&B's own interactive chart, from counts in place of single images."""
    cells = [(i, j, n) for i, row in enumerate(counts) for j, n in enumerate(row)]
    if len(cells) > MOST_CELLS:
        cells = sorted(cells, key=lambda cell: cell[2], reverse=True)[:MOST_CELLS]
    table = _table(CONFUSION_COLUMNS, [[classes[i], classes[j], n] for i, j, n in cells])
    fields = {name: name for name in CONFUSION_COLUMNS}
    return wandb.plot_table(CONFUSION_CHART, table, fields, {"title": "Confusion of the test images"})


def classes_chart(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> CustomChart:
    """Test accuracy of each class that has test images, as bars."""
    rows = [[name, accuracy] for name, accuracy in per_class(confusion, classes).items() if accuracy is not None]
    table = _table(CLASS_COLUMNS, rows)
    return wandb.plot.bar(table, *CLASS_COLUMNS, title="Test accuracy of each class")


def examples_table(arrays: Arrays, classes: Sequence[str]) -> wandb.Table:
    """The most confidently misclassified test images."""
    columns = ["image", "label", "prediction", "confidence", "index"]
    values = zip(
        (wandb.Image(_shown(image)) for image in arrays.examples),
        (classes[label] for label in arrays.example_labels.tolist()),
        (classes[prediction] for prediction in arrays.example_predictions.tolist()),
        arrays.example_confidences.tolist(),
        arrays.example_indices.tolist(),
        strict=True,
    )
    return _table(columns, list(map(list, values)))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> wandb.Table:
    return wandb.Table(list(columns), data=[list(row) for row in rows])


def _shown(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """(channels, height, width) as (height, width, bands) with one band or three."""
    return (image if len(image) in (1, 3) else image[:1]).transpose(1, 2, 0)


def _histogram(values: Tensor) -> wandb.Histogram:
    """Of what is finite of them; a gradient may not be."""
    found = values.detach().float().cpu().numpy()
    return wandb.Histogram(np_histogram=np.histogram(found[np.isfinite(found)], bins=64))


def start(config: WandbConfig, result: Result, folder: Path, resumed: bool) -> Tracker | None:
    """Open the W&B run: online where a key is configured, else, or if the server does not answer, offline.

    Raises:
        Interrupted: a signal came while it waited for the server
    """
    outage.keep_quiet()
    mode = _mode(config)

    def init(mode: str) -> wandb.Run:
        return wandb.init(
            project=config.project,
            entity=config.entity,
            group=config.group,
            job_type=config.job_type,
            tags=config.tags or None,
            name=run_name(config.name or result.name, result.identity),
            notes=_encodable(config.notes) if config.notes else None,
            id=result.wandb_id,
            resume="allow" if resumed else None,
            dir=folder,
            config=flat_config(result),
            mode=mode,  # type: ignore[arg-type]
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=INIT_TIMEOUT,
                finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_TIMEOUT),
                finish_timeout_raises=True,
            ),
        )

    try:
        run = init(mode)
    except Exception as error:
        if mode == "offline":
            say(f"W&B cannot start ({type(error).__name__}: {error}); the run goes on without it", error=True)
            return None
        say(f"{_reason(error)}; this run is kept offline", error=True)
        try:
            run = init("offline")
        except Exception as second:
            say(f"W&B cannot start ({type(second).__name__}: {second}); the run goes on without it", error=True)
            return None
    result.wandb_id = run.id
    tracker = Tracker(run, folder, config.log_model)
    tracker.guarded("define the metrics", tracker.define_metrics)
    return tracker


def run_name(text: str, identity: str) -> str:
    """As W&B takes it. Of what is too long the end is cut, and the run's identity tells it from others cut alike."""
    text = _encodable(text)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - len(identity) - 2]}… {identity}"


def _encodable(text: str) -> str:
    """Without what a terminal may pass on, and UTF-8 cannot say."""
    return text.encode(errors="replace").decode()


def _mode(config: WandbConfig) -> str:
    """online, offline, or what else WANDB_MODE asks for; offline, and a word why, where online cannot be."""
    wanted = os.environ.get("WANDB_MODE") or None
    if wanted is not None and wanted not in MODES:
        say(f"WANDB_MODE: got {wanted}, expected one of {', '.join(MODES)}; this run is kept offline", error=True)
        os.environ["WANDB_MODE"] = "offline"  # W&B's library would not start with it
        return "offline"
    mode = config.mode
    if mode == "auto":
        mode = wanted or ("online" if key_configured() else "offline")  # type: ignore[assignment]
    if mode in ("offline", "dryrun", "disabled"):
        return mode
    if outage.noted():
        say("W&B is out of reach, as another run of this sweep has found; this run is kept offline", error=True)
        return "offline"
    server = server_address()
    if server and not answers(server):
        outage.note()
        say(f"W&B does not answer ({server}); this run is kept offline", error=True)
        return "offline"
    return mode


def _reason(error: Exception) -> str:
    """Why there is no W&B run online."""
    text = str(error).strip().split("\n")[0]
    if isinstance(error, AuthenticationError) or "not logged in" in text:
        return f"W&B refuses the API key ({text}); see wandb login --relogin"
    if "timed out" in text.lower():
        outage.note()
        return f"W&B does not answer ({text})"
    return f"W&B does not take the run ({type(error).__name__}: {text})"
