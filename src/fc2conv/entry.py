"""The command line: Hydra's composed config becomes a typed one, a run starts, and what goes wrong becomes one message
and an exit code (errors.py). Imports torch only once a run starts.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fc2conv.compose import (
    as_written,
    check_arguments,
    check_single,
    explain,
    load_plugins,
    matched,
    parse_composed,
    plan_of,
    quote_path,
    register_schema,
)
from fc2conv.config.identity import differing, hashed, identity_of
from fc2conv.config.match import reached
from fc2conv.config.parsing import modernised, parse
from fc2conv.config.schema import ABOUT_SWEEPS_ONLY, OF_CHECKPOINTS, Config, plain
from fc2conv.config.unused import refuse_unused
from fc2conv.data import mnist1d
from fc2conv.errors import ConfigError, guarded
from fc2conv.fields import usable
from fc2conv.record import terminal
from fc2conv.record.folder import check_writable, find_run
from fc2conv.record.result import FILE, Result
from fc2conv.sweep.slots import uses_gpu
from fc2conv.training import memory
from fc2conv.training.distributed import Processes, check_devices, prepare_process, rank
from fc2conv.training.recorded import merge_recorded, of_checkpoint, released

FULL = "HYDRA_FULL_ERROR"
_full = False
"""Whether the user wants tracebacks."""


# --- the task


def start(composed: DictConfig) -> Any:
    """Hydra's task function."""
    if HydraConfig.get().mode is RunMode.MULTIRUN:  # a job of a sweep that another launcher than ours has started
        from fc2conv.sweep.launchers import job

        return job(composed)
    # Hydra must not see the exceptions: it would print a line of its own in front of the message
    os.environ[FULL] = "1" if _full else "0"
    try:
        chosen = HydraConfig.get().runtime.choices.get("model") or ""
        _guarded(lambda: _single(composed, chosen))
    finally:
        os.environ[FULL] = "1"


def _single(composed: DictConfig, model: str) -> None:
    overrides = HydraConfig.get().overrides
    check_single(as_written(overrides.hydra))
    execute(composed, as_written(overrides.task), model)


def execute(composed: DictConfig, overrides: list[str], model: str) -> Result | None:
    """Check everything that can be checked without torch, then do the task.

    Args:
        overrides: what `composed` was made of
        model: the choice of conf/model/

    Returns:
        What came of it. task=plan: the counts alone, status skipped. None on the ranks that record nothing.
    """
    config, folder = parse_composed(composed), None
    for key in ABOUT_SWEEPS_ONLY:
        if getattr(config, key) != getattr(Config, key):
            raise ConfigError(key, f"got {getattr(config, key)}, which is about sweeps; add -m: python train.py -m ...")
    if config.task in OF_CHECKPOINTS:
        config = of_checkpoint(config, overrides)
        _refuse_unused(overrides, config)
        return _test(config, overrides) if config.task == "test" else _inspect(config, overrides)
    if config.resume:
        folder = find_run(config)
        config = _resumed(config, overrides, folder)
    config = released(config, overrides)
    _refuse_unused(overrides, config)
    if folder is None:
        config = matched(config)
    geometry = plan_of(config)
    processes = Processes.of_environment(config.trainer)
    if processes.is_first:
        size = memory.estimate(config, geometry, memory.processes(config)).total
        begins = [f"begins as {config.ckpt}: {config.release} released"] if config.release else []
        needs = f"memory for training, estimated: {memory.spell(size)}"
        notes = [*reached(config, geometry), *begins, *geometry.remarks, needs]
        terminal.console.print(terminal.layer_table(config.model.family, geometry, notes))
    if config.task == "plan":
        return replace(Result.of(config, geometry, config.name or "", model, overrides), status="skipped")
    check_devices(config.trainer)
    config.logger.require_installed()
    mnist1d.check(config.data)
    if not uses_gpu(config.trainer):
        memory.check(config, geometry, plan_of)
    if folder is None:
        if processes.is_first:
            check_writable(config)
        if config.task == "lr_find":
            return _lr_find(config, overrides, model)
    elif Result.read(folder).config.get("task") == "lr_find":
        raise ConfigError("resume", f"{folder} is a search for a learning rate, which does not go on; start it anew")
    elif Result.read(folder).status == "done":
        raise ConfigError("resume", f"{folder} is done; there is nothing left to train")

    from fc2conv.training.launch import start as start_run
    from fc2conv.training.run import Request

    result = start_run(Request(config, overrides, folder, resumed=folder is not None, model=model))
    if result:
        terminal.console.print(terminal.result_table(result))
        path = folder or Path(config.runs_dir) / result.name
        terminal.console.print(f"The run's folder: {path}", markup=False, soft_wrap=True)
        if config.debug:
            terminal.console.print(f"Made with debug={config.debug}: to look at, not to compare.")
    return result


