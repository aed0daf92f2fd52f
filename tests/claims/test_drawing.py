"""The figures of claims: what they show, read back from the drawn picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fc2conv.claims import drawing
from fc2conv.claims.claim import Claim, ratio
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.pictures.folder import save_chart


@pytest.fixture
def texts(tmp_path: Path) -> Any:
    """A chart -> the texts of its picture, in their order."""

    def drawn(chart: Any) -> list[str]:
        spec = drawing.spec(chart)
        json.dumps(spec, allow_nan=False)  # JSON has no infinity
        [path] = save_chart(spec, tmp_path / "figure.svg")
        found = [each.text for each in ET.parse(path).iter() if each.tag.endswith(("text", "tspan")) and each.text]
        assert not [text for text in found if "…" in text or "..." in text], "nothing is cut off"
        return found

    return drawn


def rows(chart: Any, layer: int) -> list[dict[str, Any]]:
    """The data of a chart's layer."""
    made = chart.to_dict()
    found: list[dict[str, Any]] = made["datasets"][made["layer"][layer].get("data", made.get("data"))["name"]]
    return found


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("model=lenet_modern data.permutation=fixed", "lenet_modern, fixed"),
        ("model.kernel_size=5 model=lenet", "lenet, kernel_size 5"),
        ("data.permutation=none model.coordinates=true", "permutation none, coordinates true"),
        ("model=mlp model.hidden=[256,128] data=world_order", "mlp, hidden [256,128], world_order"),
        ("model=lenet model.channels=[6, 16]", "lenet, channels [6,16]"),
        ("all", "all"),
    ],
)
def test_a_short_name_has_words_alone_and_figures_with_their_keys(name: str, short: str) -> None:
    assert drawing.short(name) == short


def test_charts_below_each_other_begin_at_one_line(evidence: Evidence) -> None:
    """Titles at the edge of the figure, whatever the labels' widths; a chart alone keeps its own."""
    chart = drawing.dots(evidence, title="All arms")
    made = drawing.stacked(chart, chart).to_dict()
    assert [panel["title"]["frame"] for panel in made["vconcat"]] == ["group", "group"]
    assert "frame" not in chart.to_dict()["title"]


def test_a_forest_says_each_comparison_with_its_verdict(claim: Claim, evidence: Evidence, texts: Any) -> None:
    long = "it takes longer for an image than an MLP of as many parameters, whichever of the two is trained first"
    more = ratio(long, "model=lenet_modern data.permutation=none", "model=mlp data.permutation=none", 1.01, "seconds")
    found = texts(drawing.forest(replace(claim, comparisons=(*claim.comparisons, more)), evidence))
    assert "The order of the pixels" in found
    assert "the MLP does not care for a fixed order" in found
    assert " ".join(text for text in found if text in long) == long
    assert [text for text in found if "n = 3" in text][2] == "undecided: 1 [0, inf], n = 3"
    assert {"Test accuracy: difference", "Seconds: factor"} <= set(found)


@pytest.mark.parametrize(
    ("right", "colour"), [((19, 19, 19), "supported"), ((2, 2, 2), "refuted"), ((15, 16, 18), "undecided")]
)
def test_a_comparison_has_the_colour_of_its_verdict(
    claim: Claim, evidence: Evidence, tmp_path: Path, right: tuple[int, ...], colour: str
) -> None:
    fixed = evidence.arm("model=lenet_modern data.permutation=fixed")
    runs = tuple(Run(seed, {"test.acc": 0.5}) for seed in range(3))
    better = Arm("a", ("a",), tuple(Run(seed, {"test.acc": k / 20}) for seed, k in enumerate(right)))
    made = replace(evidence, arms=(better, replace(fixed, name="b", overrides=("b",), runs=runs)), correct={})
    one = replace(claim, comparisons=(replace(claim.comparisons[1], terms=((1, "a"), (-1, "b"))),))
    [path] = save_chart(drawing.spec(drawing.forest(one, made)), tmp_path / "figure.svg")
    assert drawing.VERDICTS[colour] in path.read_text()


