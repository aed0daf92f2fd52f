"""The command line from Python: run, sweep, results. From any folder, a script without a main guard, a notebook."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fc2conv.config.schema import dotted
from fc2conv.errors import ConfigError
from fc2conv.record.result import SPLITS, Result
from fc2conv.record.runs import collect

if TYPE_CHECKING:
    import pandas as pd

    from fc2conv.sweep.trials import Trial


def run(*overrides: str, **values: Any) -> Result | None:
    """Train one network, as `python train.py` does: same keys, same defaults, same folder runs/ (of where you are).

    Args:
        overrides: as on the command line, e.g. "model=lenet"
        values: the same as keyword arguments; a dotted key goes in a dictionary

    Returns:
        The run's record, which is also in its folder `<runs_dir>/<name>`. With task="test" it has the test metrics of
        `ckpt`; with task="plan" only the counts, and the status skipped. So it is with task="inspect", which has drawn
        its pictures, and with task="lr_find", where `suggested_lr` is a rate to try. Under torchrun or srun, None on
        all ranks but the first.

    Raises:
        ConfigError: a wrong key or value, before anything is written
        Interrupted, NonFiniteLoss, RankFailed: what ended the run; its folder has it on record

    Example:
        >>> import fc2conv
        >>> planned = fc2conv.run("model.kernel_size=3", "model.padding=same", model="lenet", task="plan")
        lenet on 1x28x28
        ...
        >>> planned.params["total"]
        106154
        >>> result = fc2conv.run(model="lenet", **{"data.train_size": 1000, "trainer.max_epochs": 2})  # doctest: +SKIP
        >>> result.test["acc"]  # doctest: +SKIP
    """
    from fc2conv.compose import compose_config, overrides_of
    from fc2conv.entry import execute

    return execute(*compose_config([*overrides, *overrides_of(values)]))


def sweep(*overrides: str, **values: Any) -> pd.DataFrame:
    """Train many networks side by side, as `python train.py -m` does; the same call goes on with what was interrupted.

    Args:
        overrides: as on the command line, e.g. "sweep=kernel_size" or "seed=0,1,2"
        values: the same as keyword arguments. A list, or a range, holds the values to try; a tuple is a single value
            that is a list, e.g. [(6, 16), (8, 16)] are two choices of model.channels

    Returns:
        The records of its runs, as `results` has them; none with task="plan"

    Raises:
        ConfigError: a wrong key or value, before anything runs
        SweepEnded: when it is over and not all went well. The others' records are in the sweep's folder, for `results`.

    Example:
        >>> frame = fc2conv.sweep(model=["mlp", "lenet"], seed=range(3), name="two")  # doctest: +SKIP
        >>> frame.groupby("model")["test.acc"].agg(["mean", "std", "count"])  # doctest: +SKIP
        >>> fc2conv.sweep("sweep=kernel_size", name="kernels")  # doctest: +SKIP
    """
    from fc2conv.compose import our_hydra, overrides_of
    from fc2conv.entry import start

    arguments = [*overrides, *overrides_of(values, sweep=True)]
    with our_hydra(arguments) as hydra:
        trials: list[Trial] = hydra.multirun("config", start, arguments, False)
    return frame_of({trial.folder: result for trial in trials if (result := trial.result())})


def results(folder: str | os.PathLike[str] = "runs") -> pd.DataFrame:
    """The records of all runs in `folder`, those of its sweeps included.

    Returns:
        One row a run. The columns are every key of its config, dotted (model.kernel_size, data.train_size); name,
        folder, status, error, model, family, seed, identity, format; debug, which is None for a run that is to be
        compared; train.acc, val.loss, test.acc, ...; params (their total), macs, receptive_field, epochs, best_epoch,
        seconds (total), seconds.fit, images_per_second, peak_memory, per_class. Lists are tuples, so that they can be
        grouped by. A key that a run does not have is NaN.

    Raises:
        ConfigError: there is no such folder

    Warns:
        UserWarning: once, with the names of the folders that hold no run, or a damaged one

    Example:
        >>> frame = fc2conv.results("runs")  # doctest: +SKIP
        >>> frame[frame.status == "done"].groupby("model.kernel_size")["test.acc"].mean()  # doctest: +SKIP
    """
    top = Path(folder)
    if not top.is_dir():
        raise ConfigError("folder", f"got {folder}, but there is no such folder")
    found = collect(top)
    if found.unreadable:
        n = len(found.unreadable)
        names = ", ".join(found.unreadable)
        left_out = f"{n} folder{'s' * (n > 1)} without a run's record that can be read, left out: {names}"
        warnings.warn(left_out, stacklevel=2)
    return frame_of(found.runs)


# --- records


def frame_of(found: Mapping[Path, Result]) -> pd.DataFrame:
    """Folders and their records as `results` has them, in their order."""
    import pandas as pd

    rows = [_row(folder, result) for folder, result in found.items()]
    return pd.DataFrame(rows, columns=None if rows else list(_row(Path(), Result("done", "", "", "", 0, [], {}, {}))))


def _row(folder: Path, result: Result) -> dict[str, Any]:
    """A record's columns: its config's keys, and its own, which win (config has the name that was asked for)."""
    own = asdict(result)
    config, params, seconds = own.pop("config"), own.pop("params"), own.pop("seconds")
    whole = {key: own.pop(key) for key in ("per_class", "data_sha256")}
    splits = {split: own.pop(split) or dict.fromkeys(("loss", "acc", "n"), math.nan) for split in SPLITS}
    columns = {k: _tuples(v) for k, v in (dotted(config) | dotted(splits) | dotted(own)).items()} | whole
    columns |= {"folder": str(folder), "params": params.get("total"), "seconds": seconds.get("total")}
    first = ("name", "folder", "status", "model", "family", "seed")
    return {k: columns[k] for k in first} | columns | {f"seconds.{k}": v for k, v in seconds.items() if k != "total"}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
