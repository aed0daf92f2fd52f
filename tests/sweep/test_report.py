"""A sweep writes its own report, and none of the trouble with it is the sweep's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Train = Callable[..., Any]


def test_at_its_end(train: Train, image_folder: Path, tmp_path: Path) -> None:
    data = ("data=folder", f"data.path={image_folder}", f"data.dir={tmp_path}/cache", "data.batch_size=8")
    small = ("model=mlp", "model.hidden=[16]", "trainer=cpu", "trainer.threads=1", "trainer.max_epochs=1", "logger=csv")
    call = ("-m", *small, *data, f"runs_dir={tmp_path}/runs", "seed=0,1", "name=first")
    planned = train(*call, "report=true", "task=plan")
    assert (planned.code, (tmp_path / "reports").exists()) == (0, False)

    done = train(*call, "report=true")
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "reports" / "first"
    assert done.out.rstrip().endswith(f"/first/table.csv; the page: {folder}/index.html")
    assert {path.name for path in folder.iterdir()} == {"index.html", "table.csv", "table.md", "figures"}
    assert (folder / "table.md").read_text().startswith("# first\n\n2 runs;")

    (folder / "notes.txt").write_text("mine")
    again = train(*call, "report=true")
    assert (again.code, again.err) == (0, ""), "the runs are done, whatever became of their report"
    assert f"no report was written: --name: {folder} holds notes.txt; take another name, or remove it" in again.out
    assert "the page:" not in again.out

    without = train(*call, "report=false")
    assert without.code == 0
    assert "report" not in without.out.replace("_report", "")
