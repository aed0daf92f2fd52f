"""Station 5, "Train it": the rungs learn as torch has them learn, the same for a seed, under every option."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from playground.seen import colours, number, signed
from playground.torch_side import EDGE, RUNGS, fresh, normalised, small_images
from playwright.sync_api import expect

from fc2conv.architectures import plan
from fc2conv.architectures.ladder import LadderConfig

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

STATION = "train"
SLOW = 60_000
"""Milliseconds that a busy machine may take for some steps."""
RACE = """
async function race(options, tests = 20) {
    const { Race } = await import("playground/stations/train_race.js");
    const { bytes } = await import("playground/half.js");
    const { rungs, small } = JSON.parse(document.getElementById("payload").textContent);
    const unpacked = ({ n, pixels, labels }) => ({ n, pixels: bytes(pixels), labels: bytes(labels) });
    const { mean, std } = rungs[0];
    const test = { ...unpacked(small.test), n: tests };
    return new Race({ edge: 14, train: unpacked(small.train), test, classes: 10, mean, std }, options);
}
function run(race, steps) {
    const work = race.work();
    while (race.step < steps) work.next();
}
function until(race, measured) {
    const work = race.work();
    while (race.measured < measured) work.next();
}
"""
"""Makes a race without the page's controls, with few test images."""


def raced(page: Page, body: str, argument: Any = None) -> Any:
    return page.evaluate(f"async (argument) => {{ {RACE} {body} }}", argument)


# --- what is learned


def test_three_steps_are_torchs(page: Page, playground_data: dict[str, Any]) -> None:
    """Of all four rungs, over the end of an epoch; so the shared rung, run as a matrix, gets its own gradients."""
    before, after, orders = raced(
        page,
        """
        const { generator, shuffled } = await import("playground/random.js");
        const weights = () => it.runners.map(({ network }) =>
            network.layers.flatMap((layer) => layer.weight ? [Array.from(layer.weight), Array.from(layer.bias)] : []));
        const it = await race({ images: 100, lr: 0.01, seed: 3 });
        const before = weights();
        run(it, 3);
        const random = generator(4);
        return [before, weights(), [1, 2].map(() => Array.from(shuffled(100, random)))];
        """,
    )
    pixels, labels = small_images(playground_data, "train")
    x = normalised(pixels, playground_data)
    batches = [orders[0][:50], orders[0][50:], orders[1][:50]]
    for rung, start, end in zip(RUNGS, before, after, strict=True):
        net = fresh(rung)
        parameters = list(net.parameters())
        with torch.no_grad():
            for parameter, values in zip(parameters, start, strict=True):
                parameter.copy_(torch.tensor(values).view_as(parameter))
        optimizer = torch.optim.AdamW(parameters, lr=0.01)
        for batch in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), labels[batch]).backward()
            optimizer.step()
        for parameter, values in zip(parameters, end, strict=True):
            found = np.abs(parameter.detach().flatten().numpy() - np.array(values))
            # AdamW divides by tiny second moments: single weights may differ by more
            assert found.mean() < 1e-5, rung
            assert (found < 1e-3).mean() > 0.999, rung


def test_the_loss_falls_and_a_seed_repeats_it(page: Page) -> None:
    first, again, other = raced(
        page,
        """
        const curves = [];
        for (const seed of [0, 0, 1]) {
            const it = await race({ images: 100, seed });
            until(it, 20);
            curves.push(it.runners.map((runner) => runner.curve));
        }
        return curves;
        """,
    )
    assert first == again
    assert first != other
    for curve in first:
        assert [point["step"] for point in curve] == [10, 20]
        assert curve[1]["loss"] < curve[0]["loss"] < np.log(10)
        assert curve[1]["train"] > 0.5


def test_a_pause_changes_nothing(page: Page) -> None:
    """Taken in slices of any length, the work is the same."""
    whole, sliced = raced(
        page,
        """
        const [a, b] = [await race({ images: 100 }), await race({ images: 100 })];
        until(a, 10);
        const { inSlices } = await import("playground/slices.js");
        const work = b.work();
        const piece = function* (n) { for (let i = 0; i < n && b.measured < 10; i++) { work.next(); yield; } };
        while (b.measured < 10) {
            await new Promise((done) => inSlices(piece(333), { onEnd: done }));
        }
        return [a, b].map((it) => it.runners.map((runner) => runner.curve));
        """,
    )
    assert whole == sliced