def test_dots_have_a_row_an_arm_with_its_mean(evidence: Evidence, texts: Any) -> None:
    """.85, .9 and .85 have the mean .8667."""
    chart = drawing.dots(evidence, title="What a fixed order costs")
    found = texts(chart)
    assert {"mlp, permutation none: 0.8667", "lenet_modern, fixed: 0.7833", "Test accuracy"} <= set(found)
    assert "What a fixed order costs" in found
    assert len(rows(chart, 1)) == 4 * 3


def test_rows_of_one_label_stay_apart(evidence: Evidence, texts: Any) -> None:
    found = texts(drawing.dots(evidence, evidence.select("model=mlp"), label=lambda arm: "MLP"))
    assert {"MLP: 0.8667", "MLP: 0.8667 (2)"} <= set(found)


def test_an_arm_without_the_figure_is_left_out(evidence: Evidence) -> None:
    without = Arm("timed", ("timed",), (Run(0, {"seconds": 1.0}),))
    more = replace(evidence, arms=(*evidence.arms, without))
    assert len(rows(drawing.dots(more), 2)) == 4


def test_curves_have_a_line_a_colour(evidence: Evidence, texts: Any) -> None:
    def size(arm: Arm) -> float:
        return {"none": 10_000, "fixed": 300}[str(arm.value_of("data.permutation"))]

    def model(arm: Arm) -> str:
        return str(arm.value_of("model"))

    chart = drawing.curves(evidence, size, model, x_title="Training images", log=True)
    assert {"Training images", "Test accuracy", "mlp", "lenet_modern", "300", "10k"} <= set(texts(chart))
    means = [row for row in rows(chart, 1) if row["line"] == "lenet_modern"]
    assert [(row["x"], round(row["mean"], 4)) for row in means] == [(300, 0.7833), (10_000, 0.9333)]
    half = 4.3027 * 0.028868 / 3**0.5  # of three seeds, .75 .8 .8
    assert means[0]["high"] - means[0]["mean"] == pytest.approx(half, abs=1e-4)


def test_lines_leave_out_what_is_no_number(texts: Any) -> None:
    series = {"a": [(0, 0.9, 0.8, 1.0), (1, float("nan"), 0, 0)], "b": [(0, 0.5, 0.4, 0.6), (2, 0.3, 0.2, 0.4)]}
    chart = drawing.lines(series, "Shift (pixels)", "Accuracy", title="Shifts")
    assert len(rows(chart, 0)) == 3
    assert {"Shift (pixels)", "Accuracy", "Shifts", "a", "b", "0", "2"} <= set(texts(chart))


def test_measured_reads_the_numbers_at_the_end_of_names() -> None:
    runs = tuple(
        Run(
            s,
            {"shift.accuracy_0": a, "shift.accuracy_10": a / 2, "shift.accuracy_relative": 9.0, "shift.accuracy_2": a},
        )
        for s, a in enumerate((0.5, 0.75))
    )
    found = drawing.measured(Arm("a", ("a",), runs), "shift.accuracy_")
    assert found == [(0, 0.625, 0.625, 0.625), (2, 0.625, 0.625, 0.625), (10, 0.3125, 0.3125, 0.3125)]


def test_charts_stand_side_by_side(evidence: Evidence, texts: Any) -> None:
    both = drawing.side_by_side(
        drawing.dots(evidence, title="One"), drawing.dots(evidence, title="Other"), title="Both"
    )
    assert {"One", "Other", "Both"} <= set(texts(both))
    assert both.to_dict()["hconcat"][0]["width"] < drawing.WIDTH / 2


def test_a_figure_looks_like_the_others(evidence: Evidence) -> None:
    config = drawing.spec(drawing.dots(evidence))["config"]
    assert (config["background"], config["font"]) == ("white", drawing.FONT)
