"""Station 4: receptive fields as the suite's instrument and torch's autograd have them, and what pointing shows."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from playground.seen import frames, greys, number, signed, theme
from playground.torch_side import Twin, images_of
from playwright.sync_api import expect

from fc2conv.architectures import ModelConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.config.schema import DataConfig
from fc2conv.data.image_data import ImageData
from fc2conv.instruments.layers import watched
from fc2conv.instruments.receptive_field import theoretical
from fc2conv.playground.networks import describe
from fc2conv.training.classifier import Classifier

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

STATION = "inside"

GEOMETRIES: dict[str, ModelConfig] = {
    "the book's": LeNetConfig(channels=(2, 3), hidden=(5,)),
    "mirrored": LeNetConfig(channels=(2, 3), padding=2, padding_mode="reflect", kernel_size=(5, 3), hidden=(5,)),
    "wrapped": LeNetConfig(channels=(2, 3), padding="same", padding_mode="circular", pool="max", head="gap"),
    "repeated": LeNetConfig(channels=(2,), padding=3, padding_mode="replicate", stride=2, hidden=(5,)),
    "dilated": LeNetConfig(channels=(2, 3), dilation=2, padding="same", kernel_size=3, pool="none", hidden=(5,)),
    "separable": LeNetConfig(channels=(2, 3), separable=True, pool="strided", norm="batch", head="gap"),
    "local": LadderConfig(constraint="local", channels=2, half_width=3),
    "shared": LadderConfig(constraint="shared", channels=2),
}


@pytest.fixture(scope="module")
def small(data_dir: str) -> ImageData:
    """Images of 14x14."""
    data = ImageData(DataConfig(dir=data_dir, size=14))
    data.setup()
    return data


@pytest.fixture(scope="session")
def lenet(twins: dict[str, Twin]) -> Twin:
    return twins["lenet"]


def floor(station: Locator, name: str) -> Locator:
    """A layer's part of the station."""
    return station.locator(".floor").filter(has=station.page.get_by_role("heading", name=re.compile(rf"^{name} ")))


def maps(station: Locator, name: str) -> Locator:
    return floor(station, name).locator("[role=application]")


def told(station: Locator) -> dict[str, str]:
    """What is said of the unit that is pointed at."""
    terms = station.locator(".told dt").all_inner_texts()
    return dict(zip(terms, station.locator(".told dd").all_inner_texts(), strict=True))


def unit(station: Locator) -> str:
    return station.locator("h3.unit").inner_text()


GAP = 4
"""Pixels between maps."""


def scale_of(canvas: Locator, rows: int) -> int:
    """Pixels of a cell, where maps of so many rows lie side by side."""
    return int(canvas.evaluate(f"(c) => Math.floor(c.height / {rows})"))


def tiles(picture: torch.Tensor, size: tuple[int, int], grid: tuple[int, int], scale: int) -> torch.Tensor:
    """(rows, columns, height, width): the cells of maps that lie in a grid, from a picture (H, W)."""
    height, width = (n * scale + GAP for n in size)
    middle = scale // 2
    return torch.stack(
        [
            torch.stack(
                [
                    picture[i * height : (i + 1) * height - GAP, j * width : (j + 1) * width - GAP][
                        middle::scale, middle::scale
                    ]
                    for j in range(grid[1])
                ]
            )
            for i in range(grid[0])
        ]
    )


def point(station: Locator, name: str, unit: tuple[int, int, int], size: tuple[int, int], press: bool = False) -> None:
    """Move the mouse to a unit (map, row, column) of a layer, whose maps of that size lie side by side."""
    canvas = maps(station, name)
    canvas.scroll_into_view_if_needed()
    scale = scale_of(canvas, size[0])
    at, row, column = unit
    where = {"x": at * (size[1] * scale + GAP) + (column + 0.5) * scale, "y": (row + 0.5) * scale}
    if press:
        canvas.click(position=where)
    else:
        canvas.hover(position=where)


