"""The report's folder: page, tables and figures, all of them or none."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fc2conv.errors import ConfigError
from fc2conv.fields import usable
from fc2conv.report import page, records, tables
from fc2conv.report.charts.listing import charts
from fc2conv.report.figures import draw
from fc2conv.report.payload import Report, payload

PAGE, CSV, MARKDOWN, FIGURES = "index.html", "table.csv", "table.md", "figures"
"""In the report's folder, and nothing else."""
DRAWN = (".png", ".svg")
LONGEST = 100
"""Characters of a folder's name."""


@dataclass(frozen=True)
class Request:
    """What a report is asked for."""

    runs: tuple[str, ...] = ()
    """Names of runs or sweeps, or their folders; none: all in `runs_dir`."""
    runs_dir: Path = Path("runs")
    name: str | None = None
    """None: that of the only one of `runs`, or of `runs_dir`."""
    out: Path | None = None
    """The folder of all reports. None: reports, beside `runs_dir`."""
    baseline: str | None = None
    """The label of the configuration that tables compare with."""

    @property
    def title(self) -> str:
        if self.name is not None:
            return self.name
        folder = Path(os.path.normpath(self.runs[0])) if len(self.runs) == 1 else self.runs_dir
        return folder.name or folder.resolve().name or "runs"

    @property
    def parent(self) -> Path:
        return self.out if self.out is not None else Path(os.path.normpath(self.runs_dir)).parent / "reports"

    @property
    def folder(self) -> Path:
        """The report's own, whatever the title holds."""
        safe = re.sub(r"[^\w.,=+@-]+", "_", self.title).strip("._")
        return self.parent / (safe[:LONGEST] or "runs")

    @property
    def command(self) -> str:
        """That makes the report again."""
        options = [("--name", self.name), ("--out", self.out), ("--baseline", self.baseline)]
        given = [part for option, value in options if value is not None for part in (option, str(value))]
        where = ["--runs-dir", str(self.runs_dir)] if self.runs_dir != Path("runs") else []
        return shlex.join(["fc2conv", "report", *self.runs, *given, *where])


@dataclass(frozen=True)
class Built:
    """A report before it is written."""

    report: Report
    charts: Sequence[dict[str, Any]]
    payload: Mapping[str, Any]

    def texts(self) -> dict[str, str]:
        """Name -> content of the page and the tables."""
        return {
            PAGE: page.render(dict(self.payload)),
            CSV: tables.to_csv(self.report),
            MARKDOWN: tables.to_markdown(self.report),
        }


def build(request: Request, live: bool = False) -> Built:
    """Read the runs and make all of their report but the figures.

    Raises:
        ConfigError: there are none, or not those that are asked for
    """
    found = records.read(request.runs, request.runs_dir)
    if not found.runs and not live:
        left = [f"{n} made with {what}" for n, what in ((found.debug, "debug="), (found.lr_find, "task=lr_find")) if n]
        left += [f"{len(found.skipped)} that cannot be read"] if found.skipped else []
        told = f"; left out: {', '.join(left)}" if left else ""
        raise ConfigError("RUNS", f"no run in {' '.join(request.runs) or request.runs_dir} to report{told}")
    report = Report.of(found, request.title, request.runs_dir)
    if request.baseline is not None:
        report = replace(report, baseline=tables.find_baseline(report, request.baseline))
    drawn = charts(report)
    return Built(report, drawn, payload(report, drawn, request.command, live))


def write(built: Built, folder: Path) -> None:
    """Put the report into `folder`, in the place of an earlier one.

    Raises:
        ConfigError: the folder holds something else, or cannot be written
    """
    check_target(folder)
    with usable("--out", folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        mark = secrets.token_hex(4)
        new, old = (folder.with_name(f".{folder.name}-{mark}.{kind}") for kind in ("new", "old"))
        try:
            (new / FIGURES).mkdir(parents=True)
            for name, text in built.texts().items():
                (new / name).write_bytes(encoded(text))
            for name, content in draw(built.report, built.charts):
                (new / FIGURES / name).write_bytes(content)
            _exchange(new, folder, old)
        finally:
            for path in (new, old):
                shutil.rmtree(path, ignore_errors=True)


def encoded(text: str) -> bytes:
    """As UTF-8, which has nothing for half a surrogate pair, though a record may hold one."""
    return text.encode(errors="replace")


def _exchange(new: Path, folder: Path, old: Path) -> None:
    """`new` becomes `folder`, and what was there `old`."""
    check_target(folder)  # a moment ago is not now
    with suppress(FileNotFoundError):
        os.rename(folder, old)
    try:
        os.rename(new, folder)
    except BaseException:
        with suppress(OSError):
            os.rename(old, folder)
        raise


def check_target(folder: Path) -> None:
    """Raise ConfigError unless there is nothing, an empty folder, or a report that nobody has added to."""
    with usable("--out", folder):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ConfigError("--name", f"{folder} is no folder; take another name")
        if not folder.exists() or not any(folder.iterdir()):
            return
        inside = {path.name for path in folder.iterdir()}
        foreign = inside - {PAGE, CSV, MARKDOWN, FIGURES}
        figures = folder / FIGURES
        if figures.is_dir():
            foreign |= {f"{FIGURES}/{p.name}" for p in figures.iterdir() if p.suffix not in DRAWN or not p.is_file()}
        if foreign:
            raise ConfigError(
                "--name", f"{folder} holds {', '.join(sorted(foreign)[:3])}; take another name, or remove it"
            )
        if not inside >= {PAGE, CSV, MARKDOWN}:
            raise ConfigError("--name", f"{folder} is no report; take another name, or remove it")


def of_sweep(sweep: Path) -> Path:
    """Write the report of a sweep's folder into `reports`, beside the folder of all runs, and return its page."""
    request = Request((str(sweep),), sweep.parent)
    write(build(request), request.folder)
    return request.folder / PAGE
