"""The report's folder: whole or not at all, and never in the place of something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import pytest
from PIL import Image

from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.report import write
from fc2conv.report.write import Request, build, check_target

Add = Callable[..., Result]


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "charts", lambda report: [])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_report_is_a_page_two_tables_and_figures(sweep: Path, tmp_path: Path, runs_dir: Path) -> None:
    request = Request(("sweep",), runs_dir)
    built = build(request)
    for chart in built.charts:  # Altair's own schema is the oracle
        alt.Chart.from_dict(chart["spec"], validate=True)
        assert not {"config", "width"} & chart["spec"].keys()
    write.write(built, request.folder)
    assert request.folder == tmp_path / "reports" / "sweep"
    assert {path.name for path in request.folder.iterdir()} == {"index.html", "table.csv", "table.md", "figures"}
    assert [path.name for path in request.folder.parent.iterdir()] == ["sweep"], "nothing is left beside it"
    figures = {path.stem for path in (request.folder / "figures").iterdir()}
    assert figures == {
        *("params", "macs", "effect-kernel_size", "parallel", "importance", "curves-accuracy", "curves-loss"),
        *("time", "speed", "classes"),
    }
    for name in figures:
        with Image.open(request.folder / "figures" / f"{name}.png") as picture:
            assert picture.width > 1000
        ElementTree.parse(request.folder / "figures" / f"{name}.svg")


@pytest.mark.usefixtures("no_charts")
def test_an_earlier_report_is_replaced_whole(sweep: Path, add: Add, runs_dir: Path) -> None:
    request = Request(("sweep",), runs_dir)
    write.write(build(request), request.folder)
    (request.folder / "figures" / "old.png").write_bytes(b"")
    before = (request.folder / "table.csv").read_text()
    add(9, 0, 0.5)
    write.write(build(request), request.folder)
    assert not (request.folder / "figures" / "old.png").exists()
    assert (request.folder / "table.csv").read_text().startswith(before)
    assert [path.name for path in request.folder.parent.iterdir()] == ["sweep"]


@pytest.mark.usefixtures("no_charts")
def test_a_report_that_cannot_be_finished_leaves_the_old_one(
    sweep: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(("sweep",), runs_dir)
    write.write(build(request), request.folder)
    before = contents(request.folder)

    def fail(report: object, charts: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "draw", fail)
    built = build(Request(("sweep",), runs_dir, baseline="lenet kernel_size=5"))
    with pytest.raises(KeyboardInterrupt):
        write.write(built, request.folder)
    assert contents(request.folder) == before
    assert [path.name for path in request.folder.parent.iterdir()] == ["sweep"]


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize("foreign", ["notes.txt", "figures/photo.jpg", "figures/deep/a.png", ".git/config"])
def test_what_somebody_added_is_not_deleted(sweep: Path, runs_dir: Path, foreign: str) -> None:
    request = Request(("sweep",), runs_dir)
    write.write(build(request), request.folder)
    (request.folder / foreign).parent.mkdir(parents=True, exist_ok=True)
    (request.folder / foreign).write_text("mine")
    before = contents(request.folder)
    with pytest.raises(
        ConfigError, match=rf"--name: {request.folder} holds {foreign.rpartition('/')[0].split('/')[0]}"
    ):
        write.write(build(request), request.folder)
    assert contents(request.folder) == before


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    check_target(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match="site is no report"):
        check_target(tmp_path / "site")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(ConfigError, match=f"{name} is no folder"):
            check_target(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("kernel_size", "kernel_size"),
        ("../../etc/passwd", "etc_passwd"),
        ("..", "runs"),
        ("<script>alert(1)</script>", "script_alert_1_script"),
        (".hidden", "hidden"),
        ("a" * 300, "a" * 100),
        ("größe 3", "größe_3"),
    ],
)
def test_a_name_makes_a_folder_among_the_reports(name: str, folder: str) -> None:
    assert Request(name=name, runs_dir=Path("somewhere/runs")).folder == Path("somewhere/reports") / folder


def test_names_and_the_command_that_makes_it_again() -> None:
    assert Request().folder == Path("reports/runs")
    assert Request(("runs/kernel_size/",)).title == "kernel_size"
    assert Request(("a", "b")).title == "runs"
    request = Request(("a b",), Path("/x"), out=Path("o"), baseline="lenet lr=0.1")
    assert request.command == "fc2conv report 'a b' --out o --baseline 'lenet lr=0.1' --runs-dir /x"


def test_nothing_to_report_is_told(runs_dir: Path) -> None:
    (runs_dir / "photos").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"no run in .* to report; left out: 1 that cannot be read"):
        build(Request(runs_dir=runs_dir))


@pytest.mark.usefixtures("no_charts")
def test_the_page_has_runs_names_as_text(add: Add, runs_dir: Path) -> None:
    add(model="</script><script>alert(1)</script>", folder="a")
    page = build(Request(runs_dir=runs_dir, name="<b>&")).texts()["index.html"]
    assert "<script>alert(1)" not in page
    assert "<b>" not in page


@pytest.mark.usefixtures("no_charts")
def test_half_a_surrogate_pair_is_written_as_a_question_mark(add: Add, runs_dir: Path) -> None:
    result = add(folder="a")
    result.model = "odd\ud800"
    (runs_dir / "a" / "result.json").write_text(json.dumps(asdict(result)))
    request = Request(runs_dir=runs_dir)
    write.write(build(request), request.folder)
    assert "\nodd?,odd?," in (request.folder / "table.csv").read_text()
