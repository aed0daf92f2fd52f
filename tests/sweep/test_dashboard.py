"""A sweep's study in optuna-dashboard, by the command that the README names."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from fc2conv.config.schema import Config, DataConfig, OptimConfig
from fc2conv.record.result import Result
from fc2conv.sweep.search_space import Parameter, SweepFile
from fc2conv.sweep.study import JOURNAL, Search
from fc2conv.sweep.trials import Trial

FILE = SweepFile(
    Path("question.yaml"),
    "bayes",
    (Parameter("optim.lr", low=0.001, high=0.1, log=True), Parameter("data.batch_size", values=(32, 64, 128))),
    run_cap=3,
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.slow
def test_the_study_opens_in_optuna_dashboard(tmp_path: Path, until: Callable[..., None]) -> None:
    pytest.importorskip("optuna_dashboard")
    sweep = tmp_path / "tune_lenet"

    def compose(point: list[str]) -> Trial:
        values = dict(override.split("=", 1) for override in point)
        optim, data = OptimConfig(lr=float(values["optim.lr"])), DataConfig(batch_size=int(values["data.batch_size"]))
        return Trial.of(Config(optim=optim, data=data), sweep, tuple(point), tuple(point))

    source = Search(sweep, FILE, compose, seed=0, epochs=2)
    for accuracy in (0.25, 0.75):
        trial = source.take()
        assert trial is not None
        trial.folder.mkdir()
        result = Result.of(trial.config, trial.geometry, trial.folder.name)
        result.status, result.val = "done", {"loss": 1.0, "acc": accuracy, "n": 10}
        result.write(trial.folder)
        source.done(trial)
    assert source.take() is not None  # and a third is running

    port = free_port()
    command = "from optuna_dashboard._cli import main; main()"  # the script optuna-dashboard
    with subprocess.Popen(
        [sys.executable, "-c", command, str(sweep / JOURNAL), "--host", "127.0.0.1", "--port", str(port)]
    ) as server:

        def get(path: str) -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
                return json.load(answer)

        def answers() -> bool:
            assert server.poll() is None
            try:
                return bool(get("studies"))
            except URLError:
                return False

        try:
            until(answers, "the dashboard")
            [study] = get("studies")["study_summaries"]
            trials = get(f"studies/{study['study_id']}?after=0")["trials"]
        finally:
            server.terminate()
    assert study["study_name"] == "tune_lenet"
    assert study["directions"] == ["maximize"]
    assert [(t["state"], t.get("values")) for t in trials] == [
        *(("Complete", [0.25]), ("Complete", [0.75]), ("Running", None))
    ]
    assert [{p["name"] for p in t["params"]} for t in trials] == [{"optim.lr", "data.batch_size"}] * 3
