"""The line that uploads a sweep which was offline."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fc2conv.record.uploads import is_synced, offline_parts, upload_command


def part(run: Path, name: str, synced: bool = False) -> Path:
    folder = run / "wandb" / name
    folder.mkdir(parents=True)
    (folder / "run-abc.wandb").touch()
    if synced:
        (folder / "run-abc.wandb.synced").touch()
    return folder


@pytest.mark.parametrize("name", ["kernel_size", "a sweep", "it's $HOME", "a*b", "-x"])
def test_a_shell_finds_what_the_line_names(name: str, tmp_path: Path) -> None:
    sweep = tmp_path / name
    wanted = [part(sweep / f"kernel_size={i},seed=0-0123456789abcdef", f"offline-run-2026_{i}") for i in range(3)]
    part(sweep / "online", "run-2026_4")
    (sweep / "online" / "wandb" / "latest-run").symlink_to("run-2026_4")
    (sweep / "sweep.csv").touch()
    command = upload_command(sweep)
    assert command is not None
    words = subprocess.run(
        ["bash", "-c", command.replace("wandb sync", "printf '%s\\n'", 1)], capture_output=True, text=True, check=True
    )
    assert words.stdout.splitlines() == list(map(str, wanted))


def test_what_is_uploaded_is_not_named(tmp_path: Path) -> None:
    part(tmp_path / "a", "offline-run-1", synced=True)
    (tmp_path / "b" / "wandb" / "offline-run-2").mkdir(parents=True)  # nothing in it
    assert upload_command(tmp_path) is None
    late = part(tmp_path / "a", "offline-run-3")
    assert upload_command(tmp_path) is not None
    assert [(found.name, is_synced(found)) for found in offline_parts(tmp_path / "a")] == [
        ("offline-run-1", True),
        ("offline-run-3", False),
    ]
    assert offline_parts(late.parent.parent)[1] == late
