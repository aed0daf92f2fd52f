"""`fc2conv publish` with real offline runs, against a small server that answers as W&B's does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb_files import history, inspect, records
from wandb_server import WandbServer, wandb_server

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.cli import main
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, TrainerConfig, WandbConfig
from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.record.uploads import offline_parts, upload_command
from fc2conv.report.publish import FILE, Target
from fc2conv.training.run import Request, run

KEY = "0123456789abcdef0123456789abcdef01234567"
SWEEP, SINGLE = "it's = <kernel_size>", "single"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """A folder of runs: a sweep over two kernel sizes, and a run that went on once."""
    top = tmp_path_factory.mktemp("published")
    config = Config(
        model=LeNetConfig(activation="relu"),
        data=DataConfig(dir=data_dir, train_size=256, val_size=100),
        trainer=TrainerConfig(
            max_epochs=1, accelerator="cpu", threads=1, progress=False, log_every_n_steps=1, limit_test_batches=1
        ),
        logger=LoggerConfig(wandb=WandbConfig(mode="offline")),
        runs_dir=str(top),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        wandb.teardown()
        for size in (3, 5):
            run(
                Request(
                    replace(
                        config,
                        model=replace(config.model, kernel_size=size),  # type: ignore[type-var]
                        logger=config.logger.in_sweep(SWEEP, f"kernel_size={size} seed=0"),
                        runs_dir=str(top / SWEEP),
                        name=f"k{size}",
                    ),
                    overrides=["model=lenet_relu", f"model.kernel_size={size}", "seed=0"],
                    model="lenet_relu",
                )
            )
        run(Request(replace(config, name=SINGLE)))
        longer = replace(config, name=SINGLE, trainer=replace(config.trainer, max_epochs=2))
        run(Request(longer, folder=top / SINGLE, resumed=True))
    wandb.teardown()
    return top


@pytest.fixture
def runs(recorded: Path, tmp_path: Path) -> Path:
    """A copy of its own for each test."""
    return Path(shutil.copytree(recorded, tmp_path / "runs", symlinks=True))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WandbServer]:
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
        wandb.teardown()
        yield server
    wandb.teardown()


Publish = Callable[..., tuple[int, str, str]]


@pytest.fixture
def publish(runs: Path, capsys: pytest.CaptureFixture[str]) -> Publish:
    """(exit code, what was printed, what was said of mistakes) of the command."""

    def call(*arguments: str, target: str = "tester/p") -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            main(["publish", target, *arguments, "--runs-dir", str(runs)])
        except SystemExit as error:
            code = int(error.code or 0)
        return (code, *capsys.readouterr())

    return call


def ids(runs: Path) -> dict[str, str]:
    return {path.parent.name: str(Result.read(path.parent).wandb_id) for path in runs.rglob("result.json")}


# --- what is made


def named(specification: Any) -> Iterator[tuple[str, str]]:
    """(where it is looked for, its name) of every metric and key that a specification names."""
    if isinstance(specification, list):
        for each in specification:
            yield from named(each)
    if not isinstance(specification, dict):
        return
    if specification.get("viewType") == "Run History Line Plot":
        config = specification["config"]
        yield from (("history", name) for name in [config["xAxis"], *config["metrics"]])
        yield "config", config["groupBy"].removesuffix(".value")
    if "targetKey" in specification:
        yield "summary", specification["targetKey"]
    yield from (("summary", key) for key in specification.get("mediaKeys", ()))
    if specification.get("name") == "tableKey":
        yield "summary", specification["value"]
    if specification.keys() == {"section", "name"} and specification["section"] != "run":
        yield specification["section"], specification["name"]
    for value in [*specification.values(), *specification]:
        if isinstance(value, str) and (found := re.fullmatch(r"(config|summary):(.+?)(\.value)?", value)):
            yield found[1], found[2]
        elif not isinstance(value, str):
            yield from named(value)


def test_everything_that_a_panel_names_is_logged(publish: Publish, runs: Path) -> None:
    """By real runs, read back."""
    code, out, err = publish("--dry-run")
    assert (code, err) == (0, "")
    made = json.loads(out)
    folder = runs / SWEEP / "k3"
    (seen,) = inspect(folder)
    logged = {
        "history": {key for row in history(records(folder)) for key in row},
        "summary": set(seen["summary"]),
        "config": set(seen["config"]),
    }
    wanted = set(named([made["workspace"], made["report"]]))
    assert {("config", "kernel_size"), ("history", "val/acc"), ("summary", "test/confusion_table")} <= wanted
    assert {where for where, _ in wanted} == set(logged)
    assert [(where, name) for where, name in sorted(wanted) if name not in logged[where]] == []


def test_a_dry_run_needs_no_account_and_leaves_nothing(
    publish: Publish, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    before = sorted(runs.rglob("*"))
    code, out, _ = publish("--dry-run")
    assert code == 0
    made = json.loads(out)
    assert len(made["upload"]) == 4
    assert [s["name"] for s in made["workspace"]["section"]["panelBankConfig"]["sections"]] == [SWEEP, "Single runs"]
    assert sorted(runs.rglob("*")) == before
    assert publish("--dry-run")[1] == out  # the ids of panels, too


# --- the server's side


def test_what_was_offline_is_uploaded_and_shown_once(
    publish: Publish, runs: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")  # of the runs, not of this
    code, out, err = publish()
    assert code == 0, err
    known = ids(runs)
    assert sorted(server.runs()) == sorted([known["k3"], known["k5"], known[SINGLE], known[SINGLE]])
    assert sorted(server.exit_codes()) == [0, 0, 0, 0]
    assert [row["epoch"] for row in server.history() if "val/acc" in row].count(2) == 1
    upserts = [v for op, v in server.calls if op == "UpsertBucket" and v.get("displayName")]
    assert {(v["entity"], v["project"]) for v in upserts} == {("tester", "p")}
    assert {v["displayName"] for v in upserts} == {"kernel_size=3 seed=0", "kernel_size=5 seed=0", SINGLE}
    assert [view["type"] for view in server.views.values()] == ["project-view", "runs"]
    memory = json.loads((runs / FILE).read_text())[f"{server.url}/tester/p"]
    assert f"workspace: {memory['workspace']}\nreport: {memory['report']}\n" in out
    assert KEY not in (runs / FILE).read_text()

    calls, views = len(server.calls), dict(server.views)
    assert publish()[0] == 0
    assert "UpsertBucket" not in {operation for operation, _ in server.calls[calls:]}
    assert list(server.views) == list(views)
    assert [view["spec"] for view in server.views.values()] == [view["spec"] for view in views.values()]


@pytest.mark.slow
def test_a_sweep_that_is_published_later_comes_beside_the_first(
    publish: Publish, runs: Path, server: WandbServer
) -> None:
    assert publish(SINGLE)[0] == 0
    assert set(server.runs()) == {ids(runs)[SINGLE]}
    view = next(view for view in server.views.values() if view["type"] == "project-view")
    spec = json.loads(view["spec"])
    own = {**spec["section"]["panelBankConfig"]["sections"][0], "name": "A reader's own", "panels": []}
    spec["section"]["panelBankConfig"]["sections"].append(own)
    view["spec"] = json.dumps(spec)
    code, out, err = publish(SWEEP)
    assert code == 0, err
    assert "uploaded: 2 runs" in out
    assert len(server.views) == 2
    space, report = (json.loads(view["spec"]) for view in server.views.values())
    sections = [section["name"] for section in space["section"]["panelBankConfig"]["sections"]]
    assert sections == [SWEEP, "Single runs", "A reader's own"]
    titles = [b["children"][0]["text"] for b in report["blocks"] if b["type"] == "heading"]
    assert titles == [SWEEP, "Single runs"]


@pytest.mark.slow
def test_what_was_deleted_there_is_made_anew(publish: Publish, server: WandbServer) -> None:
    assert publish()[0] == 0
    server.views.clear()
    assert publish()[0] == 0
    assert len(server.views) == 2


@pytest.mark.slow
def test_the_line_at_the_end_of_a_sweep_uploads_it(
    publish: Publish, runs: Path, server: WandbServer, tmp_path: Path
) -> None:
    """As it is copied into a shell. What it has uploaded is not uploaded again, unless to another project."""
    command = upload_command(runs / SWEEP)
    assert command is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "wandb").write_text(f'#!/bin/sh\nexec {sys.executable} -m wandb "$@"\n')
    (tmp_path / "bin" / "wandb").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", command], env=os.environ | {"PATH": path}, check=True, capture_output=True)
    known = ids(runs)
    assert sorted(server.runs()) == sorted([known["k3"], known["k5"]])
    assert upload_command(runs / SWEEP) is None
    code, _, err = publish(SWEEP)
    assert code == 0, err
    assert len(server.runs()) == 2
    server.calls.clear()  # another project, say
    code, _, err = publish(SWEEP, target="tester/q")
    assert code == 0, err
    assert sorted(server.runs()) == sorted([known["k3"], known["k5"]])


# --- mistakes


def test_without_a_key(publish: Publish, runs: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    wandb.teardown()
    code, _, err = publish()
    assert (code, server.calls) == (2, [])
    assert f"no API key for {server.url} is configured here; wandb login asks for one" in err
    assert not (runs / FILE).exists()


def test_a_key_that_is_refused(publish: Publish, runs: Path, server: WandbServer) -> None:
    server.knows_key = False
    code, _, err = publish()
    assert code == 2
    assert "W&B does not take the API key (" in err
    assert "see wandb login --relogin" in err
    assert len(err.splitlines()) == 1
    assert not (runs / FILE).exists()


def test_a_server_that_does_not_answer(publish: Publish, runs: Path, server: WandbServer) -> None:
    server.go_away()
    code, _, err = publish()
    assert code == 1
    assert err == f"W&B does not answer ({server.url}); nothing was published, the same command tries again\n"


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "what", "made"), [("UpsertView2", "workspace", 0), ("upsertView", "report", 1)])
def test_a_server_that_refuses(
    operation: str, what: str, made: int, publish: Publish, runs: Path, server: WandbServer
) -> None:
    """What went well is remembered, so that the next call goes on."""
    server.refuses = lambda called, variables: called == operation
    code, _, err = publish(SINGLE)
    assert code == 2
    assert f"W&B does not take the {what} (" in err
    assert "permission denied" in err
    assert len(server.views) == made
    server.refuses = lambda called, variables: False
    uploaded = len(server.runs())
    assert publish(SINGLE)[0] == 0
    assert (len(server.runs()), len(server.views)) == (uploaded, 2)


@pytest.mark.slow
def test_a_run_that_is_not_taken_is_left_for_the_next_time(publish: Publish, runs: Path, server: WandbServer) -> None:
    refused = ids(runs)["k5"]
    server.refuses = lambda called, variables: called == "UpsertBucket" and variables.get("name") == refused
    code, _, err = publish(SWEEP)
    assert code == 1
    assert "1 of 2 were not uploaded" in err
    assert "the same command goes on with what is left" in err
    (done,) = json.loads((runs / FILE).read_text())[f"{server.url}/tester/p"]["uploaded"]
    assert done == str(offline_parts(runs / SWEEP / "k3")[0].relative_to(runs))
    server.refuses = lambda called, variables: False
    server.calls.clear()
    assert publish(SWEEP)[0] == 0
    assert server.runs() == [refused]


@pytest.mark.parametrize("text", ["", "p", "/p", "tester/", "a/b/c", "a b/c", "a/b?c", "a/" + "b" * 129, "../x%"])
def test_no_project(text: str) -> None:
    with pytest.raises(ConfigError, match="expected your name or your team's at W&B and a project"):
        Target.of(text)


def test_runs_that_are_none(publish: Publish, runs: Path) -> None:
    assert publish("kernl", "--dry-run")[2].startswith("RUN: got kernl, but no run lies there")
    for path in runs.rglob("result.json"):
        path.write_text(path.read_text().replace("wandb_id", "wandb_no"))
    code, _, err = publish("--dry-run")
    assert (code, err.startswith("RUNS: no run was logged to W&B; ")) == (2, True)


def test_a_memory_that_is_damaged(publish: Publish, runs: Path) -> None:
    (runs / FILE).write_text('{"x": 3}')
    code, _, err = publish("--dry-run")
    assert (code, "published.json cannot be read (" in err) == (2, True)
