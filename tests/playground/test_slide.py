"""Station 3, "Slide it": what is drawn and written is what torch computes, and what does not fit is refused in the
suite's words."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from playground.seen import colours, computed, frames, greys, number
from playground.torch_side import averaged
from playwright.sync_api import expect

from fc2conv.architectures.layers import Conv, GeometryError, PoolLayer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

STATION = "slide"
EDGE = 14
SOBEL = [[1.0, 0.0, -1.0]] * 3
KERNELS = {
    "edge [1, −1]": [[1.0, -1.0]],
    "vertical edges": SOBEL,
    "horizontal edges": [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -1.0, -1.0]],
    "sharpen": [[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]],
    "blur": [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]],
    "identity": [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
}
OUTPUTS = """station => {
  const slider = station.querySelector("input[type=range]")
  return Array.from({length: Number(slider.max) + 1}, (_, at) => {
    slider.value = at
    slider.dispatchEvent(new Event("input"))
    return slider.getAttribute("aria-valuetext")
  })
}"""


def pick(station: Locator, **chosen: Any) -> None:
    """Choose in the lists by their names; `Kernel_width=2`."""
    for name, value in chosen.items():
        label = name.replace("_", " ")
        station.get_by_role("combobox", name=label, exact=True).select_option(str(value))


def outputs(station: Locator) -> torch.Tensor:
    """[channels, rows, columns] of all output pixels, as they are read aloud while the window moves."""
    found = [re.fullmatch(r"output row (\d+), column (\d+): (.*)", text) for text in station.evaluate(OUTPUTS)]
    rows, columns = (max(int(match[axis]) for match in found if match) + 1 for axis in (1, 2))
    values = [[number(value) for value in match[3].split(", ")] for match in found if match]
    assert len(values) == rows * columns
    return torch.tensor(values).T.reshape(-1, rows, columns)


def hundredths(pixels: torch.Tensor) -> torch.Tensor:
    """From 0 to 255 -> from 0 to 1, with two decimals."""
    return torch.floor(100 * pixels / 255 + 0.5) / 100


@pytest.fixture(scope="session")
def garment(playground_data: dict[str, Any]) -> torch.Tensor:
    """[1, 1, 14, 14]: the page's first image."""
    return hundredths(averaged(playground_data))


def tinted(image: torch.Tensor) -> torch.Tensor:
    """[1, 3, 14, 14]: red fades downwards, green rightwards, and blue upwards; in whole hundredths."""
    ramp = torch.arange(EDGE, dtype=torch.float64) / (EDGE - 1)
    shares = torch.stack(
        [1 - ramp[:, None].expand(EDGE, EDGE), ramp.expand(EDGE, EDGE), ramp[:, None].expand(EDGE, EDGE)]
    )
    return (torch.floor(100 * image.double() * shares + 0.5) / 100).float()


def padded(image: torch.Tensor, pad: int, mode: str) -> torch.Tensor:
    return F.pad(image, (pad,) * 4, mode={"zeros": "constant"}.get(mode, mode)) if pad else image


CONFIGURATIONS = [
    ("vertical edges", 0, "zeros", 1, 1),
    ("horizontal edges", 0, "zeros", 1, 1),
    ("edge [1, −1]", 3, "zeros", 2, 1),
    ("sharpen", 2, "reflect", 1, 2),
    ("blur", 4, "circular", 3, 3),
    ("sharpen", 1, "replicate", 4, 1),
    ("identity", 14, "circular", 4, 1),
]
"""Kernel, padding, its mode, stride, dilation."""


