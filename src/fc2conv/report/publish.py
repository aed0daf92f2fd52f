"""Brings recorded runs to W&B: uploads what was offline, then makes or renews one workspace and one report.

What it has made and uploaded it writes down in published.json, in the folder of all runs, and makes nothing twice.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import wandb
import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces

from fc2conv.errors import ConfigError
from fc2conv.record import outage
from fc2conv.record.access import answers, key_configured, server_address
from fc2conv.record.lock import claim
from fc2conv.record.result import Result, write_atomically
from fc2conv.record.uploads import is_synced, offline_parts
from fc2conv.report import workspace
from fc2conv.report.records import read
from fc2conv.report.workspace import Sweep, group_of, sweeps_of

FILE, LOCK = "published.json", ".published.lock"
AT_ONCE = 200
"""Most folders that one call of wandb sync gets."""
NOT_IN_NAMES = re.compile(r"[\s/\\#?%:]")
T = TypeVar("T")


class NotPublished(RuntimeError):
    """W&B could not be reached, or did not take everything; the same command goes on."""

    exit_code = 1


@dataclass(frozen=True)
class Target:
    """A project of W&B."""

    entity: str
    project: str

    @classmethod
    def of(cls, text: str) -> Target:
        """Raises ConfigError unless it is ENTITY/PROJECT."""
        entity, _, project = text.partition("/")
        good = all(part and len(part) <= 128 and not NOT_IN_NAMES.search(part) for part in (entity, project))
        if not good:
            what = "expected your name or your team's at W&B and a project, e.g. ada/fc2conv"
            raise ConfigError("ENTITY/PROJECT", f"got {text}, {what}")
        return cls(entity, project)

    def __str__(self) -> str:
        return f"{self.entity}/{self.project}"


@dataclass
class Memory:
    """What is in a project already."""

    workspace: str | None = None
    """Its address, as that of the report."""
    report: str | None = None
    groups: list[str | None] = field(default_factory=list)
    """Whose sections they have; None: single runs."""
    uploaded: list[str] = field(default_factory=list)
    """Folders of W&B's offline files, as seen from the folder of all runs."""


@dataclass(frozen=True)
class Plan:
    """What there is to do for a project."""

    target: Target
    runs_dir: Path
    runs: dict[Path, Result]
    """Folder -> record, of the runs that are to be uploaded."""
    sweeps: list[Sweep]
    """The sections of workspace and report: these runs', and those made before."""
    without: int
    """Runs that W&B has never heard of, and that are left out."""
    memory: Memory

    def waiting(self) -> dict[Path, Result]:
        """W&B's folders that are not known to be uploaded, with the records of their runs."""
        parts = {part: run for folder, run in self.runs.items() for part in offline_parts(folder)}
        return {part: run for part, run in parts.items() if self.name(part) not in self.memory.uploaded}

    def name(self, part: Path) -> str:
        return os.path.relpath(part.resolve(), self.runs_dir.resolve())


def plan(target: Target, names: Sequence[str], runs_dir: Path) -> Plan:
    """What publishing would do. Asks nobody, writes nothing.

    Args:
        names: of runs and sweeps; none: all in `runs_dir`

    Raises:
        ConfigError: a name means nothing, or no run of those meant has been to W&B
    """
    memory = _memories(runs_dir).get(_key(target), Memory())
    found = {run.folder: run.result for run in read(names, runs_dir).runs}
    runs = {folder: run for folder, run in found.items() if run.wandb_id}
    if not runs:
        what = "no run was logged to W&B" if found else f"there is no run in {runs_dir}"
        raise ConfigError("RUNS", f"{what}; python train.py logger=wandb ... makes one, also without an account")
    shown = dict(runs)
    if names and memory.groups:
        before = ((run.folder, run.result) for run in read([], runs_dir).runs)
        shown |= {folder: run for folder, run in before if run.wandb_id and group_of(run) in memory.groups}
    sweeps = sweeps_of(shown.values())
    return Plan(target, runs_dir, runs, sweeps, len(found) - len(runs), memory)