def _refuse_unused(overrides: Sequence[str], config: Config) -> None:
    if "WANDB_SWEEP_ID" not in os.environ:  # an agent of W&B writes all keys of its sweep, whatever their values are
        refuse_unused(overrides, [config])


def _resumed(config: Config, overrides: Sequence[str], folder: Path) -> Config:
    recorded = _recorded(folder)
    result = merge_recorded(config, plain(config), overrides, plain(recorded))
    if hashed(identity_of(result)) != Result.read(folder).identity:
        changed = differing(recorded, result)
        raise ConfigError(
            "resume", f"{folder} was started with another {' and '.join(changed)}; leave that out, or start a new run"
        )
    return result


def _lr_find(config: Config, overrides: list[str], model: str) -> Result:
    from fc2conv.training.run import Request, lr_find

    result, folder = lr_find(Request(config, overrides, model=model))
    say = partial(terminal.console.print, markup=False, soft_wrap=True)
    if result.suggested_lr is None:
        say("The loss did not fall at any learning rate; is something wrong with the data or the network?")
    else:
        about_this_call = ("task=", "name=", "optim.lr=")
        kept = [o for o in overrides if not o.lstrip("+").startswith(about_this_call)]
        say("The loss is least at ten times the learning rate that is worth a try:")
        say("  " + shlex.join(["python", "train.py", *kept, f"optim.lr={result.suggested_lr:g}"]))
    say(f"The curve: {folder}/lr_find.png, lr_find.csv")
    return result


def _recorded(folder: Path) -> Config:
    """The config of the run in `folder`.

    Raises:
        ConfigError: its config.yaml is not what was written
    """
    path = folder / "config.yaml"
    with usable("resume", str(folder)):
        text = path.read_text(errors="replace")
    identity = identity_of(parse(Config, modernised(Result.read(folder).config)))  # a plugin that is gone is no damage
    try:
        source = yaml.safe_load(text)
        if not isinstance(source, dict):
            raise ValueError("it holds no keys" if text.strip() else "it is empty")
        found = parse(Config, modernised(source))
        if identity_of(found) != identity:
            raise ValueError(f"{FILE} has other values")
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        hint = f"the run's config is in its {FILE}, too: put that there again, or start a new run"
        raise ConfigError("resume", f"{path} is damaged ({reason}); {hint}") from error
    return found


def _inspect(config: Config, overrides: Sequence[str]) -> Result:
    from fc2conv.training.inspection import inspect

    folder, paths = inspect(config)
    say = partial(terminal.console.print, markup=False, soft_wrap=True)
    for path in paths:
        say(f"  {path.name}")
    say(f"{len(paths)} files in {folder}")
    return replace(Result.of(config, plan_of(config), config.name or "", overrides=overrides), status="skipped")


def _test(config: Config, overrides: Sequence[str]) -> Result | None:
    from fc2conv.training.run import test

    metrics = test(config)
    if not Processes.of_environment(config.trainer).is_first:
        return None
    terminal.console.print(
        f"test accuracy {metrics['acc']}  loss {metrics['loss']}  on {metrics['n']:.0f} images  ({config.ckpt})",
        markup=False,
        soft_wrap=True,
    )
    tested = Result.of(config, plan_of(config), config.name or "", overrides=overrides)
    return replace(tested, status="done", test=metrics)


def main(entry: Callable[[], Any]) -> None:
    """Call `entry` (train.py's function under hydra.main) and turn what it raises into a message and an exit code.

    HYDRA_FULL_ERROR=1 shows the traceback instead, as everywhere in Hydra.
    """
    global _full
    _full = os.environ.get(FULL) == "1"
    os.environ[FULL] = "1"  # Hydra then hands its exceptions on instead of printing and exiting itself
    prepare_process()
    terminal.outlive_terminal()

    def composed() -> None:
        sys.argv[1:] = map(quote_path, sys.argv[1:])
        check_arguments(sys.argv[1:])
        load_plugins(sys.argv[1:])
        register_schema()
        entry()

    _guarded(composed)


def _guarded(action: Callable[[], Any]) -> Any:
    return guarded(action, explain, rank(), show_traceback=_full)