def test_convolutions_are_torchs(station: Locator, garment: torch.Tensor) -> None:
    for kernel, pad, mode, stride, dilation in CONFIGURATIONS:
        pick(station, Kernel=kernel, Padding=pad or "valid", Stride=stride, Dilation=dilation)
        if pad:
            pick(station, Padding_mode=mode)
        weight = torch.tensor([[KERNELS[kernel]]])
        expected = F.conv2d(padded(garment, pad, mode), weight, stride=stride, dilation=dilation)
        found = outputs(station)
        torch.testing.assert_close(found, expected[0], atol=1e-4, rtol=0)
        rows, columns = found.shape[1:]
        sizes = [int(text) for text in station.locator(".size mn[data-symbol=H]").all_text_contents()]
        assert sizes == ([rows] if rows == columns and len(sizes) == 1 else [rows, columns])
        expect(station.locator("figcaption:has(.letter[data-symbol=H])")).to_contain_text(f"{rows}×{columns}")
        ends = re.search(r"from (.*) to (.*)", station.locator("figcaption:has(.letter[data-symbol=H])").inner_text())
        assert ends
        assert [number(end) for end in ends.groups()] == pytest.approx(
            [float(found.min()), float(found.max())], abs=1e-4
        )


def test_the_size_follows_from_the_formula_with_its_numbers(station: Locator) -> None:
    pick(station, Kernel_height=5, Kernel_width=2, Padding=3, Stride=2, Dilation=2)
    rows, columns = outputs(station).shape[1:]
    for line, n, kernel in zip(station.locator(".size math").all(), (rows, columns), (5, 2), strict=True):
        said = str(line.get_attribute("aria-label"))
        fraction = re.search(r"floor of (.*), plus 1, is (\d+)", said)
        assert fraction
        assert int(computed(fraction[1])) + 1 == int(fraction[2]) == n
        assert f"({kernel} − 1)" in said
        numbers = [int(text) for text in line.locator("mn").all_text_contents()]
        assert numbers == [14, 3, 3, 2, kernel, 1, 1, 2, 1, n]


def test_the_window_is_framed_where_it_stands(station: Locator) -> None:
    """Row 1, column 3 of the output, at a stride of 2: the window begins at row 2, column 6."""
    pick(station, Stride=2)
    station.get_by_role("slider").fill("9")
    image, output = (
        station.locator(".raster", has=station.page.get_by_role("application", name=name))
        for name in ("Input", "Output")
    )
    assert frames(image, "window") == [(6, 2, 3, 3)]
    assert frames(image, "next") == [(8, 2, 3, 3)]
    assert frames(image, "tap") == [(6 + x, 2 + y, 1, 1) for y in range(3) for x in range(3)]
    assert frames(output, "frame") == [(3, 1, 1, 1)]
    pick(station, Padding=1)
    assert frames(image, "border") == [(1, 1, 14, 14)]


def test_the_image_and_its_channels_are_drawn(station: Locator, garment: torch.Tensor) -> None:
    image = station.get_by_role("application", name="Input")
    torch.testing.assert_close(greys(image).double(), 255 * garment[0, 0].double(), atol=1, rtol=0)
    pick(station, Channels=3, Padding=1)
    shown = colours(image)[..., :3].permute(2, 0, 1).double()
    torch.testing.assert_close(shown[:, 1:-1, 1:-1], 255 * tinted(garment)[0].double(), atol=1, rtol=0)
    assert (shown[:, 0, 0] != 0).any(), "padding is told from black pixels"


def test_channels_are_summed_and_the_bias_added(station: Locator, garment: torch.Tensor) -> None:
    pick(station, Channels=3, Padding="same")
    station.get_by_label("Bias u").fill("-0.5")
    station.get_by_label("Weight of green, row 0, column 0").fill("2")
    weight = torch.tensor([[SOBEL] * 3])
    weight[0, 1, 0, 0] = 2
    expected = F.conv2d(tinted(garment), weight, torch.tensor([-0.5]), padding="same")
    torch.testing.assert_close(outputs(station), expected[0], atol=1e-4, rtol=0)
    sums = [number(text.split(": ")[1]) for text in station.locator(".products caption").all_inner_texts()]
    assert len(sums) == 3
    assert sum(sums) - 0.5 == pytest.approx(float(expected[0, 0, -1, -1]), abs=3e-4)
    expect(station.locator(".cost")).to_contain_text("3 · 3 · 3 + 1 = 28 parameters")
    expect(station.locator(".cost")).to_contain_text(f"A dense layer between the same two images has {589 * 196:,}.")
    station.get_by_label("Channels").focus()
    pick(station, Channels=1)
    assert [number(box.input_value()) for box in station.locator(".kernel input").all()] == [
        w for r in SOBEL for w in r
    ]