@pytest.mark.parametrize(
    ("match", "random", "edge", "maps", "delta"),
    [
        ("maps", False, 14, (4, 4, 4, 4), 2),
        ("maps", True, 20, (4, 4, 4, 4), 2),
        ("params", False, 14, (1, 3, 15, 20), 4),
    ],
)
def test_the_networks_are_the_claims(
    page: Page, match: str, random: bool, edge: int, maps: tuple[int, ...], delta: int
) -> None:
    expected = [
        plan(LadderConfig(constraint=rung, channels=n, half_width=delta), (1, edge, edge), classes=10).params  # type: ignore[arg-type]
        for rung, n in zip(RUNGS, maps, strict=True)
    ]
    got = raced(
        page,
        "return (await race(argument)).runners.map(({ network }) => network.params);",
        {"match": match, "random": random},
    )
    assert got == expected


def test_images_are_permuted_and_placed(page: Page) -> None:
    plain, permuted, placed, places = raced(
        page,
        """
        const { generator } = await import("playground/random.js");
        const look = async (options, places) => {
            const { train } = await race(options);
            const at = train.places(generator(5));
            return [[0, 1, 2].map((i) => Array.from(train.look(i, at))), Array.from(at)];
        };
        const [plain] = await look({});
        const [permuted] = await look({ permuted: true });
        const [placed, places] = await look({ random: true });
        return [plain, permuted, placed, places];
        """,
    )
    plain, permuted, placed = (np.array(images) for images in (plain, permuted, placed))
    orders = [{tuple(column) for column in images.T} for images in (plain, permuted)]
    assert orders[0] == orders[1]  # the same pixels, moved in the same way in all three images
    assert (plain != permuted).any()
    assert min(places) == 0
    assert max(places) == 6
    for image, canvas, top, left in zip(plain, placed, places[::2], places[1::2], strict=False):
        expected = np.zeros((20, 20))
        expected[top : top + 14, left : left + 14] = image.reshape(14, 14)
        assert (canvas.reshape(20, 20) == expected).all()


# --- what one does


CHARTS = {"test": "accuracy on test images", "loss": "loss (cross-entropy) on training images"}


def chart(station: Locator, key: str) -> Locator:
    return station.locator(".chart", has=station.page.get_by_text(CHARTS[key], exact=True))


def curves(station: Locator, key: str) -> dict[int, list[float]]:
    """Step -> what a chart says of the four rungs."""
    rows = [row.locator("td").all_text_contents() for row in chart(station, key).locator("tbody tr").all()]
    return {int(step): [number(text) for text in values] for step, *values in rows}


def lines(station: Locator, kind: str = ".line:not(.earlier)") -> list[str | None]:
    """The points of the lines of both charts, as they are drawn."""
    return [line.get_attribute("points") for line in station.locator(f".plot {kind}").all()]


def card(station: Locator, rung: str) -> Locator:
    return station.get_by_role("group", name=rung, exact=True)


def step_of(station: Locator) -> int:
    found = re.search(r"Step (\d+) of \d+, epoch", station.inner_text())
    assert found
    return int(found[1])


def start_and_pause(page: Page, station: Locator) -> None:
    """By keyboard: until the curves have a point."""
    station.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    expect(station.get_by_role("button", name="Pause")).to_be_focused()
    expect(station.locator(".contender strong").first).to_have_text(re.compile(r"\d"), timeout=SLOW)
    page.keyboard.press("Enter")
    expect(station.get_by_role("button", name="Go on")).to_be_focused()


