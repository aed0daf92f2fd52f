"""Station 2, "Constrain it": counts, matrices and projections are the suite's; and what one does is what one sees."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pytest
import torch
from playground.seen import colours, computed, frames, number, signed
from playground.torch_side import DELTA, EDGE, MAPS, RUNGS, SHAPE, Twin, accuracy, averaged, fresh, normalised
from playwright.sync_api import expect
from torch import nn

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.instruments.matrix import connections, matrix_of
from fc2conv.instruments.release import imposed

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser
STATION = "constrain"
UNITS = EDGE * EDGE


def step_to(station: Locator, rung: str) -> None:
    station.get_by_role("radio", name=re.compile(f"^{rung}")).check()


def point_at(station: Locator, label: str, row: int, column: int) -> None:
    """Move the pointer to the middle of a cell of a 14x14 picture."""
    canvas = station.get_by_label(label, exact=True)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    at = {"x": (column + 0.5) * box["width"] / EDGE, "y": (row + 0.5) * box["height"] / EDGE}
    canvas.hover(position=at)  # type: ignore[arg-type]


def picture(station: Locator, label: str) -> Locator:
    return station.locator(".raster", has=station.page.get_by_label(label, exact=True))


def hidden(net: nn.Module) -> Any:
    return net.get_submodule("hidden")


def relative(values: torch.Tensor) -> torch.Tensor:
    """To the largest of them, as pictures are coloured."""
    return (values / values.abs().max()).double()


# --- arithmetic, beside the suite's


def test_counts_are_the_architectures(page: Page) -> None:
    cases = [(rung, n, delta) for rung, n, delta in product(RUNGS, (5, 8, 14), (0, 1, 2, 4))]
    expected = [
        plan(LadderConfig(constraint=rung, half_width=delta), (1, n, n), classes=10).rows[0].params  # type: ignore[arg-type]
        for rung, n, delta in cases
    ]
    got = page.evaluate(
        """async (cases) => {
            const { biases, weights } = await import("playground/stations/constrain_ladder.js");
            return cases.map(([rung, n, delta]) => weights(rung, n, delta) + biases(rung, n));
        }""",
        cases,
    )
    assert got == expected


def test_two_units_have_the_weights_in_common_that_they_have_in_the_matrix(page: Page) -> None:
    pairs = [(60, 60), (60, 61), (60, 122), (0, 195), (13, 182), (30, 33)]
    got = page.evaluate(
        """async ([rungs, pairs]) => {
            const { common } = await import("playground/stations/constrain_ladder.js");
            const place = (unit) => [Math.floor(unit / 14), unit % 14];
            return rungs.map((rung) => pairs.map(([a, b]) => common(rung, 14, 2, place(a), place(b))));
        }""",
        [RUNGS, pairs],
    )
    for rung, found in zip(RUNGS, got, strict=True):
        structure = connections(hidden(fresh(rung, maps=1)), SHAPE)
        ids: dict[int, set[int]] = {unit: set() for unit in range(UNITS)}
        for unit, weight in zip(structure.rows.tolist(), structure.weights.tolist(), strict=True):
            ids[unit].add(weight)
        assert found == [{"pixels": len(ids[b]), "same": len(ids[a] & ids[b])} for a, b in pairs], rung


def test_matrices_are_the_instruments(page: Page, twins: dict[str, Twin]) -> None:
    for rung, map in product(RUNGS, (0, MAPS - 1)):
        expected = matrix_of(hidden(twins[rung].classifier.net), SHAPE).view(MAPS, UNITS, UNITS)
        got = page.evaluate(
            """async ([index, map]) => {
                const { matrixOf } = await import("playground/stations/constrain_matrix.js");
                const { Network } = await import("playground/network.js");
                const data = JSON.parse(document.getElementById("payload").textContent);
                return Array.from(matrixOf(new Network(data.rungs[index]).layers[0], map));
            }""",
            [RUNGS.index(rung), map],
        )
        assert np.array_equal(np.array(got, np.float32).reshape(UNITS, UNITS), expected[map].numpy())


PROJECTIONS: tuple[tuple[Literal["local", "shared", "conv"], int], ...] = (
    *(("local", 2), ("local", 0), ("shared", 2)),
    *(("conv", 2), ("conv", 5)),
)


def test_projections_are_the_instruments(page: Page, twins: dict[str, Twin]) -> None:
    dense = hidden(twins["dense"].classifier.net)
    got = page.evaluate(
        """async (projections) => {
            const { biasesOf, matrixOf, project, projectBiases } =
                await import("playground/stations/constrain_matrix.js");
            const { Network } = await import("playground/network.js");
            const data = JSON.parse(document.getElementById("payload").textContent);
            const layer = new Network(data.rungs[0]).layers[0];
            return projections.map(([rung, delta]) => [
                Array.from(project(matrixOf(layer, 1), 14, rung, delta)),
                Array.from(projectBiases(biasesOf(layer, 1), rung)),
            ]);
        }""",
        PROJECTIONS,
    )
    for (rung, delta), (matrix, biases) in zip(PROJECTIONS, got, strict=True):
        nearest = imposed(dense, SHAPE, rung, delta)
        expected = matrix_of(nearest, SHAPE).view(MAPS, UNITS, UNITS)[1].numpy()
        assert np.abs(np.array(matrix).reshape(UNITS, UNITS) - expected).max() < 1e-7
        assert nearest.bias is not None
        own = nearest.bias.detach().view(MAPS, -1)[1].expand(UNITS)
        assert np.abs(np.array(biases) - own.numpy()).max() < 1e-7


# --- the ladder


def test_one_steps_along_the_ladder_and_the_weights_count_down(page: Page, station: Locator) -> None:
    falling = station.locator(".falling")
    expect(falling).to_have_text("153,664")
    steps = station.get_by_role("radio", name=re.compile("weights$"))
    steps.first.focus()
    for rung, count in (("local", "16,384"), ("shared", "2,916"), ("conv", "100")):
        page.keyboard.press("ArrowRight")
        expect(station.get_by_role("radio", name=re.compile(rf"^{rung}\s*{count} weights$"))).to_be_checked()
        expect(falling).to_have_text(count)
        expect(station.locator(".says").get_by_role("status")).to_have_text(f"{count} weights")
        expect(station.locator(".counts [aria-current] th")).to_have_text(rung)
        expect(station.locator(".says math")).to_have_attribute("aria-label", f"The {rung} layer")


EQUATIONS = {
    "dense": ("[H]i,j=[U]i,j+∑k,l[W]i,j,k,l[X]k,l", "every pixel, with weights of its own"),
    "local": ("[H]i,j=[U]i,j+∑|a|≤Δ,|b|≤Δ[V]i,j,a,b[X]i+a,j+b", "more than Δ away, with weights of its own"),
    "shared": ("[H]i,j=u+∑a,b[V]a,b[X]i+a,j+b", "every pixel. Weights with the same offset (a, b) are equal"),
    "conv": ("[H]i,j=u+∑|a|≤Δ,|b|≤Δ[V]a,b[X]i+a,j+b", "a window around it, and all windows have the same weights"),
}
"""As in D2L 7.1.2, and in words."""


def test_each_rung_has_its_equation(station: Locator) -> None:
    for rung in (*RUNGS, "dense"):
        step_to(station, rung)
        written, says = EQUATIONS[rung]
        assert re.sub(r"\s", "", station.locator(".says math").text_content() or "") == written
        expect(station.locator(".says")).to_contain_text(says)


def test_the_table_has_the_chapters_numbers_for_a_megapixel(page: Page, station: Locator) -> None:
    rows = station.locator(".counts tbody tr")
    for row, large in enumerate(("1,000,000,000,000", "436,392,100", "3,996,001", "441")):
        expect(rows.nth(row).locator("td").last).to_contain_text(large)
    for row, (layer, whole) in enumerate(
        (("154,448", "162,298"), ("17,168", "25,018"), ("2,920", "10,770"), ("104", "7,954"))
    ):
        expect(rows.nth(row).locator("td").nth(2)).to_have_text(layer)
        expect(rows.nth(row).locator("td").nth(3)).to_have_text(whole)
    slider = station.get_by_label("Δ on the megapixel, in pixels")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(rows.last.locator("td").last).to_contain_text("361")
    cells = rows.locator("td:has(.worked)")
    assert cells.count() == 8
    for cell in cells.all():
        worked = cell.locator(".worked").inner_text()
        assert computed(worked) == number(cell.inner_text().replace(worked, ""))


# --- one unit


def test_a_units_value_is_torchs(station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]) -> None:
    station.get_by_role("radio", name="Map 3").check()
    for rung, (row, column) in product(RUNGS, ((0, 0), (5, 11))):
        layer = hidden(twins[rung].classifier.net)
        with torch.no_grad():
            values = layer(normalised(averaged(playground_data), playground_data))[0]
        step_to(station, rung)
        point_at(station, "The hidden map: a unit", row, column)
        said = station.locator(".reading").first
        expect(said).to_contain_text(f"H{row}, {column}")
        bias = layer.bias.detach().view(MAPS, -1)[2].expand(UNITS).view(EDGE, EDGE)[row, column]
        text = (said.text_content() or "").split(" = ")
        assert number(text[-1].rstrip(".")) == pytest.approx(float(values[2, row, column]), abs=2e-3)
        assert number(text[-2].split()[0]) == pytest.approx(float(bias), abs=6e-4)
        pixels = {"dense": 196, "shared": 196}.get(rung, 9 if row == 0 else 25)
        expect(said).to_contain_text(f"the sum of {pixels} products")


def test_a_weight_is_named_by_its_offset(
    station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    kernel = hidden(twins["conv"].classifier.net).weight.detach()[0, 0]
    x = normalised(averaged(playground_data), playground_data)[0, 0]
    step_to(station, "conv")
    point_at(station, "The hidden map: a unit", 6, 6)
    point_at(station, "The image: a pixel", 5, 8)
    said = station.locator(".reading").first
    expect(said).to_contain_text("Pixel X5, 8, at a = −1, b = 2: V−1, 2 · X5, 8 =")
    product = number((said.text_content() or "").split(" = ")[-1].rstrip("."))
    assert product == pytest.approx(float(kernel[DELTA - 1, DELTA + 2] * x[5, 8]), abs=2e-3)
    point_at(station, "The image: a pixel", 6, 10)
    expect(said).to_contain_text("Pixel X6, 10 is 4 away, more than Δ = 2: not read.")


def test_the_hidden_map_is_coloured_by_its_values(
    station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    station.get_by_role("radio", name="Map 3").check()
    with torch.no_grad():
        values = hidden(twins["dense"].classifier.net)(normalised(averaged(playground_data), playground_data))[0, 2]
    shown = signed(station.get_by_label("The hidden map: a unit", exact=True))
    torch.testing.assert_close(shown, relative(values), atol=0.02, rtol=0)


def test_what_a_unit_reads_is_framed(station: Locator) -> None:
    """In the corner the image cuts the window of 5×5 to 3×3: offsets from 0 down and to 0 across."""
    step_to(station, "conv")
    point_at(station, "The hidden map: a unit", 0, 13)
    assert frames(picture(station, "The image: a pixel"), "frame") == [(11, 0, 3, 3)]
    assert frames(picture(station, "The kernel V, 5×5"), "frame") == [(0, 2, 3, 3)]
    assert frames(picture(station, "The hidden map: a unit"), "frame") == [(13, 0, 1, 1)]


def test_the_kernel_is_what_stands_in_each_window(station: Locator) -> None:
    step_to(station, "conv")
    point_at(station, "The hidden map: a unit", 6, 9)
    own = colours(station.get_by_label("The unit's weights: a pixel"))
    assert (colours(station.get_by_label("The kernel V, 5×5")) == own[4:9, 7:12]).all()


def test_the_kept_unit_stays_in_view(station: Locator) -> None:
    here = station.get_by_label("The unit's weights: a pixel", exact=True)
    there = station.get_by_label("The weights of the unit that is kept", exact=True)
    point_at(station, "The hidden map: a unit", 3, 4)
    first = colours(here)
    station.get_by_role("button", name="Keep this unit").click()
    point_at(station, "The hidden map: a unit", 8, 8)
    assert (colours(there) == first).all()
    assert (colours(here) != first).any()
    expect(station.get_by_text("Weights of unit (8, 8)", exact=True)).to_be_visible()
    expect(station.get_by_text("Weights of unit (3, 4), kept", exact=True)).to_be_visible()
    point_at(station, "The unit's weights: a pixel", 5, 6)
    expect(station.locator(".reading").first).to_contain_text("Pixel X5, 6, at a = −3, b = −2: W8, 8, 5, 6")


def test_moving_says_which_weights_stay_the_same(station: Locator) -> None:
    point_at(station, "The hidden map: a unit", 3, 4)
    station.get_by_role("button", name="Keep this unit").click()
    point_at(station, "The hidden map: a unit", 8, 8)  # 5 down, 4 across: 9 * 10 pixels have an offset in common
    for rung, says in (
        ("dense", "none of the 196 weights is the same"),
        ("local", "none of the 25 weights is the same"),
        ("shared", "90 of 196 weights are the same. They have moved along."),
        ("conv", "all 25 weights are the same. They have moved along."),
    ):
        step_to(station, rung)
        expect(station.get_by_text("From unit (3, 4) to (8, 8)")).to_contain_text(says)
    step_to(station, "shared")
    assert frames(picture(station, "The unit's weights: a pixel"), "same") == [(4, 5, 10, 9)]
    assert frames(picture(station, "The weights of the unit that is kept"), "same") == [(0, 0, 10, 9)]


def test_units_are_pointed_at_by_keyboard(page: Page, station: Locator) -> None:
    step_to(station, "conv")
    point_at(station, "The hidden map: a unit", 3, 4)
    station.get_by_label("The hidden map: a unit", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(station.get_by_text("to (4, 5)")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("H4, 5 = u + the sum of 25 products")


def test_another_image_has_other_units(page: Page, station: Locator) -> None:
    said = station.locator(".reading").first
    before = said.text_content()
    station.locator(".picker > summary").click()
    station.locator(".garments input").nth(3).check()
    expect(said).not_to_have_text(before or "")


# --- the matrix


def imposing(dense: nn.Module, rung: str, delta: int = DELTA) -> nn.Module:
    """The trained dense rung with the constraints of another one."""
    after = copy.deepcopy(dense)
    if rung != "dense":
        after.set_submodule("hidden", imposed(hidden(after), SHAPE, cast(Any, rung), delta))
    return after


ONE_IMAGE = 0.25
"""Of 500, in percent, with something for rounding."""


def test_imposed_constraints_cost_what_they_cost_in_torch(
    station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    nets = {rung: twins[rung].classifier.net for rung in RUNGS}
    station.get_by_label("Zero what is far").check()
    expect(station.get_by_role("radio", name=re.compile("^local"))).to_be_checked()
    station.get_by_label("Average along the diagonals").check()
    expect(station.get_by_role("radio", name=re.compile("^conv"))).to_be_checked()
    rows = station.locator(".accuracies tbody tr")
    expect(rows.last.locator("td").first).to_have_text(re.compile("%"), timeout=60_000)
    known = [[100 * accuracy(net, playground_data) for net in (imposing(nets["dense"], r), nets[r])] for r in RUNGS]
    for row, expected in zip(rows.all(), known, strict=True):
        shown = [number(text.rstrip(" %")) for text in row.locator("td").all_text_contents()]
        assert shown == pytest.approx(expected, abs=ONE_IMAGE)
    says = station.locator(".imposing .reading").inner_text()
    assert "locality and sharing costs" in says
    (dense, _), (after, within) = known[0], known[3]
    points = [float(n) for n in re.findall(r"([\d.]+) points", says)]
    assert points[0] == pytest.approx(dense - after, abs=2 * ONE_IMAGE)
    is_luck = "no more than luck" in says
    assert is_luck == (abs(dense - within) < 3)
    assert points[1:] == ([] if is_luck else pytest.approx([abs(dense - within)], abs=2 * ONE_IMAGE))

    station.get_by_label("Δ of the windows, in pixels").fill("3")
    wider = 100 * accuracy(imposing(nets["dense"], "conv", 3), playground_data)
    expect(rows.last.locator("td").first).to_have_text(re.compile("%"), timeout=60_000)
    shown = number((rows.last.locator("td").first.text_content() or "").rstrip(" %"))
    assert shown == pytest.approx(wider, abs=ONE_IMAGE)


def test_a_wider_window_keeps_more(page: Page, station: Locator) -> None:
    station.get_by_label("Zero what is far").check()
    caption = station.locator(".layer figcaption")
    expect(caption).to_contain_text("of which 34,320 are zero")
    expect(caption).to_contain_text("4,096 hold 4,096 different weights")
    station.get_by_label("Δ of the windows, in pixels").focus()
    page.keyboard.press("ArrowRight")
    expect(caption).to_contain_text(f"{(14 * 7 - 12) ** 2:,} hold")
    expect(station.locator(".falling")).to_have_text(f"{4 * (14 * 7 - 12) ** 2:,}")
    station.get_by_label("Trained under the constraints").check()
    expect(caption).to_contain_text("4,096 hold")


def test_the_matrix_is_pointed_at_by_row(station: Locator) -> None:
    canvas = station.get_by_label(re.compile("^The layer as a matrix"))
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    canvas.hover(position={"x": box["width"] * 31.5 / UNITS, "y": box["height"] * 47.5 / UNITS})
    expect(station.locator(".layer figcaption")).to_contain_text("the row of unit (3, 5)")
    assert frames(station.locator(".layer"), "row") == [(0, 46.5, UNITS, 2)]  # its middle is that of row 47
    expect(station.locator(".reading").first).to_contain_text("Pixel X2, 3")


# --- for everybody


def test_it_fits_a_phone(playground_page: Path, open_page: Open) -> None:
    page = open_page(playground_page, "#open", width=390)
    step_to(page.locator("#constrain"), "conv")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# --- what is said


def test_the_chapters_equation_stays_above_and_the_rungs_own_stands_at_its_number(station: Locator) -> None:
    above = station.locator(".station > .equations")
    for rung in RUNGS:
        step_to(station, rung)
        labels = above.locator("math").evaluate_all("all => all.map((math) => math.getAttribute('aria-label'))")
        assert labels == ["A dense layer on an image", "The same, by offset"]
        expect(station.locator(".says").get_by_label(f"The {rung} layer")).to_be_visible()
    number, equation = (station.locator(at).bounding_box() for at in (".falling", ".says math"))
    assert number
    assert equation
    assert 0 <= equation["y"] - (number["y"] + number["height"]) < 40  # pixels below it


def test_the_guess_says_what_falls_away_at_the_border(station: Locator) -> None:
    whole, local = 4 * 196 * 25, 4 * 4096
    said = station.locator(".outcome")
    expect(said).to_contain_text(f"{whole:,} would be 25 for each of the 784 units")
    expect(said).to_contain_text(f"{whole - local:,} fall away")


def test_formulas_are_derived_and_words_explained(station: Locator) -> None:
    lines = station.locator(".derived li")
    expect(lines).to_have_text([re.compile(f"^{rung} ") for rung in RUNGS])
    expect(lines.nth(1)).to_contain_text("(n(2Δ + 1) − Δ(Δ + 1))²: along one axis n windows of 2Δ + 1, less")
    expect(lines.nth(2)).to_contain_text("(2n − 1)²: 2n − 1 offsets of rows")
    expect(station.locator(".guess legend")).to_contain_text("A map is a grid of 14×14 units")
    expect(station.get_by_text("The head is the last dense layer: it makes 10 scores")).to_be_visible()


def test_all_numbers_follow_the_width_in_force(page: Page, station: Locator) -> None:
    """A window that no network learned with: the cards have its weights, and nothing is said of such a network."""
    step_to(station, "conv")
    station.get_by_label(re.compile("^Those of the trained dense layer")).check()
    reading = station.locator(".imposing .reading")
    expect(reading).to_contain_text("A network that learned under it", timeout=60_000)
    station.get_by_label("Δ of the windows, in pixels").fill("6")
    for rung, count in (("dense", 153_664), ("local", 4 * (14 * 13 - 42) ** 2), ("shared", 2916), ("conv", 4 * 169)):
        expect(station.get_by_role("radio", name=re.compile(f"^{rung}"))).to_have_accessible_name(
            re.compile(f"{count:,} weights")
        )
    expect(station.locator(".accuracies th").nth(2)).to_have_text("trained under it (Δ\u00a0=\u00a02)")
    expect(reading).to_contain_text("locality and sharing", timeout=60_000)
    expect(reading).not_to_contain_text("A network that learned")
    step_to(station, "shared")  # has no windows
    expect(reading).to_contain_text("A network that learned under it")


def test_weights_of_the_dense_layer_keep_the_rung(station: Locator) -> None:
    step_to(station, "conv")
    boxes = [station.get_by_label(text) for text in ("Zero what is far", "Average along the diagonals")]
    for box in boxes:
        expect(box).to_be_checked()  # the rung's own constraints
    station.get_by_label(re.compile("^Those of the trained dense layer")).check()
    expect(station.get_by_role("radio", name=re.compile("^conv"))).to_be_checked()
    station.get_by_label("Trained under the constraints").check()
    boxes[1].uncheck()
    expect(station.get_by_role("radio", name=re.compile("^local"))).to_be_checked()
    expect(station.get_by_label(re.compile("^Those of the trained dense layer"))).to_be_checked()


def test_accuracies_are_told_from_guessing(page: Page, station: Locator) -> None:
    says = page.evaluate(
        """async () => {
            const { costSays } = await import("playground/stations/constrain_layer.js");
            const of = (within) => costSays("conv", { dense: 0.864, after: 0.168, within }, true, 500);
            return [of(0.882), of(0.7)];
        }"""
    )
    assert "costs 69.6 points" in says[0]
    assert says[0].endswith("differs from the dense one by no more than luck with 500 test images would.")
    assert says[1].endswith("is 16.4 points below the dense one.")
    expect(station.locator(".accuracies caption")).to_contain_text("guessing: 10\u00a0%")


def test_it_says_which_part_of_the_claim_came_out_otherwise(page: Page, station: Locator) -> None:
    expect(station.locator(".shows")).to_contain_text(
        "Claim 3 expects more: that the constraints gain accuracy. That came out otherwise for “sharing gains where "
        "images lie at random, at equal maps and 1,000 images” (−0.0151); 3 other comparisons could not be decided."
    )
    silent = page.evaluate(
        """async () => {
            const { surprise } = await import("playground/stations/constrain_claim.js");
            return [null, { comparisons: [] }, { comparisons: [{ verdict: "supported" }] }].map(surprise);
        }"""
    )
    assert silent == ["", "", ""]


def test_pictures_of_weights_say_what_their_colours_mean(station: Locator) -> None:
    expect(station.locator(".signs")).to_have_count(2)
    expect(station.locator(".layer .signs")).to_be_visible()
