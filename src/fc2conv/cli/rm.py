"""`fc2conv rm RUN...`: removes runs, or whole sweeps, and nothing else."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import click
from rich.filesize import decimal

from fc2conv.cli import screen
from fc2conv.cli.arguments import check_runs_dir, in_runs_dir, run_argument
from fc2conv.errors import ConfigError
from fc2conv.record.folder import RUN_LOCK
from fc2conv.record.lock import LOCK, is_claimed
from fc2conv.record.runs import disk_usage, find, folders_of_runs, listing


@click.command()
@run_argument("runs", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_runs_dir
def rm(runs: tuple[str, ...], yes: bool, runs_dir: Path) -> None:
    """Remove runs, or whole sweeps.

    With all that is in their folders. RUN is a whole name here, or a sweep's. Asks first.
    """
    check_runs_dir(runs_dir)
    named = {folder.resolve(): folder for folder in (to_remove(name, runs_dir) for name in runs)}
    # a sweep takes its runs along
    chosen = [folder for place, folder in named.items() if not set(place.parents) & set(named)]
    if busy := [run for folder in chosen for run in _in_use(folder)]:
        raise _busy(busy)
    for folder in chosen:
        held = list(folders_of_runs(folder))
        of = "" if held == [folder] else f", a sweep of {len(held)} run{'s' * (len(held) > 1)}"
        screen.line(f"{folder}{of}: {decimal(disk_usage(folder))}")
    if not yes:
        click.confirm("Remove?", abort=True)
    freed = 0
    for folder in chosen:
        size = disk_usage(folder)
        remove(folder)
        freed += size
    screen.line(f"removed; {decimal(freed)} freed")


def to_remove(name: str, runs_dir: Path) -> Path:
    """The folder within `runs_dir` that RUN means, its whole name or label: a run's, or a sweep's, which holds nothing
    but runs and files.

    Raises:
        ConfigError: it is none, or lies elsewhere
    """
    paths = [path for path in (Path(name), runs_dir / name) if path.is_dir() and _lies_within(path, runs_dir)]
    folder = next((path for path in paths if any(folders_of_runs(path))), None) or find(name, runs_dir, whole=True)
    if not _lies_within(folder, runs_dir):
        raise ConfigError("RUN", f"got {name}, but {folder} is no folder within {runs_dir}; nothing outside is removed")
    runs = list(folders_of_runs(folder))
    if foreign := [str(path) for path in folder.iterdir() if runs != [folder] and _is_foreign(path, runs)]:
        raise ConfigError("RUN", f"got {name}, but {listing(foreign)} in it is no run; remove it yourself")
    return folder


def _lies_within(path: Path, runs_dir: Path) -> bool:
    return not path.is_symlink() and runs_dir.resolve() in path.resolve().parents


def _is_foreign(path: Path, runs: list[Path]) -> bool:
    """Whether a folder beside a sweep's runs is none of them, nor one that was about to become one."""
    ours = path in runs or path.name.startswith(".") or (path / LOCK).exists()
    return path.is_dir() and not path.is_symlink() and not ours


def _in_use(folder: Path) -> list[str]:
    """The runs in it that are being trained."""
    locks = [path for name in (LOCK, RUN_LOCK) for path in sorted(folder.rglob(name))]  # some have no record yet
    return list(dict.fromkeys(str(path.parent) for path in locks if is_claimed(path.parent, path.name)))


def remove(folder: Path) -> None:
    """Remove a run's or a sweep's folder.

    Raises:
        ConfigError: a run in it is being trained, or the system does not allow it
    """
    # out of the way at once: whoever looks sees it whole or not at all, and what begins now gets a new folder
    aside = folder.with_name(f".{folder.name[:200]}-{secrets.token_hex(4)}")
    try:
        os.rename(folder, aside)
        if busy := _in_use(aside):
            os.rename(aside, folder)
            raise _busy([run.replace(str(aside), str(folder), 1) for run in busy])
        shutil.rmtree(aside)
    except OSError as error:
        raise ConfigError("RUN", f"{error.filename} cannot be removed: {error.strerror}") from error


def _busy(runs: list[str]) -> ConfigError:
    return ConfigError("RUN", f"{listing(runs)}: being trained now; let it end, or stop it")