def test_training_draws_curves_and_says_what_came_out(page: Page, station: Locator) -> None:
    """The same numbers in the charts, the cards and the words; those of the training are the race's own."""
    start_and_pause(page, station)
    tested, losses = curves(station, "test"), curves(station, "loss")
    assert list(tested) == list(losses)
    assert next(iter(tested)) == 10
    assert len(lines(station)) == 8
    last = max(tested)
    (race,) = raced(
        page,
        "const it = await race({}); until(it, argument); return [it.runners.map(({ curve }) => curve.at(-1))];",
        last,
    )
    shown = [card(station, rung).locator("p").last.inner_text() for rung in RUNGS]
    assert shown == [
        f"test {share:.3f}, training {point['train']:.3f}" for share, point in zip(_shares(station), race, strict=True)
    ]
    assert tested[last] == pytest.approx(_shares(station), abs=0.006)
    assert losses[last] == pytest.approx([point["loss"] for point in race], abs=0.006)
    words = station.locator(".came-out")
    expect(words).to_contain_text("One run with one seed: differences below 0.05 say nothing; the claim’s runs (n = 10")
    order = sorted(zip(RUNGS, _shares(station), strict=True), key=lambda each: -each[1])
    expect(words).to_contain_text(": " + ", ".join(f"{rung} {share:.3f}" for rung, share in order) + " on 500 test")
    epochs = last / 20  # of 1,000 images, 50 a step
    expect(words).to_contain_text(f"After {epochs:.1f} epochs ({last} steps)")
    expect(words).to_contain_text("n = 10 seeds, 1,000 images")
    expect(words).to_contain_text("dense 0.8130, local 0.8123, shared 0.8062, conv 0.8053")
    expect(card(station, "dense")).to_contain_text("162,298 parameters, of which 7,850")
    for line, rung in zip(chart(station, "test").locator(".line").all(), RUNGS, strict=True):
        name = card(station, rung).get_by_role("heading")
        looks = [
            each.evaluate(f"(e) => getComputedStyle(e).{key}") for each, key in ((line, "stroke"), (name, "color"))
        ]
        assert looks[0] == looks[1]


def _shares(station: Locator) -> list[float]:
    return [float(card(station, rung).locator("strong").inner_text()) for rung in RUNGS]


def test_a_pause_stops_and_going_on_goes_on(page: Page, station: Locator) -> None:
    start_and_pause(page, station)
    before = step_of(station)
    page.evaluate(
        """async () => {
            for (let frame = 0; frame < 10; frame++) await new Promise((done) => requestAnimationFrame(done));
        }"""
    )
    assert step_of(station) == before
    station.get_by_role("button", name="Go on").press("Enter")
    expect(station.get_by_text(f"Step {before} of ")).to_be_hidden()
    station.get_by_role("button", name="Pause").press("Enter")
    assert step_of(station) > before
    assert next(iter(curves(station, "test"))) == 10


def test_it_stops_by_itself(station: Locator) -> None:
    station.get_by_role("button", name="Start").click()
    expect(station.get_by_role("button", name="Go on")).to_be_visible(timeout=SLOW)
    assert max(curves(station, "test")) == step_of(station) == 100
    expect(station.locator(".came-out")).to_contain_text("After 5 epochs (100 steps)")


def test_an_option_begins_anew_and_leaves_a_shadow(page: Page, station: Locator) -> None:
    start_and_pause(page, station)
    before, drawn = colours(station.locator(".looks canvas")), lines(station)
    station.get_by_label("Permute the pixels").focus()
    page.keyboard.press("Space")
    assert (colours(station.locator(".looks canvas")) != before).any()
    expect(station.get_by_text("Step 0 of 100, epoch 0.0")).to_be_visible()
    expect(station.get_by_role("button", name="Start")).to_be_visible()
    assert lines(station, ".earlier") == drawn
    expect(station.locator(".came-out")).to_be_empty()
    start_and_pause(page, station)
    expect(station.locator(".came-out")).to_contain_text("has not trained the ladder on permuted pixels")
    station.get_by_label("Seed").select_option("2")
    assert len(lines(station, ".earlier")) == 16
    station.get_by_role("button", name="Forget earlier runs").click()
    assert lines(station, ".earlier") == []
    station.get_by_role("button", name="Reset").click()
    expect(station.get_by_label("Permute the pixels")).to_be_checked()
    expect(station.get_by_label("Seed")).to_have_value("2")


def test_images_placed_at_random_have_a_claim_of_their_own(
    page: Page, station: Locator, playground_data: dict[str, Any]
) -> None:
    (claimed,) = (
        found["means"]
        for found in playground_data["results"]["constraints"]["matchings"]
        if (found["match"], found["canvas"], found["images"]) == ("maps", 20, 1000)
    )
    station.get_by_label(re.compile("^Place at random")).check()
    start_and_pause(page, station)
    order = sorted(claimed.items(), key=lambda each: -each[1])
    says = ", ".join(f"{rung} {share:.4f}" for rung, share in order)
    expect(station.locator(".came-out")).to_contain_text(f"have {says}.")


