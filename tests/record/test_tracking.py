"""Weights & Biases offline: real runs, read back from their files as `wandb leet` does."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from wandb.sdk.lib.wbauth import read_netrc_auth
from wandb_files import history, inspect, records
from wandb_server import WandbServer, wandb_server

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.config.schema import Config, DataConfig, LoggerConfig, OptimConfig, TrainerConfig, WandbConfig
from fc2conv.errors import Interrupted, NonFiniteLoss
from fc2conv.record import access, outage, shown, tracking
from fc2conv.record.arrays import Arrays
from fc2conv.record.result import Result
from fc2conv.training.callbacks import StopOnSignal
from fc2conv.training.run import Request
from fc2conv.training.run import run as run_request

KEY = "0123456789abcdef0123456789abcdef01234567"


def run(config: Config, **more: Any) -> Result | None:
    return run_request(Request(config, **more))


@pytest.fixture
def config(tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    return offline(monkeypatch, tmp_path, data_dir)


def offline(patch: pytest.MonkeyPatch, top: Path, data_dir: str) -> Config:
    """A small run, in a place without an API key."""
    patch.delenv("WANDB_API_KEY", raising=False)
    patch.delenv("WANDB_MODE", raising=False)
    patch.setenv("NETRC", str(top / "no-netrc"))
    wandb.teardown()  # it reads its environment once in a process
    return Config(
        model=LeNetConfig(activation="relu"),
        data=DataConfig(dir=data_dir, train_size=600, val_size=200),
        optim=OptimConfig(name="adam", lr=0.003),
        trainer=TrainerConfig(max_epochs=2, accelerator="cpu", threads=1, progress=False),
        logger=LoggerConfig(wandb=WandbConfig(group="tests")),
        runs_dir=str(top / "runs"),
        name="run",
    )


NAME, NOTES = "it's <b>\n7 × 7</b> 🙂", 'two\nlines, "quoted", 日本'


@dataclass(frozen=True)
class Seen:
    """A run read back."""

    result: Result
    folder: Path
    summary: dict[str, Any]
    records: list[dict[str, Any]]
    said: str


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Iterator[Seen]:
    """A run that uses all that W&B offers, of 5 steps an epoch, whose last epoch is not its best."""
    top = tmp_path_factory.mktemp("wandb")
    asked = WandbConfig(group="tests", name=NAME, notes=NOTES, job_type="try", log_model=True, watch="all", tags=("a",))
    with pytest.MonkeyPatch.context() as patch:
        config = offline(patch, top, data_dir)
        config = replace(
            config,
            optim=replace(config.optim, schedule="constant", lr=0.02),
            trainer=replace(config.trainer, log_every_n_steps=2),
            logger=LoggerConfig(wandb=asked),
        )
        out = io.StringIO()
        with redirect_stdout(out):
            result = run(
                config, overrides=["model=lenet_modern", "model.activation=relu", "seed=0"], model="lenet_modern"
            )
        assert result is not None
        folder = top / "runs" / "run"
        yield Seen(result, folder, inspect(folder)[0], records(folder), out.getvalue())
    wandb.teardown()


def test_a_run_that_is_done(seen: Seen) -> None:
    summary = seen.summary
    assert (summary["state"], summary["exit_code"], summary["tags"]) == ("finished", 0, ["a"])
    assert (summary["name"], summary["notes"]) == (NAME, NOTES)
    (begun,) = (r["run"] for r in seen.records if r["type"] == "run")
    assert (begun["run_group"], begun["job_type"]) == ("tests", "try")
    assert seen.result.wandb_id == summary["run_id"]
    assert f"wandb sync {seen.folder}/wandb/offline-run-" in seen.said


def test_config_and_summary_say_which_model_it_is(seen: Seen) -> None:
    counts = {"parameters": 61706, "macs": 416520, "receptive_field": 16}
    for where in ("config", "summary"):
        assert seen.summary[where].items() >= (counts | {"model": "lenet_modern", "family": "lenet"}).items()
    config = seen.summary["config"]
    assert (config["kernel_size"], config["lr"], config["optim_name"], config["seed"]) == (5, 0.02, "adam", 0)
    assert (config["channels"], config["configuration"]) == ("[6,16]", "lenet_modern activation=relu")
    assert not [key for key, value in config.items() if "." in key or (isinstance(value, dict) and key != "_wandb")]


def test_the_best_epoch_is_the_summary_not_the_last(seen: Seen) -> None:
    rows = [row for row in history(seen.records) if "val/acc" in row]
    assert [row["epoch"] for row in rows] == [1, 2]
    best = max(rows, key=lambda row: row["val/acc"])
    assert best["epoch"] == 1
    summary = seen.summary["summary"]
    assert (summary["val/acc"], summary["val/loss"]) == pytest.approx((best["val/acc"], best["val/loss"]))
    assert (summary["best_epoch"], summary["epoch"], summary["trainer/global_step"]) == (1, 2, 10)
    assert seen.result.test is not None
    assert summary["test/acc"] == pytest.approx(seen.result.test["acc"])


def test_what_is_logged_by_step_and_by_epoch(seen: Seen) -> None:
    rows = history(seen.records)
    assert [row["trainer/global_step"] for row in rows if "train/loss_step" in row] == [2, 4, 6, 8, 10]
    assert {row["lr"] for row in rows if "lr" in row} == {0.02}
    assert all(row["_step"] == row["trainer/global_step"] for row in rows)
    assert [row["epoch"] for row in rows if row.get("images_per_second", 0) > 0] == [1, 2]
    logged = {key for row in rows for key in row}
    assert not [key for key in logged if key.endswith("/n")]
    axes = {r["metric"]["name"]: r["metric"]["step_metric"] for r in seen.records if "name" in r.get("metric", {})}
    assert axes["train/loss_step"] == axes["lr"] == "trainer/global_step"
    assert {axes[name] for name in ("train/loss", "val/acc", "test/acc", "images_per_second")} == {"epoch"}


def test_gradients_and_weights_are_watched(seen: Seen) -> None:
    rows = [row for row in history(seen.records) if any(key.startswith("gradients/") for key in row)]
    assert [row["trainer/global_step"] for row in rows] == [2, 4, 6, 8, 10]
    layers = ("conv1", "conv2", "linear3", "linear4", "output")
    want = {f"{kind}/{n}/{p}" for kind in ("gradients", "weights") for n in layers for p in ("weight", "bias")}
    assert {key.removesuffix("._type") for key in rows[0] if key.endswith("._type")} == want


def test_the_best_checkpoint_is_kept_as_an_artifact(seen: Seen) -> None:
    (kept,) = (r["artifact"] for r in seen.records if r["type"] == "artifact" and r["artifact"]["type"] == "model")
    assert (kept["name"], sorted(kept["aliases"])) == (f"model-{seen.result.wandb_id}", ["best", "latest"])
    (entry,) = kept["manifest"]["contents"]
    best = seen.folder / "checkpoints" / "best.ckpt"
    assert (entry["path"], entry["local_path"], int(entry["size"])) == ("best.ckpt", str(best), best.stat().st_size)
    assert entry["digest"] == b64encode(md5(best.read_bytes()).digest()).decode()


def test_the_charts_of_the_test_are_wandbs_own(seen: Seen) -> None:
    charts = [r["config"]["update"] for r in seen.records if r["type"] == "config"]
    defined = {
        k.rpartition(".")[2]: v["panel_config"] for chart in charts for k, v in chart.items() if "visualize" in k
    }
    assert defined.keys() == {shown.CONFUSION, shown.PER_CLASS}
    assert defined[shown.CONFUSION]["panelDefId"] == shown.CONFUSION_CHART
    assert defined[shown.PER_CLASS]["panelDefId"] == shown.CLASS_CHART
    table = media_table(seen, f"{shown.CONFUSION}_table")
    assert table["columns"] == ["Actual", "Predicted", "nPredictions"]
    assert [n for *_, n in table["data"]] == [n for row in seen.result.confusion or [] for n in row]
    classes = media_table(seen, f"{shown.PER_CLASS}_table")
    assert dict(classes["data"]) == pytest.approx(seen.result.per_class)
    pictures = {"pictures/confusion", "pictures/filters", "pictures/misclassified", "pictures/features_1"}
    assert pictures <= set(seen.summary["summary"])
    assert seen.summary["summary"][shown.MISCLASSIFIED]["nrows"] == 20


def media_table(seen: Seen, key: str) -> dict[str, Any]:
    """The file that a table in the summary names."""
    (path,) = (seen.folder / "wandb").glob(f"offline-run-*/files/{seen.summary['summary'][key]['path']}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_chart_of_many_classes_is_their_largest_cells() -> None:
    counts = [[(i * 7 + j * 3) % 50 + 1000 * (i == j) for j in range(200)] for i in range(200)]
    rows = tracking.confusion_chart(counts, [f"c{i}" for i in range(200)]).table.data
    assert len(rows) == 10_000
    assert min(n for *_, n in rows) >= sorted((n for row in counts for n in row), reverse=True)[9999]
    assert len(tracking.confusion_chart([row[:100] for row in counts[:100]], "x" * 100).table.data) == 10_000


def test_misclassified_images_are_a_table_of_pictures() -> None:
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    arrays = Arrays(
        examples=images,
        example_indices=np.array([7, 1]),
        example_labels=np.array([0, 2]),
        example_predictions=np.array([1, 0]),
        example_confidences=np.array([0.75, 0.5], np.float32),
    )
    table = tracking.examples_table(arrays, ["shirt", "coat", "bag"])
    pictures = [row[0].image for row in table.data]
    assert [picture.size for picture in pictures] == [(5, 4), (5, 4)]
    assert pictures[1].getpixel((4, 3)) == tuple(images[1, :, 3, 4])
    assert [row[1:] for row in table.data] == [["shirt", "coat", 0.75, 7], ["bag", "shirt", 0.5, 1]]
    grey = tracking.examples_table(replace(arrays, examples=images[:, :1]), ["shirt", "coat", "bag"]).data[0][0].image
    assert grey.getpixel((4, 3)) == images[0, 0, 3, 4]


@pytest.mark.parametrize("length", [127, 128, 129, 1000])
def test_names_that_are_cut_stay_different(length: int) -> None:
    one, other = tracking.run_name("k" * length, "a" * 16), tracking.run_name("k" * length, "b" * 16)
    assert len(one) <= 128
    assert (one == "k" * length) == (length <= 128)
    assert (one != other) == (length > 128)
    assert tracking.run_name("\udcff", "a" * 16) == "?"


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


@pytest.mark.usefixtures("draws")
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
    sent = [path.rpartition("/")[2].partition("_10_")[0] for path, _ in server.calls if path.endswith(".png")]
    assert {"confusion", "filters", "misclassified", "features_1"} <= set(sent)
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
    assert f"it is kept; to upload this run: wandb sync --include-online {kept}" in out
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
    assert not access.key_configured()
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
    os.chmod(netrc, 0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert (read_netrc_auth(host=wandb.setup().settings.base_url) is not None) == found
    assert access.key_configured() == found


def test_a_picture_that_cannot_be_shown_stops_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object) -> None:
        raise UnicodeEncodeError("latin-1", "日本", 0, 1, "ordinal not in range")

    monkeypatch.setattr(tracking, "confusion_chart", fail)
    result = run(replace(config, trainer=replace(config.trainer, max_epochs=1)))
    assert result is not None
    assert result.status == "done"
    assert "W&B failed to log the charts of the test (UnicodeEncodeError" in capsys.readouterr().out
    (seen,) = inspect(Path(config.runs_dir) / "run")
    assert (seen["state"], seen["summary"]["status"]) == ("finished", "done")