def outputs(twin: Twin, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Layer -> its output for an image, without the batch."""
    with torch.no_grad(), watched(twin.classifier.net) as found:
        twin.classifier.net(twin.sees(pixels))
    return {name: output.value[0] for name, output in found.items()}


# --- without the page's elements


@pytest.mark.parametrize("name", GEOMETRIES)
def test_fields_are_those_of_the_instrument(name: str, small: ImageData, page: Page) -> None:
    """Some units of every layer; the instrument lets NaN spread from the image."""
    torch.manual_seed(0)
    module = Classifier(GEOMETRIES[name], small.shape).eval()
    description = describe(Path("made-up"), module, small)
    known = theoretical(module, small.shape)
    generator = np.random.default_rng(0)
    asked = [
        (at, int(index))
        for at, layer in enumerate(description["layers"])
        for index in generator.integers(np.prod(layer["output"]), size=8)
    ]
    got = page.evaluate(
        """async ([description, asked]) => {
            const { fields } = await import("playground/stations/inside_field.js");
            const { Network } = await import("playground/network.js");
            const { layers } = new Network(description);
            return asked.map(([at, index]) => Array.from(fields(layers, at, index)[0].mask));
        }""",
        [description, asked],
    )
    for (at, index), mask in zip(asked, got, strict=True):
        layer = description["layers"][at]
        field = known[layer["name"]]
        seen = np.array(mask, bool).reshape(small.shape[1:])
        if len(layer["output"]) == 3:
            row, column = divmod(index % (layer["output"][1] * layer["output"][2]), layer["output"][2])
            assert (seen == np.outer(field.rows[row], field.columns[column])).all(), (layer["name"], index)
        elif layer["kind"] == "flatten":  # the instrument joins all features
            assert 0 < seen.sum() <= field.size[0] * field.size[1]
        else:
            assert seen.all() == (field.rows.all() and field.columns.all())


def test_gradients_are_autograds(lenet: Twin, playground_data: dict[str, Any], page: Page) -> None:
    """Of three units a layer, by the image, and how they spread."""
    (description,) = (each for each in playground_data["networks"] if each["id"] == "lenet")
    pixels, _ = images_of(playground_data)
    generator = np.random.default_rng(0)
    asked = [
        (at, int(index))
        for at, layer in enumerate(description["layers"])
        for index in generator.integers(np.prod(layer["output"]), size=3)
    ]
    got = page.evaluate(
        """async ([description, pixels, asked]) => {
            const { gradientOf, spread } = await import("playground/stations/inside_field.js");
            const { Network } = await import("playground/network.js");
            const network = new Network(description);
            network.forward(network.prepare(Uint8Array.from(pixels)));
            return asked.map(([at, index]) => {
                const gradient = gradientOf(network, at, index);
                const { half, most, weights } = spread(gradient, network.input);
                return { gradient: Array.from(gradient), half, most, sum: weights.reduce((a, b) => a + b, 0) };
            });
        }""",
        [description, pixels[0].tolist(), asked],
    )
    x = lenet.sees(pixels[:1]).requires_grad_()
    with watched(lenet.classifier.net) as found:
        lenet.classifier.net(x)
    for (at, index), answer in zip(asked, got, strict=True):
        value = found[description["layers"][at]["name"]].value.flatten()[index]
        (expected,) = torch.autograd.grad(value, x, retain_graph=True)
        known, size = expected.flatten(), expected.abs().sum()
        assert (torch.tensor(answer["gradient"]) - known).norm() <= 1e-4 * known.norm()
        falling = (known.abs().sort(descending=True).values / size).nan_to_num().double().cumsum(0)
        assert answer["sum"] == pytest.approx(1 if size else 0)
        for key, share in (("half", 0.5), ("most", 0.9)):
            assert abs(answer[key] - (int((falling < share).sum()) + 1 if size else 0)) <= 1


def test_terms_sum_to_the_value(lenet: Twin, playground_data: dict[str, Any], page: Page) -> None:
    """Of every kind of layer with weights: products and bias are the unit."""
    pixels, _ = images_of(playground_data)
    errors = page.evaluate(
        """async ([descriptions, pixels]) => {
            const { termsOf } = await import("playground/stations/inside_terms.js");
            const { Network } = await import("playground/network.js");
            return descriptions.flatMap((description) => {
                const network = new Network(description);
                network.forward(network.prepare(Uint8Array.from(pixels)));
                return network.layers.flatMap((layer, at) =>
                    [0, 7, layer.out.length - 1].map((index) => {
                        const { products, bias, value, reads, kind } = termsOf(network, at, index);
                        const sum = (values) => values.reduce((a, b) => a + b, 0);
                        if (products) return Math.abs(sum(products) + bias - value);
                        if (kind === "global_average") return Math.abs(sum(reads) / reads.length - value);
                        return kind === "pool" ? Math.abs(Math.max(...reads) - value) : 0;
                    }),
                );
            });
        }""",
        [playground_data["networks"], pixels[0].tolist()],
    )
    assert max(errors) < 1e-3


# --- the page


def test_pointing_at_a_unit_lights_its_field(lenet: Twin, playground_data: dict[str, Any], station: Locator) -> None:
    """conv2's unit (4, 6) reads rows 4 to 8 of pool1, which are rows 8 to 17 of conv1, which reads 2 more around."""
    pixels, _ = images_of(playground_data)
    value = float(outputs(lenet, pixels[:1])["conv2"][3, 4, 6])
    point(station, "conv2", (3, 4, 6), (18, 18))
    expect(station.locator("h3.unit")).to_have_text("conv2, map 4, row 4, column 6")  # maps count from 1
    found = told(station)
    assert float(found["Value"].replace("−", "-")) == pytest.approx(value, abs=6e-4)
    assert found["Theoretical field"].startswith("14×14 of 44×44 pixels")
    frame = station.locator(".spectacles rect.field").first
    assert [frame.get_attribute(key) for key in ("x", "y", "width", "height")] == ["10", "6", "14", "14"]
    # 5x5 windows on all maps that conv2 reads
    windows = floor(station, "pool1").locator("rect.field")
    assert windows.count() == 4
    assert re.search(rf"bias .*: {re.escape(found['Value'])}$", station.locator(".total").inner_text())
    # each frame lies on its map: the unit's on conv2, and on each map of pool1 that of rows 4 to 8, columns 6 to 10
    scale = scale_of(maps(station, "conv2"), 18)
    corner = 3 * (18 * scale + GAP)
    assert frames(floor(station, "conv2"), "unit") == [(corner + 6 * scale - 1, 4 * scale - 1, scale + 2, scale + 2)]
    scale = scale_of(maps(station, "pool1"), 22)
    expected = [(map * (22 * scale + GAP) + 6 * scale, 4 * scale, 5 * scale, 5 * scale) for map in range(4)]
    assert frames(floor(station, "pool1"), "field") == expected


def test_the_fields_are_drawn(lenet: Twin, playground_data: dict[str, Any], station: Locator) -> None:
    """The theoretical one lights the image; the effective one is the gradient by torch."""
    pixels, _ = images_of(playground_data)
    x = lenet.sees(pixels[:1]).requires_grad_()
    with watched(lenet.classifier.net) as found:
        lenet.classifier.net(x)
    conv2 = found["conv2"].value[0]
    at = next(map for map in range(11) if conv2[map, 8, 8].abs() > 0.1)
    (gradient,) = torch.autograd.grad(conv2[at, 8, 8], x)
    point(station, "conv2", (at, 8, 8), (18, 18))
    expect(station.locator("h3.unit")).to_have_text(f"conv2, map {at + 1}, row 8, column 8")
    looks = (x.detach() * lenet.data.std + lenet.data.mean)[0, 0]
    lit = torch.full((44, 44), 0.25)
    lit[14:28, 14:28] = 1  # rows 2 * 8 - 2 to 2 * 8 - 2 + 13
    shown = greys(station.get_by_label("Theoretical field", exact=True)).double()
    torch.testing.assert_close(shown, (lit * looks).double(), atol=1, rtol=0)
    weights = (gradient.abs() / gradient.abs().max())[0, 0].double()
    felt = signed(station.get_by_label("Effective field", exact=True))
    torch.testing.assert_close(felt, weights, atol=0.02, rtol=0)
    said = told(station)
    assert said["Theoretical field"].replace("\u00a0", " ") == "14×14 of 44×44 pixels (10 %)"  # 196 of 1,936
    numbers = re.match(
        r"(\d+) of 196 pixels hold half of the gradient, (\d+) hold nine tenths", said["Effective field"]
    )
    assert numbers
    falling = (gradient.abs().flatten() / gradient.abs().sum()).sort(descending=True).values.double().cumsum(0)
    known = [int((falling < share).sum()) + 1 for share in (0.5, 0.9)]
    assert [int(n) for n in numbers.groups()] == pytest.approx(known, abs=1)


def test_layers_say_what_they_do(station: Locator) -> None:
    """Counts by arithmetic: 4 * 25 + 4; 11 * 4 * 25 + 11; 11 * 9 * 9 features."""
    for name, kind, figures in (
        ("conv1", "convolution 5×5, padding 2", "4 maps of 44×44 · 104 parameters · field 5×5"),
        ("pool1", "maximum of 2×2, stride 2", "4 maps of 22×22 · field 6×6"),
        ("relu1", "ReLU, value by value", "4 maps of 22×22 · field 6×6"),
        ("conv2", "convolution 5×5", "11 maps of 18×18 · 1,111 parameters · field 14×14"),
        ("linear3", "dense: each of 56 units reads all 891 values", "56 units · 49,952 parameters"),
        ("output", "dense: each of 10 units reads all 40 values", "10 units · 410 parameters"),
    ):
        assert floor(station, name).locator("h4").inner_text() == f"{name} {kind}"
        assert floor(station, name).locator(".figures").first.inner_text().startswith(figures)


def test_filters_and_maps_are_coloured_by_their_values(
    lenet: Twin, playground_data: dict[str, Any], station: Locator
) -> None:
    """A column of filters for each map of conv2, a row for each that it reads."""
    weight = lenet.classifier.net.get_submodule("conv2").weight.detach()
    assert isinstance(weight, torch.Tensor)
    shown = signed(floor(station, "conv2").get_by_label(re.compile("^Its filters: 11 columns")))
    found = tiles(shown, (5, 5), (4, 11), 4)
    expected = (weight / weight.abs().max()).permute(1, 0, 2, 3).double()
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    pixels, _ = images_of(playground_data)
    output = outputs(lenet, pixels[:1])["conv2"]
    canvas = maps(station, "conv2")
    found = tiles(signed(canvas), (18, 18), (1, 11), scale_of(canvas, 18))[0]
    torch.testing.assert_close(found, (output / output.abs().max()).double(), atol=0.02, rtol=0)


def test_how_a_unit_is_computed_is_written_out(lenet: Twin, playground_data: dict[str, Any], station: Locator) -> None:
    """Of a convolution, a pooling, an activation, and a layer that reads features."""
    pixels, _ = images_of(playground_data)
    values = outputs(lenet, pixels[:1])
    total = station.locator(".working .total")
    net = lenet.classifier.net

    point(station, "conv2", (5, 9, 9), (18, 18))
    expect(station.locator("h3.unit")).to_have_text("conv2, map 6, row 9, column 9")
    weight = net.get_submodule("conv2").weight.detach()
    assert isinstance(weight, torch.Tensor)
    window = values["relu1"][:, 9:14, 9:14]
    for title, known in (
        ("what it reads, in 4 maps", window),
        ("its weights", weight[5]),
        ("their products", window * weight[5]),
    ):
        canvas = station.locator(".working").get_by_label(title, exact=True)
        shown = signed(canvas)
        scale = scale_of(canvas, 5)
        found = tiles(shown, (5, 5), (1, 4), scale)[0]
        torch.testing.assert_close(found, (known / known.abs().max()).double(), atol=0.02, rtol=0)

    point(station, "pool1", (2, 10, 11), (22, 22))
    expect(total).to_have_text(f"The largest of these 4 values: {values['pool1'][2, 10, 11]:.3f}".replace("-", "−"))

    point(station, "relu2", (3, 4, 5), (9, 9))
    before, after = values["pool2"][3, 4, 5], values["relu2"][3, 4, 5]
    expect(total).to_have_text(f"ReLU({before:.3f}) = {after:.3f}".replace("-", "−"))

    station.get_by_label(re.compile("^units of linear4")).focus()
    station.page.keyboard.press("ArrowRight")
    expect(station.locator("h3.unit")).to_have_text("linear4, unit 2")
    row = net.get_submodule("linear4").weight.detach()
    assert isinstance(row, torch.Tensor)
    products = row[1] * values["relu3"]
    strongest = products.abs().topk(5).indices.tolist()
    expected = [f"{values['relu3'][i]:.3f} × {row[1, i]:.3f} = {products[i]:.3f} from unit {i + 1}" for i in strongest]
    said = station.locator(".working li").all_inner_texts()
    assert said == [text.replace("-", "−") for text in expected]


def test_a_field_at_the_border_is_cut_off(station: Locator) -> None:
    """conv1's corner reads rows -2 to 2."""
    point(station, "conv1", (1, 0, 43), (44, 44))
    expect(station.locator("h3.unit")).to_have_text("conv1, map 2, row 0, column 43")
    assert told(station)["Theoretical field"].startswith("3×3 of 44×44 pixels")
    assert "5×5" in told(station)["Theoretical field"]
    frame = station.locator(".spectacles rect.field").first
    assert [frame.get_attribute(key) for key in ("x", "y", "width", "height")] == ["41", "0", "3", "3"]


def test_units_are_reached_by_keys(station: Locator) -> None:
    canvas = maps(station, "conv2")
    canvas.focus()
    canvas.press("ArrowUp")  # from the middle, where keys begin
    for key in ("ArrowLeft", "ArrowLeft", "PageDown"):
        canvas.press(key)
    assert unit(station) == "conv2, map 2, row 8, column 7"
    expect(station.page.locator("#said")).to_contain_text("conv2, map 2, row 8, column 7. Value: ")
    expect(station.page.locator("#said")).to_contain_text("Theoretical field: 14×14")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "PageUp"):
        canvas.press(key)
    assert unit(station) == "conv2, map 1, row 9, column 9"
    canvas.press("PageUp")
    assert unit(station) == "conv2, map 1, row 9, column 9"
    dense = maps(station, "linear3")
    dense.focus()
    dense.press("ArrowRight")
    assert unit(station) == "linear3, unit 2"
    assert told(station)["Theoretical field"].startswith("44×44")


