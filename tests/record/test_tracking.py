"""Weights & Biases offline: real runs, read back from their files as `wandb leet` does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from wandb.sdk.lib.wbauth import read_netrc_auth
from wandb_server import WandbServer, wandb_server

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig, WandbConfig
from fc2conv.errors import Interrupted, NonFiniteLoss
from fc2conv.record import mirror, outage, pictures, tracking
from fc2conv.record.result import Result
from fc2conv.training.callbacks import StopOnSignal
from fc2conv.training.run import Request
from fc2conv.training.run import run as run_request

KEY = "0123456789abcdef0123456789abcdef01234567"


def run(config: Config, **more: Any) -> Result | None:
    return run_request(Request(config, **more))


@pytest.fixture
def config(tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    wandb.teardown()  # it reads its environment once in a process
    return Config(
        model=LeNetConfig(activation="relu"),
        data=DataConfig(dir=data_dir, train_size=600, val_size=200),
        optim=OptimConfig(name="adam", lr=0.003),
        trainer=TrainerConfig(max_epochs=2, accelerator="cpu", threads=1, progress=False),
        logger=LoggerConfig(wandb=WandbConfig(group="tests")),
        runs_dir=str(tmp_path / "runs"),
        name="run",
    )


def inspect(folder: Path) -> list[dict[str, Any]]:
    """What the W&B files in a run's folder say, oldest first."""
    runs = sorted((folder / "wandb").glob("offline-run-*/"))
    read = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json"]
    return [
        json.loads(subprocess.run([*read, str(r)], capture_output=True, text=True, check=True).stdout) for r in runs
    ]


