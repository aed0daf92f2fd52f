"""What a command asks for: composed as Hydra does, nothing is trained or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILE = """\
method: grid
parameters:
  model: {value: softmax}
  optim.lr: {values: [0.1, 0.2]}
  seed: {values: [0, 1]}
"""


def test_one_value_of_a_files_key_is_the_same_sweep(
    train: Callable[..., Any], image_folder: Path, tmp_path: Path
) -> None:
    """To try one run of a sweep before all of it: it is not trained again."""
    (tmp_path / "rates.yaml").write_text(FILE)
    data = ("data=folder", f"data.path={image_folder}", f"data.dir={tmp_path}/cache", "data.batch_size=8")
    small = ("trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "logger=csv", f"runs_dir={tmp_path}/runs")
    call = ("-m", f"sweep={tmp_path}/rates.yaml", *data, *small)
    one = train(*call, "optim.lr=0.2", "seed=1")
    assert (one.code, one.err) == (0, "")
    (folder,) = (tmp_path / "runs" / "rates").glob("*/result.json")
    assert folder.parent.name.startswith("lr=0.2,seed=1-")
    before = folder.read_bytes()
    whole = train(*call)
    assert whole.code == 0
    assert "4 runs, 1 finished before" in whole.out
    assert folder.read_bytes() == before
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["rates"]


@pytest.mark.parametrize("n", [200, 201])
def test_many_trials_are_told_before_they_are_composed(n: int, train: Callable[..., Any]) -> None:
    done = train("-m", "model=softmax", f"seed=range({n})", "task=plan")
    assert done.code == 0
    assert done.out.startswith("201 trials\n") == (n == 201)
