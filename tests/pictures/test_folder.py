"""A run's pictures/, drawn from its folder."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fc2conv.config.schema import Config
from fc2conv.pictures import __main__ as beside
from fc2conv.pictures.folder import FOLDER, draw
from fc2conv.record.arrays import Arrays
from fc2conv.record.result import Result

pytestmark = pytest.mark.usefixtures("draws")
ROWS = "epoch,step,lr,train/loss,val/loss,train/acc,val/acc\n1,10,0.01,2.0,2.1,0.3,0.25\n2,20,0.01,1.0,1.1,0.6,0.55\n"
ALL = {"curves.png", "curves.svg", "confusion.png", "filters.png", "misclassified.png", "features_1.png"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of an earlier version: without arrays."""
    result = Result.of(Config(), None, "a <b>", "lenet")
    result.confusion, result.per_class = [[3, 1], [0, 2]], {"cat": 0.75, "<script>": 1.0}
    result.best_epoch = 2
    result.write(tmp_path)
    (tmp_path / "metrics.csv").write_text(ROWS)
    return tmp_path


def leave_arrays(run: Path) -> None:
    one = np.zeros((1, 1, 4, 4), np.uint8)
    numbers = np.zeros(1, np.int64)
    features = {"conv1": np.ones((1, 2, 3, 3), np.float16)}
    mistakes = (one, numbers, numbers, numbers + 1, numbers + 0.9)
    Arrays(np.ones((2, 1, 3, 3), np.float32), *mistakes, one, numbers, features=features).write(run)


def drawn(run: Path) -> set[str]:
    return {path.name for path in draw(run, Result.read(run))}


def test_all_that_a_run_has_left_is_drawn(run: Path) -> None:
    leave_arrays(run)
    assert drawn(run) == ALL == {path.name for path in (run / FOLDER).iterdir()}
    for path in (run / FOLDER).glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 5
    assert "a &lt;b&gt;" in (run / FOLDER / "curves.svg").read_text()


def test_an_earlier_version_s_run_has_fewer_pictures(run: Path) -> None:
    assert drawn(run) == {"curves.png", "curves.svg", "confusion.png"}


def test_a_run_without_an_epoch_has_none(tmp_path: Path) -> None:
    Result.of(Config(), None, "a").write(tmp_path)
    assert drawn(tmp_path) == set()
    assert not (tmp_path / FOLDER).exists()


def test_a_picture_is_written_whole_or_not_at_all(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(run)
    before = {path: path.read_bytes() for path in (run / FOLDER).iterdir()}

    def fail(self: Image.Image, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        drawn(run)
    assert {path: path.read_bytes() for path in (run / FOLDER).iterdir()} == before


def test_what_is_there_is_not_drawn_again_for_a_sweep(run: Path) -> None:
    """Its job may have drawn it for a tracker."""
    leave_arrays(run)
    (run / FOLDER).mkdir()
    (run / FOLDER / "confusion.png").write_bytes(b"of the job")
    assert {path.name for path in draw(run, Result.read(run), again=False)} == {"curves.png", "curves.svg"}
    assert (run / FOLDER / "confusion.png").read_bytes() == b"of the job"


def test_the_process_beside_a_sweep_draws_what_it_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps(str(folder)) + "\n" for folder in (run / "gone\nfolder", run)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(lines)))
    beside.main()
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert out[0].startswith("FileNotFoundError: ")
    assert (run / FOLDER / "curves.png").exists()