def test_the_networks_see_the_training_images(station: Locator, playground_data: dict[str, Any]) -> None:
    """Six, with a pixel between them."""
    pixels, _ = small_images(playground_data, "train")
    shown = colours(station.locator(".looks canvas"))
    for i in range(6):
        assert (shown[:, i * (EDGE + 1) : i * (EDGE + 1) + EDGE, 0] == pixels[i, 0]).all()


def test_weights_of_four_maps_are_drawn(page: Page, station: Locator) -> None:
    """Of the unit in the middle, row and column 7; the dense layer's weights are (maps, units, pixels)."""
    weights = torch.tensor(
        raced(page, "return Array.from((await race({})).runners[0].network.layers[0].weight);")
    ).view(4, EDGE, EDGE, EDGE, EDGE)[:, 7, 7]
    shown = signed(card(station, "dense").locator("canvas"))
    scale = weights.abs().max()
    for map, known in enumerate(weights):
        top, left = (n * (EDGE + 1) for n in divmod(map, 2))
        found = shown[top : top + EDGE, left : left + EDGE]
        torch.testing.assert_close(found, (known / scale).double(), atol=0.02, rtol=0)


def test_options_are_shown_in_the_cards(station: Locator) -> None:
    dense = card(station, "dense")
    station.get_by_label("Matched").select_option("params")
    expect(dense).to_contain_text("1 map, no windows")
    expect(dense).to_contain_text("40,582 parameters, of which 1,970 make the class scores")
    conv = station.get_by_role("group", name="conv", exact=True)
    expect(conv).to_contain_text("20 maps, 9×9 windows")
    expect(station.get_by_label("Matched").locator("option")).to_have_text(
        ["4 maps each, 5×5 windows", "about 40,400 parameters, 9×9 windows"]
    )
    station.get_by_label("Matched").select_option("maps")
    expect(conv).to_contain_text("4 maps, 5×5 windows")
    station.get_by_label("Place at random, on 20×20 (takes longest)").check()
    expect(dense).to_contain_text("657,610 parameters, of which 16,010")
    for label, value in (("Images", "100"), ("Learning rate", "0.01"), ("Seed", "2")):
        station.get_by_label(label, exact=True).select_option(value)
        expect(station.get_by_label(label, exact=True)).to_have_value(value)


# --- for everybody