def test_products_and_sum_are_written_out(station: Locator, garment: torch.Tensor) -> None:
    station.get_by_role("slider").fill("40")  # row 3, column 4 of 12x12
    window = garment[0, 0, 3:6, 4:7].flatten().tolist()
    kernel = [value for row in SOBEL for value in row]
    cells = station.locator(".products td").all_inner_texts()
    for cell, weight, pixel in zip(cells, kernel, window, strict=True):
        found = [number(text) for text in re.split(r"[·\n]", cell)]
        assert found == pytest.approx([weight, pixel, weight * pixel], abs=1e-4)
    total = sum(w * x for w, x in zip(kernel, window, strict=True))
    expect(station.locator(".sum")).to_contain_text("H3,4 =")
    assert number(station.locator(".sum output").inner_text()) == pytest.approx(total, abs=1e-4)
    station.get_by_label("Bias u").fill("-0.25")
    terms = station.locator(".sum").inner_text().split(" = ")[1]
    assert computed(terms) == pytest.approx(total - 0.25, abs=5e-4)


POOLINGS = {"max": F.max_pool2d, "average": F.avg_pool2d}


def test_poolings_are_torchs(station: Locator, garment: torch.Tensor) -> None:
    for kind, apply in POOLINGS.items():
        pick(station, Operation=kind, Channels=3, Window=3, Stride=2)
        torch.testing.assert_close(outputs(station), apply(tinted(garment), 3, 2)[0], atol=1e-4, rtol=0)
        station.get_by_role("slider").fill("15")  # row 2, column 3 of 6x6
        for grid, window in zip(station.locator(".products").all(), tinted(garment)[0, :, 4:7, 6:9], strict=True):
            cells = [number(text) for text in grid.locator("td").all_inner_texts()]
            assert cells == pytest.approx(window.flatten().tolist(), abs=1e-4)
            marked = [number(text) for text in grid.locator("td.largest").all_inner_texts()]
            assert marked == ([n for n in cells if n == max(cells)] if kind == "max" else [])
    expect(station.locator(".cost")).to_contain_text("0 parameters")
    expect(station.locator(".kernel-figure")).to_be_hidden()


def test_the_networks_own_filters(station: Locator, garment: torch.Tensor, playground_data: dict[str, Any]) -> None:
    lenet = next(network for network in playground_data["networks"] if network["id"] == "lenet")
    weight = lenet["layers"][0]["weight"]
    filters = np.frombuffer(base64.b64decode(weight["data"]), np.float16).reshape(weight["shape"])
    pick(station, Kernel=f"{lenet['title']}, filter 2")
    shown = [number(box.input_value()) for box in station.locator(".kernel input").all()]
    assert shown == pytest.approx(filters[1, 0].astype(float).flatten().tolist(), abs=0.0051)
    expected = F.conv2d(garment, torch.tensor(shown).reshape(1, 1, 5, 5))
    torch.testing.assert_close(outputs(station), expected[0], atol=1e-4, rtol=0)


def test_a_kernel_is_edited_by_typing_by_clicking_and_by_keys(station: Locator, garment: torch.Tensor) -> None:
    page = station.page
    pick(station, Kernel="identity")
    corner = station.get_by_label("Weight, row 0, column 0")
    corner.fill("-1.5")
    corner.press("ArrowDown")
    expect(corner).to_have_value("−2.5")
    corner.press("ArrowUp")
    corner.press("ArrowUp")
    expect(corner).to_have_value("−0.5")
    station.get_by_label("Weight, row 2, column 2").click()
    station.get_by_role("button", name="Set the chosen weight to 2").click()
    expect(station.get_by_role("combobox", name="Kernel", exact=True)).to_have_value("your own")
    expected = F.conv2d(garment, torch.tensor([[[[-0.5, 0, 0], [0, 1, 0], [0, 0, 2.0]]]]))
    torch.testing.assert_close(outputs(station), expected[0], atol=1e-4, rtol=0)
    corner.fill("one")
    expect(corner).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Tab")
    expect(corner).to_have_value("−0.5")
    for axis, n, kept in (
        ("Kernel_width", 2, ["−0.5", "0", "0", "1", "0", "0"]),
        ("Kernel_width", 3, ["−0.5", "0", "0", "0", "1", "0", "0", "0", "0"]),
        ("Kernel_height", 1, ["−0.5", "0", "0"]),
    ):
        pick(station, **{axis: n})
        assert [box.input_value() for box in station.locator(".kernel input").all()] == kept


