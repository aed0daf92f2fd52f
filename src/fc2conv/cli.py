"""The command line: Hydra's composed config becomes a typed one, a run starts, and what goes wrong becomes one message
and an exit code. Imports torch only once a run starts.

Exit codes: 0 done; 1 the run failed; 2 the call was wrong; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fc2conv import show
from fc2conv.compose import planned, register_schema, typed
from fc2conv.config import GROUPS, MODELS, TOP_LEVEL, Config, ConfigError, identity_of, plain
from fc2conv.imports import uncollected
from fc2conv.parsing import parse, suggest
from fc2conv.record import check_writable, find_run
from fc2conv.result import Result, hashed
from fc2conv.signals import Interrupted
from fc2conv.world import World, rank


def recorded(
    config: Config, composed: Mapping[str, Any], overrides: Sequence[str], source: Mapping[str, Any]
) -> Config:
    """The config of a recorded run, with what the user wrote on top of it.

    Args:
        config: as composed without the record, for the keys that are about this call (task, ckpt, resume, runs_dir)
        composed: its plain values
        overrides: the user's, each taken from `composed`
        source: the recorded config
    """
    values = {k: dict(v) if isinstance(v, Mapping) else v for k, v in source.items()}
    for key in (re.split("[=@]", o.lstrip("+~"))[0] for o in overrides):
        top, _, rest = key.partition(".")
        if key == "experiment":
            raise ConfigError(
                "experiment", f"cannot be combined with task={config.task} or resume: the run has its config"
            )
        if rest:
            values[top][rest] = composed[top][rest]
        elif top in GROUPS:  # what the choice says, and not what it leaves at its default
            default = plain(GROUPS[top]())
            values[top] |= {k: v for k, v in composed[top].items() if v != default[k]}
        elif top in values:
            values[top] = composed[top]
    for key in ("task", "ckpt", "resume", "runs_dir", "name"):
        values[key] = getattr(config, key)
    return parse(Config, values)


# --- the task


def start(composed: DictConfig) -> Any:
    """Hydra's task function."""
    if HydraConfig.get().mode is RunMode.MULTIRUN:  # a job of a sweep that another launcher than ours has started
        return _job(composed)
    # Hydra must not see the exceptions: it would print a line of its own in front of the message
    os.environ[FULL] = "1" if _full else "0"
    try:
        guarded(lambda: _start(composed))
    finally:
        os.environ[FULL] = "1"


def _job(composed: DictConfig) -> str:
    """Train one cell of a sweep. Returns its status: what went wrong is in its record, and for the sweeper to tell."""
    from fc2conv.sweep.cells import Cell
    from fc2conv.sweep.job import work
    from fc2conv.sweep.sweeper import folder_of

    register_schema()
    config = typed(composed)
    about_the_sweep = ("name=", "sweep=", "force=", "++runs_dir=")
    overrides = tuple(o for o in HydraConfig.get().overrides.task if not o.startswith(about_the_sweep))
    cell = Cell.of(overrides, (), folder_of(composed), config, planned(config))
    status = work(cell, Path(config.sweep) if config.sweep else None, config.force)
    if status == "interrupted":
        raise KeyboardInterrupt
    return status


def _start(composed: DictConfig) -> None:
    """Check everything that can be checked without torch, then do the task."""
    overrides = list(HydraConfig.get().overrides.task)
    config, folder = typed(composed), None
    for key in ("sweep", "force", "fail_fast"):
        if getattr(config, key):
            raise ConfigError(key, f"got {getattr(config, key)}, which is about sweeps; add -m: python train.py -m ...")
    values = plain(config)
    if config.task == "test":
        _test(config, values, overrides)
        return
    if config.resume:
        folder = find_run(config)
        config = _resumed(config, values, overrides, folder)
    geometry = planned(config)
    world = World.of_environment(config.trainer)
    if world.is_first:
        show.console.print(show.layer_table(config.model.family, geometry))
    if config.task == "plan":
        return
    if folder is None:
        if world.is_first:
            check_writable(config)
    elif Result.read(folder).status == "done":
        raise ConfigError("resume", f"{folder} is done; there is nothing left to train")

    with uncollected():
        from fc2conv.launch import start as start_run

    result = start_run(config, overrides, folder, resumed=folder is not None)
    if result:
        show.console.print(show.result_table(result))
        path = folder or Path(config.runs_dir) / result.name
        show.console.print(f"The run's folder: {path}", markup=False, soft_wrap=True)


def _resumed(config: Config, values: Mapping[str, Any], overrides: Sequence[str], folder: Path) -> Config:
    source = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    assert isinstance(source, dict)
    result = recorded(config, values, overrides, source)  # type: ignore[arg-type]
    if hashed(identity_of(result)) != Result.read(folder).identity:
        old, new = identity_of(parse(Config, source)), identity_of(result)  # type: ignore[arg-type]
        changed = [k for k, v in _dotted(new).items() if v != _dotted(old).get(k)]
        raise ConfigError(
            "resume", f"{folder} was started with another {' and '.join(changed)}; leave that out, or start a new run"
        )
    return result


