"""Checkpoint files: a flipped bit is refused, a full disk is said, and nothing lies about elsewhere."""

from __future__ import annotations

import os
import random
import resource
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from fc2conv import LeNet
from fc2conv.errors import ConfigError, DamagedCheckpoint, Interrupted, explain
from fc2conv.record.checkpoint import load_checkpoint, save_checkpoint, verify
from fc2conv.training.checkpoint_io import CheckedFiles
from fc2conv.training.classifier import Classifier
from fc2conv.training.recorded import config_of


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run writes: a network's weights, its hyperparameters, and an optimiser's state."""
    torch.manual_seed(0)
    module = LeNet(extra={"config": {"seed": 0}})
    moments = {i: torch.rand_like(p) for i, p in enumerate(module.parameters())}
    values = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "optimizer_states": moments}
    path = tmp_path_factory.mktemp("kept") / "best.ckpt"
    save_checkpoint(values | {"pytorch-lightning_version": "2.6.6"}, path)
    return path


def flip(source: Path, target: Path, bit: int) -> Path:
    content = bytearray(source.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    target.write_bytes(content)
    return target


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def test_any_flipped_bit_is_refused_or_is_of_no_matter(written: Path, tmp_path: Path) -> None:
    """Between the records lies padding, which nobody reads: what is loaded then is the same to the bit."""
    draw = random.Random(0)
    bits = 8 * written.stat().st_size
    whole, damaged = load_checkpoint(written), tmp_path / "damaged.ckpt"
    said: list[str] = []
    for _ in range(300):
        flip(written, damaged, draw.randrange(bits))
        try:
            found = load_checkpoint(damaged)
        except DamagedCheckpoint as error:
            said.append(str(error))
        else:
            assert same(found, whole)
    assert len(said) >= 290
    assert all(message.startswith(f"{damaged} is damaged, or no checkpoint (") for message in said)


def weight_bit(path: Path) -> int:
    """The lowest bit of a weight: the network that it makes is as good as the right one."""
    weight = load_checkpoint(path)["state_dict"]["net.conv1.weight"]
    return 8 * path.read_bytes().index(weight.contiguous(memory_format=torch.channels_last).numpy().tobytes()[:4])


READERS: dict[str, tuple[Callable[[Path], Any], type[Exception]]] = {
    "load": (lambda path: Classifier.load(str(path)), DamagedCheckpoint),
    "load_from_checkpoint": (LeNet.load_from_checkpoint, DamagedCheckpoint),
    "load_from_checkpoint, allow": (lambda path: LeNet.load_from_checkpoint(path, allow=["x"]), DamagedCheckpoint),
    "Lightning's resume": (CheckedFiles().load_checkpoint, DamagedCheckpoint),
    "task=test": (config_of, ConfigError),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_looks(reader: str, written: Path, tmp_path: Path) -> None:
    read, refusal = READERS[reader]
    read(written)
    damaged = flip(written, tmp_path / "best.ckpt", weight_bit(written))
    assert not same(torch.load(damaged, weights_only=True), load_checkpoint(written)), "torch.load takes it"
    with pytest.raises(refusal, match=r"best.ckpt is damaged, or no checkpoint \(the CRC-32 of \S+/data/\d+ differs\)"):
        read(damaged)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=r"x\.ckpt is damaged, or no checkpoint"):
        verify(tmp_path / "x.ckpt")
    torch.save([1, 2], tmp_path / "x.ckpt")
    with pytest.raises(DamagedCheckpoint, match=r"it holds a list"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_no_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "x.ckpt")


def test_what_is_mapped_stays_right_when_the_file_is_replaced(written: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(written.read_bytes())
    mapped = load_checkpoint(copy, mapped=True)
    (tmp_path / "other").write_bytes(b"0" * copy.stat().st_size)
    os.replace(tmp_path / "other", copy)
    assert same(mapped, load_checkpoint(written))


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file can become larger."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("numel", [100, 100_000], ids=["when it is closed", "in its middle"])
def test_a_disk_that_is_full_is_said(numel: int) -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'") as caught:
        save_checkpoint({"weight": torch.zeros(numel)}, "/dev/full")
    assert explain(caught.value) == (1, "the disk is full (/dev/full); free some space, or choose another runs_dir")


def test_a_file_that_may_not_grow_is_said(tmp_path: Path) -> None:
    with small_files(100_000), pytest.raises(OSError, match=r"File too large: '\S+x.ckpt'"):
        save_checkpoint({"weight": torch.zeros(1_000_000)}, tmp_path / "x.ckpt")


def test_nothing_goes_through_the_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    CheckedFiles().save_checkpoint({"weight": torch.ones(3)}, tmp_path / "x.ckpt")
    assert torch.equal(load_checkpoint(tmp_path / "x.ckpt")["weight"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_signal_while_it_is_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint({"a": 1}, path)

    def interrupted(*args: object, **kwargs: object) -> None:
        raise Interrupted(signal.SIGTERM)

    for owner, name in ((zipfile.ZipFile, "testzip"), (torch, "load")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            with pytest.raises(Interrupted):
                load_checkpoint(path)
