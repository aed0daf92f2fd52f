"""Which runs there are in a folder, the one that a name means, and what it takes on the disk."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fc2conv.errors import ConfigError, DamagedResult
from fc2conv.record.result import FILE, Result

LISTED = 10
"""Most names that a message lists."""


@dataclass
class Found:
    """The runs in a folder."""

    runs: dict[Path, Result] = field(default_factory=dict)
    """Folder -> its record."""
    unreadable: list[str] = field(default_factory=list)
    """Folders without a record that can be read, relative to the one searched. Where none in a folder has one, its name
    stands for all of them."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Unreadable folder -> what is wrong with its record, of those that have one."""


def collect(top: Path) -> Found:
    """Read the records of all runs in `top`, those of its sweeps included."""
    found = Found()
    _collect(top, top, found)
    return found


def _collect(folder: Path, top: Path, found: Found) -> bool:
    """False if there is no run in `folder`."""
    if _holds_record(folder):
        try:
            found.runs[folder] = Result.read(folder)
        except (DamagedResult, OSError) as error:
            name = str(folder.relative_to(top))
            found.unreadable.append(name)
            found.reasons[name] = str(error)
        return True
    before = len(found.unreadable)
    holds_runs = [_collect(inner, top, found) for inner in _folders(folder)]
    if any(holds_runs) or folder == top:
        return True
    found.unreadable[before:] = [str(folder.relative_to(top))]
    return False


def folders_of_runs(top: Path) -> Iterator[Path]:
    """Those in `top` that hold a record, `top` itself included, without reading it."""
    if _holds_record(top):
        yield top
    else:
        for inner in _folders(top):
            yield from folders_of_runs(inner)


def _holds_record(folder: Path) -> bool:
    return os.path.exists(folder / FILE)  # Path.exists raises where the folder may not be read


def _folders(folder: Path) -> list[Path]:
    try:
        inner = [Path(entry) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # not ours to read, or gone since
        return []
    return sorted(path for path in inner if not path.name.startswith("."))


def names_of(paths: Sequence[str]) -> list[str]:
    """What RUN may be for each: without its identity where that leaves it the only one."""
    counts = Counter(map(label, paths))
    return [label(path) if counts[label(path)] == 1 else path for path in paths]


def label(name: str) -> str:
    """A run's name without the identity that ends it: kernel_size/kernel_size=3,seed=0."""
    return re.sub(r"-[0-9a-f]{16}$", "", name)


def find(name: str, runs_dir: Path, whole: bool = False) -> Path:
    """The run's folder that `name` means: a path, a name in `runs_dir`, its label, or the beginning of one of these.

    Args:
        whole: no beginnings

    Raises:
        ConfigError: there is none, or several
    """
    for folder in (Path(name), runs_dir / name):
        if name and (folder / FILE).is_file():
            return folder
    if not runs_dir.is_dir():
        raise ConfigError("--runs-dir", f"got {runs_dir}, but there is no such folder; say where the runs lie")
    wanted = name.strip("/")
    known = {str(f.relative_to(runs_dir)): f for f in folders_of_runs(runs_dir)}
    names = {n: (n, label(n), Path(n).name, label(Path(n).name)) for n in known}
    exact = [n for n, spellings in names.items() if wanted in spellings]
    begun = [n for n, spellings in names.items() if wanted and any(s.startswith(wanted) for s in spellings)]
    matches = exact or begun
    if len(matches) == 1 and (exact or not whole):
        return known[matches[0]]
    if matches:
        what = "expected a whole name, as" if whole else "which may be"
        raise ConfigError("RUN", f"got {name}, {what} {listing(matches)}")
    close = difflib.get_close_matches(wanted, dict.fromkeys(s for found in names.values() for s in found), n=1)
    hint = f"did you mean {close[0]}?" if close else "fc2conv runs lists what there is"
    raise ConfigError("RUN", f"got {name}, but no run lies there nor in {runs_dir}/; {hint}")


def listing(names: list[str]) -> str:
    """The first names, and how many more there are: a, b, c and 12 more."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def disk_usage(folder: Path) -> int:
    """Bytes on the disk of what is in `folder`: links are not followed, a file with two names counts once."""
    taken = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a run in progress replaces its files
            status = path.lstat()
            taken[status.st_dev, status.st_ino] = getattr(status, "st_blocks", -(-status.st_size // 512)) * 512
    return sum(taken.values())