def specification(plan: Plan) -> dict[str, Any]:
    """What would be uploaded and made, as JSON."""
    target = plan.target
    made: Any = workspace.workspace(target.entity, target.project, plan.sweeps)
    written: Any = workspace.report(target.entity, target.project, plan.sweeps)
    return {
        "project": str(target),
        "upload": [str(part) for part in plan.waiting()],
        "workspace": made._to_model().spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "report": written._to_model().spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def publish(plan: Plan, say: Callable[[str], None]) -> None:
    """Upload and make it.

    Args:
        say: told what was done, a line each

    Raises:
        ConfigError: W&B knows no key here, or refuses
        NotPublished: it cannot be reached, or did not take all
    """
    with claim(plan.runs_dir, LOCK) as ours:
        if not ours:
            raise ConfigError("--runs-dir", f"{plan.runs_dir} is being published by another process; let it end")
        outage.keep_quiet()
        _check_access()
        try:
            _upload(plan, say)
            plan.memory.groups += [s.group for s in plan.sweeps if s.group not in plan.memory.groups]
            plan.memory.workspace = _save_workspace(plan)
            _remember(plan)
            say(f"workspace: {plan.memory.workspace}")
            plan.memory.report = _save_report(plan)
            say(f"report: {plan.memory.report}")
        finally:
            _remember(plan)


# --- memory


def _key(target: Target) -> str:
    """What it is remembered by: the same project may be on several servers."""
    return f"{_settings().base_url}/{target}"


def _settings() -> wandb.Settings:
    """Its library's, which says nothing of its own from here on."""
    try:
        return wandb.setup(wandb.Settings(silent=True)).settings
    except (ValueError, wandb.Error) as error:
        raise ConfigError("ENTITY/PROJECT", f"W&B's library refuses its settings: {error}") from error


def _memories(runs_dir: Path) -> dict[str, Memory]:
    path = runs_dir / FILE
    try:
        return {key: Memory(**values) for key, values in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = f"{path} cannot be read ({error}); delete it, and workspace and report are made anew"
        raise ConfigError("--runs-dir", reason) from error


def _remember(plan: Plan) -> None:
    known = _memories(plan.runs_dir) | {_key(plan.target): plan.memory}
    text = json.dumps({key: asdict(memory) for key, memory in known.items()}, indent=2)
    write_atomically(plan.runs_dir / FILE, text + "\n")


# --- W&B


def _check_access() -> None:
    """Raise ConfigError unless W&B takes our key, NotPublished if it does not answer."""
    if not key_configured():
        reason = f"no API key for {_settings().base_url} is configured here"
        raise ConfigError("ENTITY/PROJECT", f"{reason}; wandb login asks for one, --dry-run needs none")
    if (server := server_address()) and not answers(server):
        raise NotPublished(f"W&B does not answer ({server}); nothing was published, the same command tries again")
    with _explained("the API key", "; see wandb login --relogin"):
        wandb.Api()


@contextmanager
def _explained(what: str, remedy: str = "") -> Iterator[None]:
    """What W&B's libraries raise, as a ConfigError that names what it refused."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError("ENTITY/PROJECT", f"W&B does not take {what} ({reason}){remedy}") from error


def _upload(plan: Plan, say: Callable[[str], None]) -> None:
    """What is not there yet. A run that went on has several parts, which are taken in their order."""
    waiting = plan.waiting()
    there = _ids_there(plan.target, {run.wandb_id for part, run in waiting.items() if is_synced(part)})
    known = [part for part, run in waiting.items() if is_synced(part) and run.wandb_id in there]
    plan.memory.uploaded += map(plan.name, known)
    rounds: dict[int, list[Path]] = {}
    of_run: dict[str | None, int] = {}
    for part, run in waiting.items():
        if part not in known:
            of_run[run.wandb_id] = of_run.get(run.wandb_id, 0) + 1
            rounds.setdefault(of_run[run.wandb_id], []).append(part)
    for parts in rounds.values():
        for begin in range(0, len(parts), AT_ONCE):
            _sync(plan, parts[begin : begin + AT_ONCE])
    if of_run:
        say(f"uploaded: {len(of_run)} run{'s' * (len(of_run) != 1)}")


def _ids_there(target: Target, ids: Iterable[str | None]) -> set[str]:
    """Those of the W&B runs that the project has."""
    wanted = sorted(filter(None, ids))
    if not wanted:
        return set()
    with _explained("the question which runs it has"):
        try:
            runs = wandb.Api().runs(str(target), filters={"name": {"$in": wanted}}, per_page=1000)
            return {run.id for run in runs}
        except ValueError:  # there is no such project yet
            return set()


def _sync(plan: Plan, parts: Sequence[Path]) -> None:
    """Have `wandb sync` upload them; it leaves a mark beside each that went well."""
    before = {part: _marked(part) for part in parts}
    command = [sys.executable, "-m", "wandb", "sync", "--include-synced"]
    command += ["--entity", plan.target.entity, "--project", plan.target.project, *map(str, parts)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    uploaded = [part for part in parts if _marked(part) not in (None, before[part])]
    plan.memory.uploaded += map(plan.name, uploaded)
    if len(uploaded) < len(parts):
        _remember(plan)
        words = [
            line for line in done.stdout.splitlines() if re.search("fail|error|denied|refuse", line, re.IGNORECASE)
        ]
        reason = "\n  ".join([f"{len(parts) - len(uploaded)} of {len(parts)} were not uploaded", *words[:5]])
        raise NotPublished(f"{reason}\nthe same command goes on with what is left")


def _marked(part: Path) -> int | None:
    marks = [mark.stat().st_mtime_ns for mark in part.glob("*.wandb.synced")]
    return max(marks, default=None)


def _save_workspace(plan: Plan) -> str:
    known = _loaded(workspaces.Workspace.from_url, plan.memory.workspace)
    if known is None:
        known = workspace.workspace(plan.target.entity, plan.target.project, plan.sweeps)
    else:
        workspace.renew_workspace(known, plan.sweeps)
    with _explained("the workspace"):
        known.save()
    return str(known.url)


def _save_report(plan: Plan) -> str:
    known = _loaded(reports.Report.from_url, plan.memory.report)
    if known is None:
        known = workspace.report(plan.target.entity, plan.target.project, plan.sweeps)
    else:
        workspace.renew_report(known, plan.sweeps)
    with _explained("the report"):
        known.save()
    return str(known.url)


def _loaded(load: Callable[[str], T], address: str | None) -> T | None:
    """What lies at the address; None if nothing does, or nothing any more."""
    if address is None:
        return None
    try:
        return load(address)
    except (ValueError, TypeError, KeyError):
        return None