def test_another_garment_is_followed_everywhere(station: Locator, playground_data: dict[str, Any]) -> None:
    second = hundredths(averaged(playground_data, 1))
    for name in ("Flip", "1×1", "Pool"):
        pick(part(station, name), Image="garment")
    part(station, "Slide")
    station.locator(".picker summary").click()
    station.get_by_role("radio", name=re.compile("number 2$")).check(force=True)
    torch.testing.assert_close(outputs(station), F.conv2d(second, torch.tensor([[SOBEL]]))[0], atol=1e-4, rtol=0)
    for name, label in (("Flip", "Image"), ("Pool", "image")):
        picture = part(station, name).get_by_label(label, exact=True).and_(station.page.locator("canvas"))
        torch.testing.assert_close(greys(picture).double(), 255 * second[0, 0].double(), atol=1, rtol=0)
    picture = part(station, "1×1").get_by_label("Image with three channels")
    shown = colours(picture)[..., :3].permute(2, 0, 1).double()
    torch.testing.assert_close(shown, 255 * tinted(second)[0].double(), atol=1, rtol=0)


def refusal(layer: Conv | PoolLayer) -> str:
    with pytest.raises(GeometryError) as error:
        layer.output((1, EDGE, EDGE))
    return str(error.value)


def test_what_does_not_fit_is_refused_in_the_suites_words(station: Locator) -> None:
    told = station.get_by_role("alert")
    pick(station, Kernel_height=5, Dilation=4)
    expect(told).to_have_text(refusal(Conv("conv", out_channels=1, kernel_size=(5, 3), dilation=4)))
    expect(station.get_by_role("combobox", name="Kernel height")).to_have_attribute("aria-invalid", "true")
    assert station.locator(".desk").evaluate("e => e.inert")
    pick(station, Dilation=1, Padding=14, Padding_mode="reflect")
    conv = Conv("conv", out_channels=1, kernel_size=(5, 3), padding=14, padding_mode="reflect")
    expect(told).to_have_text(refusal(conv))
    pick(station, Padding="same", Kernel_height=2, Stride=2)
    expect(told).to_have_text(refusal(Conv("conv", out_channels=1, kernel_size=(2, 3), stride=2, padding="same")))
    pick(station, Kernel_height=3)
    expect(told).to_be_hidden()
    assert outputs(station).shape == (1, 7, 7)
    pick(station, Operation="max", Window=15)
    expect(told).to_have_text(refusal(PoolLayer("pool", kind="max", size=15)))


def test_the_window_moves_by_keyboard(station: Locator) -> None:
    page = station.page
    slider, sum_line = station.get_by_role("slider"), station.locator(".sum")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(sum_line).to_contain_text("H0,1 =")
    station.get_by_role("application", name="Output, 12 by 12").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(sum_line).to_contain_text("H2,0 =")
    expect(slider).to_have_value("24")
    expect(page.locator("#said")).to_contain_text("output row 2, column 0")
    station.get_by_role("button", name="Step").press("Enter")
    expect(sum_line).to_contain_text("H2,1 =")
    station.get_by_role("button", name="Back").press("Enter")
    expect(sum_line).to_contain_text("H2,0 =")
    station.get_by_role("button", name="To the end").press("Enter")
    expect(sum_line).to_contain_text("H11,11 =")
    station.get_by_role("button", name="Start again").press("Enter")
    expect(sum_line).to_contain_text("H0,0 =")


def drawn(picture: Locator) -> int:
    """How many pixels are not transparent."""
    return int(colours(picture)[..., 3].count_nonzero())