def test_a_unit_is_held_and_let_go(station: Locator) -> None:
    point(station, "conv2", (0, 3, 3), (18, 18), press=True)
    expect(station.locator(".hint-hold")).to_contain_text("Held")
    point(station, "conv2", (2, 5, 5), (18, 18))
    expect(station.locator("h3.unit")).to_have_text("conv2, map 1, row 3, column 3")
    maps(station, "conv2").press("Escape")
    point(station, "conv2", (2, 6, 6), (18, 18))
    expect(station.locator("h3.unit")).to_have_text("conv2, map 3, row 6, column 6")
    for says in ("Held", "Press a unit"):
        point(station, "conv2", (2, 6, 6), (18, 18), press=True)
        expect(station.locator(".hint-hold")).to_contain_text(says)


def test_bars_are_pointed_at(lenet: Twin, playground_data: dict[str, Any], station: Locator) -> None:
    """Each hangs from the line of zero, up or down, in the colour of its sign."""
    pixels, _ = images_of(playground_data)
    values = outputs(lenet, pixels[:1])["linear3"]
    picture = maps(station, "linear3")
    picture.scroll_into_view_if_needed()
    bars = picture.locator("rect.plus, rect.minus")
    assert bars.count() == len(values)
    fills = [bar.evaluate("(e) => getComputedStyle(e).fill.match(/[\\d.]+/g).map(Number)") for bar in bars.all()]
    minus, plus = (colour.tolist() for colour in theme(picture, "--minus", "--plus"))
    assert fills == [minus if value < 0 else plus for value in values]
    whole = picture.bounding_box()
    for at in (0, 20, 55):
        box = bars.nth(at).bounding_box()
        assert whole
        assert box
        station.page.mouse.move(box["x"] + box["width"] / 2, whole["y"] + whole["height"] / 2)
        expect(station.locator("h3.unit")).to_have_text(f"linear3, unit {at + 1}")
        assert number(told(station)["Value"]) == pytest.approx(float(values[at]), abs=6e-4)


