"""Finding runs: all in a folder, and the one that a name means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError
from fc2conv.record.result import FILE, Result
from fc2conv.record.runs import collect, disk_usage, find, folders_of_runs, label

IDENTITY, OTHER = "0123456789abcdef", "fedcba9876543210"
NAMES = (
    "lenet_1",
    "lenet_10",
    "2026-11-26_13-50-35_mlp_a592",
    f"kernels/kernel_size=3,seed=1-{IDENTITY}",
    f"kernels/kernel_size=3,seed=10-{IDENTITY}",
    f"kernels/kernel_size=5,seed=0-{IDENTITY}",
    f"kernels/kernel_size=5,seed=0-{OTHER}",
)


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs, and the folder that it lies in is the present one."""
    for name in NAMES:
        (tmp_path / "runs" / name).mkdir(parents=True)
        Result.of(Config(), None, name.rpartition("/")[2]).write(tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    return Path("runs")


@pytest.mark.parametrize(
    ("name", "want"),
    [
        *((name, name) for name in NAMES),
        ("runs/lenet_1", "lenet_1"),
        ("lenet_1/", "lenet_1"),
        ("2026", "2026-11-26_13-50-35_mlp_a592"),
        # the whole label comes before longer names that begin so
        ("kernels/kernel_size=3,seed=1", NAMES[3]),
        ("kernel_size=3,seed=1", NAMES[3]),
        ("kernel_size=3,seed=10", NAMES[4]),
        (f"kernels/kernel_size=5,seed=0-{OTHER[:2]}", NAMES[6]),
    ],
)
def test_what_a_name_means(top: Path, name: str, want: str) -> None:
    assert find(name, top) == top / want


def test_a_path_elsewhere(top: Path, tmp_path: Path) -> None:
    Result.of(Config(), None, "x").write(tmp_path)
    assert find(str(tmp_path), top) == tmp_path
    assert find(str(tmp_path), Path("none")) == tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet", "RUN: got lenet, which may be lenet_1, lenet_10"),
        ("kernel_size=5,seed=0", f"RUN: got kernel_size=5,seed=0, which may be {NAMES[5]}, {NAMES[6]}"),
        ("kernels", f"RUN: got kernels, which may be {', '.join(NAMES[3:])}"),
        ("lennet_1", "RUN: got lennet_1, but no run lies there nor in runs/; did you mean lenet_1?"),
        ("zzz", "RUN: got zzz, but no run lies there nor in runs/; fc2conv runs lists what there is"),
        ("", "RUN: got , but no run lies there nor in runs/; fc2conv runs lists what there is"),
    ],
)
def test_a_name_that_means_no_run_or_several(top: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(name, top)
    assert str(caught.value) == message


def test_beginnings_are_refused_where_the_whole_name_is_wanted(top: Path) -> None:
    assert find("lenet_1", top, whole=True) == top / "lenet_1"
    assert find("kernels/kernel_size=3,seed=1", top, whole=True) == top / NAMES[3]
    with pytest.raises(ConfigError, match=r"^RUN: got 2026, expected a whole name, as 2026-11-26_13-50-35_mlp_a592$"):
        find("2026", top, whole=True)
    with pytest.raises(ConfigError, match="no run lies there"):
        find("zzz", top, whole=True)


def test_many_candidates_are_cut_short(top: Path) -> None:
    for i in range(12):
        (top / f"x{i:02}").mkdir()
        Result.of(Config(), None, "x").write(top / f"x{i:02}")
    with pytest.raises(ConfigError, match=r"x08, x09 and 2 more$"):
        find("x", top)


def test_no_folder_of_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--runs-dir: got .*, but there is no such folder"):
        find("x", tmp_path / "none")


def test_only_an_identity_is_no_part_of_the_label() -> None:
    assert label(f"a/b=1-{IDENTITY}") == "a/b=1"
    for name in ("lenet-2024", "2026-11-26_13-50-35_mlp_a592", IDENTITY, f"a-{IDENTITY}0"):
        assert label(name) == name


def test_links_are_not_followed(top: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Result.of(Config(), None, "x").write(tmp_path / "elsewhere")
    (top / "link").symlink_to(tmp_path / "elsewhere")
    (top / ".hidden").mkdir()
    assert [str(f.relative_to(top)) for f in folders_of_runs(top)] == sorted(NAMES)
    assert list(collect(top).runs) == [top / name for name in sorted(NAMES)]


def test_a_damaged_record_is_named(top: Path) -> None:
    (top / "lenet_1" / FILE).write_text("{")
    found = collect(top)
    assert found.unreadable == ["lenet_1"]
    assert len(found.runs) == len(NAMES) - 1
    assert find("lenet_1", top) == top / "lenet_1"


def test_disk_usage_counts_blocks_once(tmp_path: Path) -> None:
    """du's rule: what is allocated, each file once, whatever it is called."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "big").write_bytes(os.urandom(100_000))
    before = disk_usage(tmp_path)
    assert before >= 100_000
    os.link(tmp_path / "a" / "big", tmp_path / "again")
    (tmp_path / "link").symlink_to(tmp_path / "a" / "big")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert disk_usage(tmp_path) - before < 10_000