def test_the_output_is_drawn_pixel_by_pixel(open_page: Open, playground_page: Path) -> None:
    station = open_page(playground_page, "#open").locator("#slide")
    pick(station, Stride=4)
    output = station.get_by_role("application", name="Output, 3 by 3")
    assert drawn(output) == 1
    station.get_by_role("button", name="Step").click()
    assert drawn(output) == 2
    station.get_by_role("button", name="Play").click()
    expect(station.get_by_role("button", name="Pause")).to_be_visible()
    expect(station.get_by_role("slider")).to_have_value("8")
    expect(station.get_by_role("button", name="Play")).to_be_visible()
    assert drawn(output) == 9


def test_padding_decides_how_often_the_corner_is_read(station: Locator) -> None:
    for padding, readers in (("valid", 1), (1, 4)):
        pick(station, Padding=padding)
        station.get_by_role("application", name="Input").focus()
        for _ in range(0 if padding == "valid" else 1):
            station.page.keyboard.press("ArrowDown")
            station.page.keyboard.press("ArrowRight")
        expect(station.locator(".readers")).to_contain_text(f"Pixel 0, 0: 0; {readers} output")
        expect(station.locator(".reader")).to_have_count(readers)


def test_padding_says_what_it_copies(station: Locator) -> None:
    """Mirrored at the border: row -2, column -1 is row 2, column 1."""
    pick(station, Padding=2, Padding_mode="reflect")
    station.get_by_role("application", name="Input").focus()
    station.page.keyboard.press("ArrowRight")
    expect(station.locator(".readers")).to_contain_text("Padding, a copy of pixel 2, 1: ")
    expect(station.page.locator("#said")).to_contain_text("Padding, a copy of pixel 2, 1: ")


def part(station: Locator, name: str) -> Locator:
    station.get_by_role("tab", name=name, exact=True).click()
    return station.get_by_role("tabpanel", name=name)


def test_parts_are_opened_by_arrow_keys(station: Locator) -> None:
    station.get_by_role("tab", name="Slide").focus()
    for name in ("Flip", "Learn"):
        station.page.keyboard.press("ArrowRight")
        expect(station.get_by_role("tab", name=name)).to_be_focused()
        expect(station.get_by_role("tabpanel", name=name)).to_be_visible()
    expect(station.get_by_role("tabpanel", name="Slide")).to_be_hidden()
    for key, name in (("Home", "Slide"), ("ArrowLeft", "Pool"), ("ArrowRight", "Slide"), ("End", "Pool")):
        station.page.keyboard.press(key)
        expect(station.get_by_role("tabpanel", name=name)).to_be_visible()
        assert station.get_by_role("tab", selected=True).all_inner_texts() == [name]
    # one stop for the tab key
    assert [tab.get_attribute("tabindex") for tab in station.get_by_role("tab").all()] == ["-1"] * 4 + ["0"]


def test_a_convolution_flips_the_kernel(station: Locator, garment: torch.Tensor) -> None:
    """torch's conv2d does not flip; its transposed convolution, with one channel and stride 1, is the one that does."""
    flip = part(station, "Flip")
    pick(flip, Image="garment")
    kernel = torch.tensor([[[[3.0, 2, 1], [2, 1, 0], [1, 0, 0]]]])
    expected = [F.conv2d(garment, kernel, padding=1), F.conv_transpose2d(garment, kernel, padding=1)]
    tables = [[int(text) for text in way.locator("td").all_inner_texts()] for way in flip.locator(".way").all()]
    assert tables == [[3, 2, 1, 2, 1, 0, 1, 0, 0], [0, 0, 1, 0, 1, 2, 1, 2, 3]]
    flip.get_by_role("application", name="Convolution: output").focus()
    for _ in range(5):
        station.page.keyboard.press("ArrowDown")
        station.page.keyboard.press("ArrowRight")
    for way, value in zip(flip.locator(".way").all(), expected, strict=True):
        found = re.search(r"row 5, column 5: (.*)", way.inner_text())
        assert found
        assert number(found[1]) == pytest.approx(float(value[0, 0, 5, 5]), abs=1e-4)
    largest = float((expected[0] - expected[1]).abs().max())
    said = re.search(r"differ by up to ([\d.]+)\.", flip.locator(".answer").inner_text())
    assert said
    assert float(said[1]) == pytest.approx(largest, abs=1e-4)
    pick(flip, Kernel="blur")
    expect(flip.locator(".answer")).to_contain_text("The outputs are the same")