def test_classes_have_torchs_probabilities(lenet: Twin, playground_data: dict[str, Any], station: Locator) -> None:
    pixels, _ = images_of(playground_data)
    likely = 100 * lenet.logits(pixels[:1]).softmax(1)[0]
    rows = station.locator(".classlist button")
    said = [float(row.locator("span").nth(1).inner_text().split()[0]) for row in rows.all()]
    assert said == pytest.approx(likely.tolist(), abs=0.06)
    logits = [number(row.locator("span").nth(2).inner_text()) for row in rows.all()]
    assert logits == pytest.approx(lenet.logits(pixels[:1])[0].tolist(), abs=0.006)
    rows.nth(4).hover()
    expect(station.locator("h3.unit")).to_have_text(f"output, {playground_data['images']['classes'][4]}")
    rows.nth(7).focus()
    rows.nth(7).press("Enter")
    assert unit(station) == f"output, {playground_data['images']['classes'][7]}"


@pytest.mark.parametrize("name", ["softmax", "mlp_permuted", "gap"])
def test_any_network_can_be_taken_apart(name: str, playground_data: dict[str, Any], station: Locator) -> None:
    station.get_by_label("Network").select_option(name)
    (description,) = (each for each in playground_data["networks"] if each["id"] == name)
    shown = [each["name"] for each in description["layers"] if each["kind"] != "flatten"]
    heads = station.locator(".floor h4").all_inner_texts()
    assert [head.split()[0] for head in heads] == shown
    # a network that has not learned has units that no pixel changes
    expect(station.locator(".told")).to_contain_text(
        re.compile("holds? half of the gradient|the gradient is 0 everywhere")
    )