def _dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"optim": {"lr": 1}} -> {"optim.lr": 1}"""
    inner = {f"{k}.{name}": v for k, part in values.items() if isinstance(part, Mapping) for name, v in part.items()}
    return {k: v for k, v in values.items() if not isinstance(v, Mapping)} | inner


def _test(config: Config, values: Mapping[str, Any], overrides: Sequence[str]) -> None:
    assert config.ckpt is not None
    if not Path(config.ckpt).is_file():
        raise ConfigError("ckpt", f"got {config.ckpt}, but there is no such file")
    with uncollected():
        from fc2conv.run import config_of, test

    config = recorded(config, values, overrides, config_of(Path(config.ckpt)))
    figures = test(config)
    if rank() > 0:
        return
    show.console.print(
        f"test accuracy {figures['acc']}  loss {figures['loss']}  on {figures['n']:.0f} images  ({config.ckpt})",
        markup=False,
        soft_wrap=True,
    )


# --- errors


FULL = "HYDRA_FULL_ERROR"


def main(entry: Callable[[], Any]) -> None:
    """Call `entry` (train.py's function under hydra.main) and turn what it raises into a message and an exit code.

    HYDRA_FULL_ERROR=1 shows the traceback instead, as everywhere in Hydra.
    """
    global _full
    _full = os.environ.get(FULL) == "1"
    os.environ[FULL] = "1"  # Hydra then hands its exceptions on instead of printing and exiting itself
    register_schema()
    guarded(entry)


_full = False


def guarded(action: Callable[[], Any]) -> Any:
    """`action()`, its exceptions as messages and exit codes."""
    try:
        return action()
    except (Exception, KeyboardInterrupt) as error:
        _leave(error)


def _leave(error: Exception | KeyboardInterrupt) -> NoReturn:
    code, message = explain(error)
    if _full and not isinstance(error, (Interrupted, KeyboardInterrupt)):
        message = "".join(traceback.format_exception(error)).rstrip()
    if rank() == 0 or code == 1:
        print(f"\n{message}" if code == 130 else message, file=sys.stderr, flush=True)
    sys.exit(code)


def explain(error: Exception | KeyboardInterrupt) -> tuple[int, str]:
    """(exit code, what to tell the user)."""
    if isinstance(error, ConfigError):
        return 2, str(error)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return 2, _hydra_message(error)
    if isinstance(error, Interrupted):
        return error.exit_code, f"{error}; resume={error.folder} goes on from there" if error.folder else str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "stopped by SIGINT"
    if type(error).__name__ == "NonFiniteLoss":
        return 1, str(error)
    if "Config group override must be a string" in str(error):  # a plain ValueError of Hydra's
        return 2, "model, data, optim, trainer, logger: got null for one of them, expected a choice, e.g. model=lenet"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename2 or error.filename})" if error.filename else ""
        return 1, f"the disk is full{where}; free some space, or choose another runs_dir"
    if isinstance(code := getattr(error, "exit_code", None), int):
        return code, str(error)
    return 1, "".join(traceback.format_exception(error)).rstrip()


EXTRAS = {"submitit": "slurm", "ray": "ray"}
"""Launchers that are plugins of their own: how their names begin -> the extra that installs them."""


def _hydra_message(error: Exception) -> str:
    """Hydra's and OmegaConf's messages, with the key they leave the reader to guess."""
    text = str(error)
    if (match := re.search(r"(?:Could not override|Key) '([\w./@-]+)'", text)) and "Available options" not in text:
        key = match[1]
        group, _, name = key.rpartition(".")
        if group == "model" and name in _known(group):
            return f"{key}: this model has no such key; others have"
        return f"{key}: no such key{suggest(name, _known(group))}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value ({str(error.message).splitlines()[0]})"
    if match := re.search(
        r"Could not find '([\w/.-]+)'\s+Available options in '([\w/]+)':(.*?)(?:Config search|$)", text, re.S
    ):
        group, options = match[2], match[3].split()
        if extra := next((e for start, e in EXTRAS.items() if match[1].startswith(f"hydra/launcher/{start}")), None):
            return f"hydra/launcher: its plugin is not installed; pip install -e '.[{extra}]'"
        wanted = match[1].removeprefix(f"{group}/")
        return f"{group}: got {wanted}, no such choice{suggest(wanted, options)}"
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    return text


def _known(group: str) -> list[str]:
    if not group:
        return [*TOP_LEVEL, "experiment", "model", *GROUPS]
    if group == "model":
        return sorted({name for cls in MODELS.values() for name in plain(cls())})
    return list(plain(GROUPS[group]())) if group in GROUPS else [*GROUPS, "model"]
