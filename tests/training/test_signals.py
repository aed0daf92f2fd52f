"""What asks a run to stop, and what a closed terminal does to it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.distributed.launcher.api import LaunchConfig

from fc2conv.config.schema import Config
from fc2conv.errors import Interrupted
from fc2conv.training import launch
from fc2conv.training.run import Request
from fc2conv.training.signals import Signals, stopping

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {s: signal.getsignal(s) for s in ALL}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", ALL)
def test_a_signal_stops_at_once(signum: signal.Signals) -> None:
    before = signal.getsignal(signum)
    with Signals() as signals, pytest.raises(Interrupted) as caught:
        signal.raise_signal(signum)
    assert str(caught.value) == f"stopped by {signum.name}"
    assert caught.value.exit_code == 128 + signum
    assert signals.received == signum
    assert signal.getsignal(signum) == before


@pytest.mark.parametrize("signum", ALL)
def test_a_signal_waits_where_it_was_promised_a_look(signum: signal.Signals) -> None:
    with Signals() as signals:
        signals.deferred = True
        signal.raise_signal(signum)
        assert signals.stopping
        with pytest.raises(Interrupted):
            signals.raise_if_received()


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert stopping() == [signal.SIGINT, signal.SIGTERM]
    with Signals() as signals:
        signals.install()
        signal.raise_signal(signal.SIGHUP)
        assert not signals.stopping
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_without_nohup_it_does() -> None:
    assert stopping() == ALL


@pytest.mark.parametrize("nohup", [False, True])
def test_several_processes_hear_the_same(nohup: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's launcher would not leave an ignored signal ignored."""

    class Launched(Exception):
        pass

    def launched(plan: LaunchConfig, entry: object) -> None:
        assert plan.signals_to_handle == ",".join(s.name for s in (ALL[:2] if nohup else ALL))
        raise Launched

    monkeypatch.setattr(launch, "elastic_launch", launched)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    with pytest.raises(Launched):
        launch.launch(Request(Config(), folder=tmp_path), 2)