def test_another_image_is_another_answer(station: Locator, page: Page) -> None:
    before = station.locator(".classlist").inner_text()
    page.locator("#shift .picker summary").click()
    page.locator("#shift").get_by_role("radio", name=re.compile("number 2$")).check(force=True)
    assert station.locator(".classlist").inner_text() != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(scheme: str, playground_page: Path, open_page: Open) -> None:
    page = open_page(playground_page, "#open", width=390, color_scheme=scheme, has_touch=True)
    station = page.locator("#inside")
    for name in ("gap", "lenet"):
        station.get_by_label("Network").select_option(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    maps(station, "conv2").tap(position={"x": 20, "y": 20})
    expect(station.locator("h3.unit")).to_contain_text("conv2, map 1")
    for control in station.locator("[tabindex='0'], canvas:not([aria-hidden=true])").all():
        assert control.get_attribute("aria-label")


# --- how it begins, and what is said once


def _theirs(data: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in data["networks"] if each["id"] == name)
    return found


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_field_is_derived_from_kernels_and_strides(name: str, small: ImageData, page: Page) -> None:
    """Of every prefix of layers with windows, as the plan of the layers has it."""
    description = describe(Path("made-up"), Classifier(GEOMETRIES[name], small.shape).eval(), small)
    layers = description["layers"]
    last = max((at for at, layer in enumerate(layers) if layer["kind"] in ("conv", "pool")), default=-1)
    got = page.evaluate(
        """async ([description, last]) => {
            const { derivation } = await import("playground/stations/inside_question.js");
            const { Network } = await import("playground/network.js");
            const { layers } = new Network(description);
            return layers.slice(0, last + 1).map((_, at) => derivation(layers.slice(0, at + 1)));
        }""",
        [description, last],
    )
    for layer, found in zip(layers, got, strict=False):
        known = layer["receptive_field"]
        if found is None:
            assert isinstance(known, list)
            continue
        assert min(found["field"], small.shape[1]) == known, layer["name"]
        sums = re.findall(r"(\d+) \+ (\d+)(?: · (\d+))? = (\d+)", found["text"])
        for field, steps, step, grown in sums:
            assert int(field) + int(steps) * int(step or 1) == int(grown)
        assert int(sums[-1][-1] if sums else found["text"].split()[1].rstrip(".,")) == found["field"]


def test_the_answer_is_derived_layer_by_layer(station: Locator) -> None:
    expect(station.locator(".outcome").first).to_contain_text(
        "conv1: 5. pool1: 5 + 1 = 6, and from here each step is 2 pixels. conv2: 6 + 4 · 2 = 14."
    )


def test_it_begins_at_a_unit_that_sees_something(
    lenet: Twin, playground_data: dict[str, Any], station: Locator
) -> None:
    """The largest value of the last convolution; without one, the middle of the first layer with weights."""
    pixels, _ = images_of(playground_data)
    values = outputs(lenet, pixels[:1])["conv2"]
    at, row, column = np.unravel_index(int(values.argmax()), values.shape)
    assert unit(station) == f"conv2, map {at + 1}, row {row}, column {column}"
    assert re.search("hold half of the gradient, ", told(station)["Effective field"])
    for name, begins in (("mlp", "hidden1, unit 16"), ("softmax", "output, Sandal")):
        station.get_by_label("Network").select_option(name)
        assert unit(station) == begins
        assert not told(station)["Effective field"].startswith("the gradient is 0")


def test_black_is_not_zero(playground_data: dict[str, Any], station: Locator) -> None:
    """What a colour means stands beside the maps, and what the network reads."""
    theirs = _theirs(playground_data, "lenet")
    black = -theirs["mean"] / theirs["std"]
    reading = station.locator(".reading")
    expect(reading).to_contain_text(f"black is {black:.2f}, not 0.".replace("-", "\u2212"))
    assert reading.locator(".signs").inner_text().split() == ["negative", "positive"]


def test_letters_of_the_equation_have_a_meaning(station: Locator) -> None:
    legend = station.locator(".legend").inner_text()
    for meaning in ("a, b the place in the window", "c the map that is read", "d the map that is written"):
        assert meaning in " ".join(legend.split())
        letter = meaning[0]
        assert station.locator(f"math [data-symbol={letter}]").count()


def test_one_pixel_holds_and_two_hold(page: Page) -> None:
    said = page.evaluate(
        """async () => {
            const { effective } = await import("playground/stations/inside_words.js");
            return [[1, 1], [1, 2], [2, 3]].map(([half, most]) => effective({ half, most }, { pixels: 9 }));
        }"""
    )
    assert said == [
        "1 of 9 pixels holds half of the gradient, 1 holds nine tenths",
        "1 of 9 pixels holds half of the gradient, 2 hold nine tenths",
        "2 of 9 pixels hold half of the gradient, 3 hold nine tenths",
    ]


# --- every layer of every network

VISIT = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const text = (selector) => document.querySelector(`#inside ${selector}`).textContent;
    const seen = [];
    for (const floor of document.querySelectorAll("#inside .floor")) {
        const at = floor.querySelector("[role=application]") ?? floor.querySelectorAll(".classlist button")[3];
        const { right, top } = at.getBoundingClientRect();
        const where = { clientX: right - 10, clientY: top + 6, bubbles: true }; // the last in the first row
        at.dispatchEvent(new PointerEvent("pointermove", where));
        await frame();
        const name = floor.querySelector("h4").firstChild.textContent;
        const values = document.querySelector("#inside .working .values")?.textContent ?? "";
        seen.push([name, text("h3.unit"), text(".told dd"), text(".working .total"), values]);
    }
    return seen;
}"""


def _at(heading: str, classes: list[str]) -> tuple[int, ...]:
    """Where a unit lies that is called so."""
    _, *rest = heading.split(", ")
    if rest[0] in classes:
        return (classes.index(rest[0]),)
    first, *others = (int(each.split()[1]) for each in rest)
    return (first - 1, *others)


def _number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def _sources(kind: str, layer: dict[str, Any], before: torch.Tensor, at: tuple[int, ...]) -> torch.Tensor:
    """What a unit without weights reads."""
    if kind == "global_average":
        return before[at[0]].flatten()
    if kind != "pool":
        return before[at].flatten()
    corners = [place * stride for place, stride in zip(at[1:], layer["stride"], strict=True)]
    rows, columns = (slice(corner, corner + size) for corner, size in zip(corners, layer["size"], strict=True))
    return before[at[0], rows, columns].flatten()


@pytest.mark.parametrize("name", ["softmax", "mlp", "mlp_permuted", "lenet", "lenet_permuted", "gap"])
def test_a_unit_of_every_layer_shows_its_own_computation(
    name: str,
    small_networks: dict[str, tuple[Classifier, ImageData]],
    playground_data: dict[str, Any],
    station: Locator,
) -> None:
    pixels, _ = images_of(playground_data)
    twin = Twin(*small_networks[name])
    station.get_by_label("Network").select_option(name)
    layers = {each["name"]: each for each in _theirs(playground_data, name)["layers"]}
    names = list(layers)
    values = {"image": twin.sees(pixels[:1])[0], **outputs(twin, pixels[:1])}
    visited = station.page.evaluate(VISIT)
    assert [seen[0] for seen in visited] == [each for each in names if layers[each]["kind"] != "flatten"]
    for layer, heading, value, total, written in visited:
        assert heading.split(", ")[0] == layer
        at = _at(heading, playground_data["images"]["classes"])
        assert _number(value) == pytest.approx(float(values[layer][at]), abs=6e-4)
        before = values[["image", *names][names.index(layer)]]
        kind = layers[layer]["kind"]
        if "weight" in layers[layer] and kind != "affine":
            n = np.prod(layers[layer]["weight"]["shape"][1:])
            assert total.startswith(f"Sum of {n:,} products ")
            assert ("bias" in total) == ("bias" in layers[layer])
            assert total.endswith(f": {value}")
            continue
        reads = _sources(kind, layers[layer], before, at)
        n = len(reads)
        if kind == "pool":
            assert [_number(each) for each in written.split(", ")] == pytest.approx(reads.tolist(), abs=6e-4)
            assert _number(value) == pytest.approx(float(reads.max()), abs=6e-4)
            assert total == f"The largest of these {n} values: {value}"
        elif kind == "global_average":
            assert _number(value) == pytest.approx(float(reads.mean()), abs=6e-4)
            assert total == f"The mean of these {n} values: {value}"
        else:
            (read,) = re.findall(r"[\u2212\d.]+", total)[:1]
            assert _number(read) == pytest.approx(float(reads), abs=6e-4)
            assert total.endswith(value)


@pytest.mark.parametrize("name", ["softmax", "lenet"])
def test_the_sum_is_seen_beside_its_unit(name: str, station: Locator) -> None:
    """The pointer cannot leave the unit to scroll to it."""
    station.get_by_label("Network").select_option(name)
    # both at once: while station 2 computes, what lies below it moves
    side, total = station.evaluate(
        """(station) => [".side", ".working .total"].map(
            (each) => station.querySelector(each).getBoundingClientRect().bottom,
        )"""
    )
    assert total <= side


@pytest.mark.parametrize(("layer", "index"), [("conv2", (0, 17, 17)), ("conv2", (0, 0, 8))])
def test_both_fields_are_framed_on_all_sides(layer: str, index: tuple[int, int, int], station: Locator) -> None:
    """At the image's border, too."""
    point(station, layer, index, (18, 18), press=True)
    expect(station.locator("h3.unit")).to_contain_text(f"row {index[1]}, column {index[2]}")
    framed = station.page.evaluate("getComputedStyle(document.querySelector('#inside rect.field')).stroke")
    colour = [int(part) for part in re.findall(r"\d+", framed)[:3]]
    field = station.locator(".spectacles rect.field").first
    for cells in station.locator(".spectacles .cells").all():
        box = cells.bounding_box()
        assert box is not None
        pixel = box["width"] / 44
        x, y, width, height = (float(str(field.get_attribute(key))) for key in ("x", "y", "width", "height"))
        picture = np.asarray(Image.open(io.BytesIO(station.page.screenshot())).convert("RGB")).astype(int)
        middle = (x + width / 2, y + height / 2)
        for column, row in ((middle[0], y), (middle[0], y + height), (x, middle[1]), (x + width, middle[1])):
            at = int(box["y"] + row * pixel), int(box["x"] + column * pixel)
            near = picture[at[0] - 3 : at[0] + 4, at[1] - 3 : at[1] + 4].reshape(-1, 3)
            assert abs(near - colour).sum(1).min() < 30