def test_it_fits_a_phone(playground_page: Path, open_page: Open) -> None:
    page = open_page(playground_page, "#open", width=390)
    start_and_pause(page, page.locator("#train"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for what in (page.locator("#train .lesson tbody td").last, page.get_by_label("Matched")):
        box = what.bounding_box()
        assert box
        assert box["x"] + box["width"] <= 390 - 16, "who wins and what is matched are in view, within the margins"


# --- what is said


def test_the_guess_asks_for_what_a_lenet_does_not_show(station: Locator) -> None:
    asked = station.locator(".guess legend")
    expect(asked).to_contain_text("A LeNet that learns permuted pixels loses 3.2 points of accuracy (claim 1).")
    expect(station.locator(".option.right")).to_contain_text("None of them loses much")
    expect(station.locator(".outcome")).to_contain_text("A LeNet builds windows on windows")


def test_the_axes_stay_and_earlier_runs_have_names(page: Page, station: Locator) -> None:
    """Whatever is trained: accuracies from 0 to 1; and what cannot be compared is forgotten."""
    faint = station.locator(".faint")

    def heights() -> list[str]:
        return station.locator(".plot").first.locator("text[text-anchor=end]").all_text_contents()

    assert heights() == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    expect(faint).to_be_empty()
    start_and_pause(page, station)
    assert heights() == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    station.get_by_label("Seed").select_option("1")
    expect(faint).to_have_text("Faint: earlier runs: seed 0.")
    station.get_by_label("Permute the pixels").check()  # of seed 1 nothing was trained
    expect(faint).to_have_text("Faint: earlier runs: not permuted, seed 0.")
    expect(station.locator(".plot .line.earlier")).to_have_count(8)
    station.get_by_label(re.compile("^Place at random")).check()
    expect(faint).to_be_empty()
    expect(station.locator(".plot .line.earlier")).to_have_count(0)


def test_earlier_runs_are_few_and_none_twice(page: Page) -> None:
    says = page.evaluate(
        """async () => {
            const { Earlier } = await import("playground/stations/train_earlier.js");
            const { DEFAULTS } = await import("playground/stations/train_race.js");
            const race = ({ measured = 20, ...options }) =>
                ({ measured, step: 20, runners: [{ curve: [options] }], options: { ...DEFAULTS, ...options } });
            const stub = { seed: 4, measured: 0 }; // stopped before its curves had a point
            const all =
                [{}, { seed: 1 }, { permuted: true }, { permuted: true }, stub, { match: "params", images: 300 }];
            const earlier = new Earlier();
            return all.map((options, i) => {
                earlier.replace(i ? race(all[i - 1]) : null, race(options));
                return [earlier.says(race(options).options), earlier.curves(0).length];
            });
        }"""
    )
    assert says == [
        ["", 0],
        ["Faint: earlier runs: seed 0.", 1],
        ["Faint: earlier runs: not permuted, seed 1; not permuted.", 2],
        ["Faint: earlier runs: the same options; not permuted, seed 1.", 2],
        ["Faint: earlier runs: permuted, seed 0; seed 1.", 2],
        [
            "Faint: earlier runs: 1,000 images, permuted, 4 maps each, 5×5 windows; "
            "1,000 images, 4 maps each, 5×5 windows, seed 1.",
            2,
        ],
    ]


def test_when_the_convolution_loses_can_be_read_at_a_glance(page: Page, station: Locator) -> None:
    rows = station.locator(".lesson tbody tr")
    found = [row.locator("td").all_text_contents() for row in rows.all()]
    equal_maps, equal_parameters = "4 maps each, 5×5 windows", "about 40,400 parameters, 9×9 windows"
    at_random = f"{equal_maps}, placed at random"
    assert found == [
        [equal_maps, "1,000", "0.8130", "0.8053", "−0.0077", "conv loses"],
        [equal_maps, "10,000", "0.8533", "0.8537", "+0.0004", "neither"],
        [equal_parameters, "1,000", "0.8079", "0.8131", "+0.0052", "conv wins"],
        [equal_parameters, "10,000", "0.8475", "0.8611", "+0.0136", "conv wins"],
        [at_random, "1,000", "0.7263", "0.7163", "−0.0100", "conv loses"],
        [at_random, "10,000", "0.7299", "0.7196", "−0.0103", "conv loses"],
    ]
    expect(station.locator(".lesson")).to_contain_text("n = 10 seeds")
    expect(station.locator(".lesson")).to_contain_text(
        "found −0.0151 with 1,000 images (sharing alone; the table has both constraints)"
    )
    expect(station.locator(".lesson")).to_contain_text("a LeNet loses 3.2 points of accuracy (claim 1, n = 10)")


def test_who_wins_follows_from_the_numbers(page: Page) -> None:
    said, empty = page.evaluate(
        """async () => {
            const { lesson } = await import("playground/stations/train_lesson.js");
            const row = (images, conv) =>
                ({ match: "maps", canvas: 14, images, n: 3, means: { dense: 0.8, local: 0.8, shared: 0.8, conv } });
            const result = { comparisons: [{ margin: 0.01, says: "", estimate: 0 }] };
            const winners = (rows) =>
                [...lesson({ ...result, matchings: rows }, null).querySelectorAll("td:last-child")];
            const texts = [[0.82, 0.795], [0.805, 0.78]].map(([few, many]) =>
                winners([row(1000, few), row(10000, many)]).map((cell) => cell.textContent));
            return [texts, lesson({ comparisons: [] }, null).textContent];
        }"""
    )
    assert said == [["conv wins", "neither"], ["neither", "conv loses"]]
    assert "no recorded runs" in empty


def test_words_are_plain_and_colours_explained(station: Locator) -> None:
    expect(station.get_by_text("loss (cross-entropy) on training images")).to_be_visible()
    expect(station.locator(".signs")).to_be_visible()
    text = station.text_content() or ""
    assert "nats" not in text
    assert "chance" not in text