def test_the_edge_kernel_is_learnt_as_by_autograd(station: Locator) -> None:
    learn = part(station, "Learn")
    image = torch.ones(1, 1, 6, 8)
    image[..., 2:6] = 0
    target = F.conv2d(image, torch.tensor([[[[1.0, -1.0]]]]))

    def shown() -> torch.Tensor:
        found = re.search(r"V = \[(.*), (.*)\]", learn.locator(".learnt").inner_text())
        assert found
        return torch.tensor([[[[number(found[1]), number(found[2])]]]])

    kernel = shown().requires_grad_()
    for n, button, rate in ((1, "One step", 0.03), (10, "Ten steps", 0.03), (1, "One step", 0.01)):
        pick(learn, Learning_rate=rate)
        announced = re.search(r"Next: .* = \[(.*), (.*)\]", learn.inner_text())
        assert announced
        after_one = [computed(text) for text in announced.groups()]
        for i in range(n):
            loss = (F.conv2d(image, kernel) - target).square().sum()
            (gradient,) = torch.autograd.grad(loss, kernel)
            kernel = (kernel - rate * gradient).detach().requires_grad_()
            if i == 0:
                assert after_one == pytest.approx(kernel.flatten().tolist(), abs=2e-4)
        learn.get_by_role("button", name=button).press("Enter")
        torch.testing.assert_close(shown(), kernel.detach(), atol=1e-4, rtol=0)
        after = (F.conv2d(image, kernel) - target).square().sum().item()
        said = re.search(r"Loss ([\d.]+) after", learn.inner_text())
        assert said
        assert float(said[1]) == pytest.approx(after, abs=1e-4)
    pick(learn, Learning_rate=0.03)
    for _ in range(9):
        learn.get_by_role("button", name="Ten steps").click()
    torch.testing.assert_close(shown(), torch.tensor([[[[1.0, -1.0]]]]), atol=2e-3, rtol=0)
    learn.get_by_role("button", name="New start").click()
    assert (shown() - torch.tensor([1.0, -1.0])).abs().max() > 0.05
    expect(learn).to_contain_text("after 0 steps")
    pick(learn, Learning_rate=0.1)
    learn.get_by_role("button", name="Ten steps").click()
    expect(learn).to_contain_text("The learning rate is too large")


def test_a_1x1_convolution_is_a_dense_layer_at_each_pixel(station: Locator, garment: torch.Tensor) -> None:
    pointwise = part(station, "1×1")
    matrix = torch.tensor([[0.3, 0.6, 0.1], [1, 0, -1]])
    expected = F.conv2d(tinted(garment), matrix[:, :, None, None]).relu()[0]
    pointwise.get_by_role("application", name="Image with three channels").focus()
    for key, times in (("ArrowRight", 6), ("ArrowDown", 3)):
        for _ in range(times):
            station.page.keyboard.press(key)
    x, y = 6, 3
    expect(pointwise.locator(".matrix")).to_contain_text(f"at row {y}, column {x}")
    found = [number(text) for text in pointwise.locator(".bracket").last.locator("td").all_inner_texts()]
    assert found == pytest.approx(expected[:, y, x].tolist(), abs=1e-4)
    assert found != [0, 0]
    line = re.search(r"Channel 1: ReLU\((.*)\) = (.*)", pointwise.inner_text())
    assert line
    assert computed(line[1]) == pytest.approx(number(line[2]), abs=2e-4)
    assert number(line[2]) == pytest.approx(float(expected[0, y, x]), abs=1e-4)
    for channel, values in enumerate(expected, 1):
        shown = greys(pointwise.get_by_role("application", name=f"Output channel {channel}")).double()
        torch.testing.assert_close(shown, 255 * (values / values.max()).double(), atol=1, rtol=0)
    matrix[0, 1], bias = -2.5, torch.tensor([3, 0.0])
    pointwise.get_by_label("Weight of green in channel 1").fill("-2,5")
    pointwise.get_by_label("Bias of channel 1").fill("3")
    expected = F.conv2d(tinted(garment), matrix[:, :, None, None], bias).relu()[0]
    expect(pointwise.get_by_role("combobox", name="Matrix")).to_have_value("your own")
    found = [number(text) for text in pointwise.locator(".bracket").last.locator("td").all_inner_texts()]
    assert found == pytest.approx(expected[:, y, x].tolist(), abs=1e-4)
    pointwise.get_by_label("Bias of channel 1").fill("much")
    expect(pointwise.get_by_label("Bias of channel 1")).to_have_attribute("aria-invalid", "true")
    pick(pointwise, Matrix="is it red? is it blue?")
    matrix = torch.tensor([[2.0, -1, -1], [-1, -1, 2]])
    expected = F.conv2d(tinted(garment), matrix[:, :, None, None], torch.tensor([-0.2, -0.2])).relu()[0]
    found = [number(text) for text in pointwise.locator(".bracket").last.locator("td").all_inner_texts()]
    assert found == pytest.approx(expected[:, y, x].tolist(), abs=1e-4)