def test_a_run_that_is_done(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(config)
    assert result is not None
    assert result.test is not None
    (seen,) = inspect(Path(config.runs_dir) / "run")
    assert (seen["state"], seen["exit_code"]) == ("finished", 0)
    assert seen["config"]["parameters"] == 61706
    assert (seen["config"]["macs"], seen["config"]["receptive_field"]) == (416520, 16)
    assert seen["config"]["model"]["kernel_size"] == 5
    assert (seen["summary"]["epoch"], seen["summary"]["trainer/global_step"]) == (2, 10)
    assert seen["summary"]["test/acc"] == pytest.approx(result.test["acc"])
    assert seen["summary"]["val/acc"] == pytest.approx((result.val or {})["acc"])
    assert {"train/loss", "train/acc", "pictures/confusion", "pictures/filters"} <= set(seen["summary"])
    media = list((Path(config.runs_dir) / "run" / "wandb").rglob("media/images/**/*.png"))
    assert len(media) == 2
    assert result.wandb_id is not None
    assert "wandb sync" in capsys.readouterr().out


def test_each_run_is_one_of_its_own(config: Config) -> None:
    first, second = run(config), run(replace(config, name="second"))
    assert first is not None
    assert second is not None
    assert first.wandb_id != second.wandb_id
    assert len(inspect(Path(config.runs_dir) / "second")) == 1


def test_a_run_that_failed(config: Config) -> None:
    with pytest.raises(NonFiniteLoss):
        run(replace(config, model=MLPConfig(init="xavier"), optim=OptimConfig(lr=1e30)))
    (seen,) = inspect(Path(config.runs_dir) / "run")
    assert (seen["state"], seen["exit_code"]) == ("failed", 1)
    assert seen["summary"]["status"] == "failed"


def test_an_interrupted_run_goes_on_in_the_same_wandb_run(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = StopOnSignal.on_train_batch_end

    def signal_at(self: StopOnSignal, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 4:
            signal.raise_signal(signal.SIGINT)
        ask(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", signal_at)
        with pytest.raises(Interrupted):
            run(config)
    folder = Path(config.runs_dir) / "run"
    stopped = Result.read(folder)
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["wandb_id"] == stopped.wandb_id
    assert run(config, folder=folder, resumed=True) is not None
    before, after = inspect(folder)
    assert (before["exit_code"], before["summary"]["status"]) == (130, "interrupted")
    assert (after["exit_code"], after["summary"]["status"]) == (0, "done")
    assert before["run_id"] == after["run_id"] == stopped.wandb_id


def test_no_answer_from_the_server_means_offline_and_no_key_is_written(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens on the discard port
    monkeypatch.setattr(tracking, "INIT_TIMEOUT", 2.0)
    wandb.teardown()
    result = run(config)
    assert result is not None
    assert result.status == "done"
    assert "kept offline" in capsys.readouterr().out
    for path in Path(config.runs_dir).rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


@contextmanager
def deaf_server(hangs_up: bool = False) -> Iterator[tuple[str, list[socket.socket]]]:
    """(its address, the connections that it got): it says nothing, or hangs up on whoever calls."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listening.accept()[0])
                    if hangs_up:
                        taken[-1].close()

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", taken
        listening.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


def open_and_close(config: Config, folder: Path) -> bool:
    """Whether the W&B run of `config` is offline."""
    folder.mkdir(parents=True)
    geometry = plan(config.model, (1, 28, 28), 10)
    assert config.logger.wandb is not None
    tracker = tracking.start(config.logger.wandb, Result.of(config, geometry, folder.name), folder, False)
    assert tracker is not None
    offline: bool = tracker.run.settings._offline
    tracker.run.finish()
    return offline


def test_a_sweep_waits_once_for_a_server_that_does_not_answer(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with deaf_server(hangs_up=True) as (url, calls), outage.forgotten(tmp_path):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        wandb.teardown()
        for name in "abc":
            with outage.shared(tmp_path):
                assert open_and_close(config, tmp_path / name)
        assert len(calls) == 1
        out = capsys.readouterr().out
        assert out.count(f"W&B does not answer ({url}); this run is kept offline") == 1
        assert out.count("as another run of this sweep has found; this run is kept offline") == 2
        assert open_and_close(config, tmp_path / "alone")  # a single run asks for itself
        assert len(calls) == 2
    assert not (tmp_path / outage.FILE).exists()
    assert outage.VARIABLE not in os.environ


def test_a_wait_for_the_server_can_be_stopped(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    ask = tracking.answers

    def stopped_while_asking(server: str) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        return ask(server)

    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(tracking, "answers", stopped_while_asking)
    try:
        with deaf_server() as (url, _):
            monkeypatch.setenv("WANDB_BASE_URL", url)
            wandb.teardown()
            with pytest.raises(Interrupted):
                run(config)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert Result.read(Path(config.runs_dir) / "run").status == "interrupted"


@pytest.mark.parametrize("key", ["too-short", KEY])
def test_a_key_that_is_refused_is_no_silent_server(
    key: str, config: Config, server: WandbServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.knows_key = False
    monkeypatch.setenv("WANDB_API_KEY", key)
    wandb.teardown()
    with outage.shared(Path(config.runs_dir)):
        assert open_and_close(config, Path(config.runs_dir) / "run")
        assert not outage.noted()
    assert "W&B refuses the API key (" in capsys.readouterr().out


def test_a_mode_that_is_none_is_named(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    wandb.teardown()
    assert open_and_close(config, Path(config.runs_dir) / "run")
    assert "WANDB_MODE: got onlin, expected one of online, offline, " in capsys.readouterr().out


@pytest.fixture
def server(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server, and a key for it in the environment."""
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        wandb.teardown()
        yield server
    wandb.teardown()


def test_an_online_run(config: Config, server: WandbServer, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(config)
    assert result is not None
    assert result.test is not None
    (upsert, *_) = (v for operation, v in server.calls if operation == "UpsertBucket")
    assert (upsert["name"], upsert["project"], upsert["groupName"]) == (result.wandb_id, "fc2conv", "tests")
    assert json.loads(upsert["config"])["parameters"]["value"] == 61706
    rows = server.history()
    csv = (Path(config.runs_dir) / "run" / "metrics.csv").read_text().splitlines()
    assert [r["epoch"] for r in rows if "val/acc" in r] == [int(line.split(",")[0]) for line in csv[1:]] == [1, 2]
    assert [r["test/acc"] for r in rows if "test/acc" in r] == [pytest.approx(result.test["acc"])]
    assert server.exit_codes() == [0]
    assert len([path for path, _ in server.calls if path.endswith(".png")]) == 2
    assert "offline" not in capsys.readouterr().out
    for path in Path(config.runs_dir).rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_an_outage_in_the_middle_of_a_run_does_not_hold_it(
    config: Config, server: WandbServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT", 1.0)

    def should_prune(epoch: int, accuracy: float) -> bool:
        server.go_away()
        return False

    result = run(config, should_prune=should_prune)
    assert result is not None
    assert result.status == "done"
    assert (result.test or {})["n"] == 10_000
    assert server.exit_codes() == []
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("W&B failed to finish (TimeoutError") == 1
    (kept,) = (Path(config.runs_dir) / "run" / "wandb").glob("run-*")
    assert f"it is kept; to upload this run: wandb sync {kept}" in out
    # what it kept is whole: the format's own end, an exit record, is there
    read = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(kept)]
    seen = json.loads(subprocess.run(read, capture_output=True, text=True, check=True).stdout)
    assert (seen["exit_code"], seen["summary"]["epoch"]) == (0, 2)


def test_a_failure_of_wandb_during_the_run_is_said_once(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise BrokenPipeError("the service is gone")

    start = tracking.start

    def start_broken(*args: Any, **kwargs: Any) -> Any:
        tracker = start(*args, **kwargs)
        assert tracker is not None
        monkeypatch.setattr(tracker.run, "log", fails)
        return tracker

    monkeypatch.setattr(tracking, "start", start_broken)
    result = run(config)
    assert result is not None
    assert result.status == "done"
    assert capsys.readouterr().out.count("the service is gone") == 1


def test_settings_that_wandb_refuses_do_not_stop_the_run(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "no address")
    wandb.teardown()
    result = run(config)
    assert result is not None
    assert (result.status, result.wandb_id) == ("done", None)
    assert capsys.readouterr().out.count("W&B cannot start") == 1


def test_no_logger_leaves_wandb_alone(config: Config) -> None:
    result = run(replace(config, logger=LoggerConfig()))
    assert result is not None
    assert result.wandb_id is None
    assert not (Path(config.runs_dir) / "run" / "wandb").exists()


@pytest.mark.parametrize(
    ("machine", "server", "found"),
    [
        ("api.wandb.ai", None, True),
        ("api.forge.coreweave.com", None, True),
        ("example.com", None, False),
        ("localhost:8080", "http://localhost:8080", True),
        ("localhost", "http://localhost:8080", False),
        ("api.wandb.ai", "http://localhost:8080", False),
    ],
)
def test_a_key_is_found_where_wandb_looks(
    machine: str, server: str | None, found: bool, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B's own function is the oracle."""
    if server:
        monkeypatch.setenv("WANDB_BASE_URL", server)
    wandb.teardown()
    assert not tracking._key_configured()
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
    os.chmod(netrc, 0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert (read_netrc_auth(host=wandb.setup().settings.base_url) is not None) == found
    assert tracking._key_configured() == found


def test_the_first_filters_are_of_the_first_convolution() -> None:
    one, five = torch.rand(6, 1, 1, 1), torch.rand(16, 6, 5, 5)
    bias = torch.rand(6)
    assert pictures.first_filters({"a": bias, "b": five, "c": one}) is five
    assert pictures.first_filters({"a": one, "b": five}) is None
    assert pictures.first_filters({"a": bias}) is None


@pytest.mark.parametrize("classes", [3, 60, 2500])
def test_the_confusion_matrix_is_a_picture_of_bounded_size(classes: int) -> None:
    counts = torch.zeros(classes, classes)
    counts[0, 1] = 7
    picture = pictures.confusion_picture(counts, [f"class {i}" for i in range(classes)])
    assert max(picture.size) <= 2610
    cell = min(40, max(1, 2000 // classes))
    assert picture.getpixel((110 + cell + cell // 2, min(cell // 2, 3))) == (0, 0, 255)  # row 0, column 1
    assert picture.getpixel((110 + cell // 2, min(cell // 2, 3))) == (255, 255, 255)


def test_a_picture_that_cannot_be_made_stops_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object) -> None:
        raise UnicodeEncodeError("latin-1", "日本", 0, 1, "ordinal not in range")

    monkeypatch.setattr(mirror, "confusion_picture", fail)
    result = run(replace(config, trainer=replace(config.trainer, max_epochs=1)))
    assert result is not None
    assert result.status == "done"
    assert "W&B failed to log images (UnicodeEncodeError" in capsys.readouterr().out
