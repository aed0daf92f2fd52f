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
from playwright.sync_api import expect

from fc2conv.architectures.layers import Conv, GeometryError, PoolLayer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

EDGE = 14
SOBEL = [[1.0, 0.0, -1.0]] * 3
KERNELS = {
    "edge [1, −1]": [[1.0, -1.0]],
    "vertical edges": SOBEL,
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

DRAWN = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d")
  copy.drawImage(canvas, 0, 0)
  return [...copy.getImageData(0, 0, canvas.width, canvas.height).data].filter((v, i) => i % 4 === 3 && v).length
}"""
"""How many pixels are not transparent."""


def number(text: str) -> float:
    return float(text.replace("−", "-"))


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


@pytest.fixture(scope="session")
def garment(playground_data: dict[str, Any]) -> torch.Tensor:
    """[1, 1, 14, 14]: the page's first image, averaged, in whole hundredths."""
    pixels = np.frombuffer(base64.b64decode(playground_data["images"]["pixels"]), np.uint8)[: 28 * 28]
    small = F.avg_pool2d(torch.tensor(pixels.reshape(1, 1, 28, 28)).float(), 2).round()
    return torch.floor(100 * small / 255 + 0.5) / 100


def tinted(image: torch.Tensor) -> torch.Tensor:
    """[1, 3, 14, 14]: red fades downwards, green rightwards, and blue upwards; in whole hundredths."""
    ramp = torch.arange(EDGE, dtype=torch.float64) / (EDGE - 1)
    shares = torch.stack(
        [1 - ramp[:, None].expand(EDGE, EDGE), ramp.expand(EDGE, EDGE), ramp[:, None].expand(EDGE, EDGE)]
    )
    return (torch.floor(100 * image.double() * shares + 0.5) / 100).float()


@pytest.fixture
def station(open_page: Open, playground_page: Path) -> Locator:
    return open_page(playground_page, "#open", reduced_motion="reduce").locator("#slide")


def padded(image: torch.Tensor, pad: int, mode: str) -> torch.Tensor:
    return F.pad(image, (pad,) * 4, mode={"zeros": "constant"}.get(mode, mode)) if pad else image


CONFIGURATIONS = [
    ("vertical edges", 0, "zeros", 1, 1),
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


POOLINGS = {"max": F.max_pool2d, "average": F.avg_pool2d}


def test_poolings_are_torchs(station: Locator, garment: torch.Tensor) -> None:
    for kind, apply in POOLINGS.items():
        pick(station, Operation=kind, Channels=3, Window=3, Stride=2)
        torch.testing.assert_close(outputs(station), apply(tinted(garment), 3, 2)[0], atol=1e-4, rtol=0)
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
    pick(station, Kernel_height=1, Kernel_width=2)
    assert [box.input_value() for box in station.locator(".kernel input").all()] == ["−0.5", "0"]


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
    station.get_by_role("button", name="Start again").press("Enter")
    expect(sum_line).to_contain_text("H0,0 =")


def test_the_output_is_drawn_pixel_by_pixel(open_page: Open, playground_page: Path) -> None:
    station = open_page(playground_page, "#open").locator("#slide")
    pick(station, Stride=4)
    output = station.get_by_role("application", name="Output, 3 by 3")
    assert output.evaluate(DRAWN) == 1
    station.get_by_role("button", name="Step").click()
    assert output.evaluate(DRAWN) == 2
    station.get_by_role("button", name="Play").click()
    expect(station.get_by_role("button", name="Pause")).to_be_visible()
    expect(station.get_by_role("slider")).to_have_value("8")
    expect(station.get_by_role("button", name="Play")).to_be_visible()
    assert output.evaluate(DRAWN) == 9


def test_padding_decides_how_often_the_corner_is_read(station: Locator) -> None:
    for padding, readers in (("valid", 1), (1, 4)):
        pick(station, Padding=padding)
        station.get_by_role("application", name="Input").focus()
        for _ in range(0 if padding == "valid" else 1):
            station.page.keyboard.press("ArrowDown")
            station.page.keyboard.press("ArrowRight")
        expect(station.locator(".readers")).to_contain_text(f"Pixel 0, 0: 0; {readers} output")
        expect(station.locator(".reader")).to_have_count(readers)


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
    station.page.keyboard.press("Home")
    expect(station.get_by_role("tabpanel", name="Slide")).to_be_visible()


def test_a_convolution_flips_the_kernel(station: Locator, garment: torch.Tensor) -> None:
    """torch's conv2d does not flip; its transposed convolution, with one channel and stride 1, is the one that does."""
    flip = part(station, "Flip")
    pick(flip, Image="garment")
    kernel = torch.tensor([[[[3.0, 2, 1], [2, 1, 0], [1, 0, 0]]]])
    expected = [F.conv2d(garment, kernel, padding=1), F.conv_transpose2d(garment, kernel, padding=1)]
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
    for n, button in ((1, "One step"), (10, "Ten steps")):
        for _ in range(n):
            loss = (F.conv2d(image, kernel) - target).square().sum()
            (gradient,) = torch.autograd.grad(loss, kernel)
            kernel = (kernel - 0.03 * gradient).detach().requires_grad_()
        learn.get_by_role("button", name=button).press("Enter")
        torch.testing.assert_close(shown(), kernel.detach(), atol=1e-4, rtol=0)
        after = (F.conv2d(image, kernel) - target).square().sum().item()
        said = re.search(r"Loss ([\d.]+) after", learn.inner_text())
        assert said
        assert float(said[1]) == pytest.approx(after, abs=1e-4)
    for _ in range(9):
        learn.get_by_role("button", name="Ten steps").click()
    torch.testing.assert_close(shown(), torch.tensor([[[[1.0, -1.0]]]]), atol=2e-3, rtol=0)


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
    matrix[0, 1], bias = -2.5, torch.tensor([3, 0.0])
    pointwise.get_by_label("Weight of green in channel 1").fill("-2,5")
    pointwise.get_by_label("Bias of channel 1").fill("3")
    expected = F.conv2d(tinted(garment), matrix[:, :, None, None], bias).relu()[0]
    expect(pointwise.get_by_role("combobox", name="Matrix")).to_have_value("your own")
    found = [number(text) for text in pointwise.locator(".bracket").last.locator("td").all_inner_texts()]
    assert found == pytest.approx(expected[:, y, x].tolist(), abs=1e-4)
    pointwise.get_by_label("Bias of channel 1").fill("much")
    expect(pointwise.get_by_label("Bias of channel 1")).to_have_attribute("aria-invalid", "true")


def test_what_a_pooling_leaves_of_a_shift(station: Locator, garment: torch.Tensor) -> None:
    pool = part(station, "Pool")
    answer = pool.locator(".answer")
    pick(pool, Image="garment")
    shifted = torch.roll(garment, 1, 3)
    shifted[..., 0] = 0

    def same(a: torch.Tensor, b: torch.Tensor) -> tuple[int, int]:
        counted = (a != 0) | (b != 0)
        return int((counted & ((a - b).abs() < 1e-6)).sum()), int(counted.sum())

    for kind, apply in POOLINGS.items():
        pick(pool, Pooling=kind)
        pooled, pixels = same(apply(garment, 2), apply(shifted, 2)), same(garment, shifted)
        expect(answer).to_contain_text(f"{pooled[0]} of {pooled[1]} outputs of the pooling stay the same")
        expect(answer).to_contain_text(f"and {pixels[0]} of {pixels[1]} pixels")
    pool.get_by_role("button", name="Shift left").press("Enter")
    expect(pool).to_contain_text("not shifted")
    expect(pool.locator(".changed")).to_have_count(0)


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