def test_what_a_pooling_leaves_of_a_shift(station: Locator, garment: torch.Tensor) -> None:
    pool = part(station, "Pool")
    answer = pool.locator(".answer")
    pick(pool, Image="garment")

    def same(a: torch.Tensor, b: torch.Tensor) -> tuple[int, int]:
        counted = (a != 0) | (b != 0)
        return int((counted & ((a - b).abs() < 1e-6)).sum()), int(counted.sum())

    def shift(down: int, right: int) -> torch.Tensor:
        """With zeros that come in."""
        whole = F.pad(garment, (3, 3, 3, 3))
        return whole[..., 3 - down : 17 - down, 3 - right : 17 - right]

    for kind, apply in POOLINGS.items():
        pick(pool, Pooling=kind)
        pooled, pixels = same(apply(garment, 2), apply(shift(0, 1), 2)), same(garment, shift(0, 1))
        expect(answer).to_contain_text(f"{pooled[0]} of {pooled[1]} outputs of the pooling stay the same")
        expect(answer).to_contain_text(f"and {pixels[0]} of {pixels[1]} pixels")
    pool.get_by_role("button", name="Shift left").press("Enter")
    expect(pool).to_contain_text("not shifted")
    expect(pool.locator(".changed")).to_have_count(0)
    second = pool.page.locator("canvas[aria-label^='shifted; framed']")
    for ways, says, place in (
        (("up", "right", "up"), "1 to the right, 2 up", (-2, 1)),
        (("down", "down", "down"), "1 to the right, 1 down", (1, 1)),
        (("right", "right", "right", "down"), "3 to the right, 2 down", (2, 3)),
    ):
        for way in ways:
            pool.get_by_role("button", name=f"Shift {way}").click()
        expect(pool.get_by_text(says, exact=True)).to_be_visible()
        torch.testing.assert_close(greys(second).double(), 255 * shift(*place)[0, 0].double(), atol=1, rtol=0)
        changed = (shift(*place) != garment)[0, 0].nonzero()
        assert frames(pool.locator(".raster", has=second), "changed") == [(x, y, 1, 1) for y, x in changed.tolist()]
    pick(pool, Window_and_stride=3)
    left, whole = same(F.avg_pool2d(garment, 3), F.avg_pool2d(shift(2, 3), 3))
    expect(answer).to_contain_text(f"{left} of {whole} outputs of the pooling stay the same")


def test_what_one_is_asked_to_try_is_so(station: Locator) -> None:
    said, image = station.locator(".readers"), station.locator(".desk canvas").first
    cell = 14  # CSS pixels
    for padding, corner, readers in (("valid", 0, "1 output reads it."), ("same", 1, "4 outputs read it.")):
        pick(station, Padding=padding)
        image.hover(position={"x": (corner + 0.5) * cell, "y": (corner + 0.5) * cell})
        expect(said).to_contain_text("Pixel 0, 0")
        expect(said).to_contain_text(readers)
    for stride, moves_along in ((1, True), (2, False)):
        pick(station, Kernel="blur", Padding="valid", Stride=stride, Picture="garment")
        before = outputs(station)
        pick(station, Picture="moved")
        after = outputs(station)
        assert torch.equal(after[..., 1:], before[..., :-1]) == moves_along
