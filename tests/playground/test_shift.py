"""Station 1: what moves the image moves it, and what the cards say is what torch says of the same image."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from playground.conftest import MODELS
from playground.seen import frames, greys
from playground.torch_side import Twin, images_of
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

STATION = "shift"
CANVAS = 44  # pixels


def arena(station: Locator) -> Locator:
    return station.locator(".arena canvas")


def where(station: Locator) -> str:
    return station.locator(".where").inner_text()


def drag(station: Locator, right: float, down: float) -> None:
    """The canvas by so many of its pixels, in some steps."""
    canvas = arena(station)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    pixel = box["width"] / CANVAS
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = station.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + right * pixel, y + down * pixel, steps=4)
    mouse.up()


def cards(station: Locator) -> dict[str, Locator]:
    return {str(card.get_attribute("aria-label")): card for card in station.get_by_role("article").all()}


def choose(station: Locator, number: int) -> None:
    """A garment of the test set, the first one being 1."""
    station.locator(".picker summary").click()
    station.get_by_role("radio", name=re.compile(rf"number {number}$")).check(force=True)


def placed(pixels: torch.Tensor, right: int, down: int) -> torch.Tensor:
    """(784,) -> the canvas (44, 44) with the image so far from its middle."""
    canvas = torch.zeros(CANVAS, CANVAS)
    canvas[8 + down : 36 + down, 8 + right : 36 + right] = pixels.view(28, 28)
    return canvas


def answers(station: Locator) -> dict[str, list[tuple[str, str]]]:
    """Network -> [(class, probability)], as the cards say them."""
    found = {}
    for name, card in cards(station).items():
        rows = [row.locator("span").all_inner_texts() for row in card.locator("li").all()]
        found[name] = [(row[0], row[1].replace("\u00a0", " ")) for row in rows]
    return found


def expected(twin: Twin, payload: dict[str, Any], **how: Any) -> list[tuple[str, float]]:
    """The three most likely classes of the page's first garment, with their probabilities."""
    pixels, _ = images_of(payload)
    best = twin.logits(pixels[:1], **how).softmax(1)[0].topk(3)
    classes = payload["images"]["classes"]
    return [(classes[k], float(p)) for k, p in zip(best.indices, best.values, strict=True)]


def assert_alike(said: list[tuple[str, str]], known: list[tuple[str, float]]) -> None:
    """Percents, rounded."""
    assert [name for name, _ in said] == [name for name, _ in known]
    for (_, text), (_, probability) in zip(said, known, strict=True):
        if text == "<1 %":
            assert probability < 0.00501
        else:
            assert float(text.split()[0]) == pytest.approx(100 * probability, abs=0.51)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (4, 0), (-3, 5)])
def test_a_dragged_garment_gets_torchs_answers(
    right: int, down: int, station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    drag(station, right, down)
    for name, said in answers(station).items():
        assert_alike(said, expected(twins[name], playground_data, right=right, down=down, permuted=False))


def test_it_is_clipped_at_eight_pixels(station: Locator) -> None:
    drag(station, 30, -30)
    assert where(station) == "8 right, 8 up"


def test_it_is_drawn_where_it_is(station: Locator, playground_data: dict[str, Any]) -> None:
    """With a frame around it, and another one where it was."""
    pixels, _ = images_of(playground_data)
    assert (greys(arena(station)) == placed(pixels[0], 0, 0)).all()
    drag(station, -4, 3)
    assert (greys(arena(station)) == placed(pixels[0], -4, 3)).all()
    assert frames(station.locator(".arena"), "garment") == [(4, 11, 28, 28)]
    assert frames(station.locator(".arena"), "home") == [(8, 8, 28, 28)]
    choose(station, 2)
    assert (greys(arena(station)) == placed(pixels[1], -4, 3)).all()


def test_a_drag_ends_and_says_where(station: Locator) -> None:
    drag(station, 2, 3)
    expect(station.page.locator("#said")).to_contain_text("2 right, 3 down. softmax: ")
    arena(station).hover(position={"x": 20, "y": 20})  # no button is down
    assert where(station) == "2 right, 3 down"


def test_it_moves_by_keys_and_buttons_and_says_so(station: Locator) -> None:
    canvas = arena(station)
    canvas.focus()
    for keys, place in (
        (("ArrowLeft", "ArrowLeft", "ArrowDown"), "2 left, 1 down"),
        (("ArrowRight", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"), "1 right, 1 up"),
    ):
        for key in keys:
            canvas.press(key)
        assert where(station) == place
        expect(station.page.locator("#said")).to_contain_text(f"{place}. softmax: ")
        assert place in str(canvas.get_attribute("aria-label"))
    canvas.press("Home")
    assert where(station) == "in the middle"
    for names, place in (
        (("Up", "Right", "Right"), "2 right, 1 up"),
        (("Down", "Down", "Left", "Left", "Left"), "1 left, 1 down"),
    ):
        for name in names:
            station.get_by_role("button", name=name, exact=True).click()
        assert where(station) == place
    station.get_by_role("button", name="To the middle").click()
    assert where(station) == "in the middle"


def test_a_changed_mind_is_marked(station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]) -> None:
    drag(station, 8, 8)
    pixels, labels = images_of(playground_data)
    classes = playground_data["images"]["classes"]
    changes = {}
    for name, card in cards(station).items():
        centred, moved = (
            int(twins[name].logits(pixels[:1], **how).argmax())
            for how in ({}, {"right": 8, "down": 8, "permuted": False})
        )
        changes[name] = centred != moved
        assert ("changed" in str(card.get_attribute("class"))) == changes[name]
        mind = card.locator(".mind").inner_text()
        assert mind.startswith(f"≠ {classes[centred]} in" if changes[name] else "= as in")
        assert mind.endswith(" Right." if moved == labels[0] else " Wrong.")
    assert set(changes.values()) == {True, False}
    # the same in short, which stands below the canvas where there is no room for cards beside it
    short = station.locator(".glance li")
    assert [text.split(":")[0] for text in short.all_text_contents()] == list(changes)
    assert ["changed" in str(each.get_attribute("class")) for each in short.all()] == list(changes.values())


def test_another_garment_has_answers_of_its_own(
    station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    """What a network said in the middle is said of this garment."""
    choose(station, 2)
    pixels, _ = images_of(playground_data)
    own = {name: [int(twins[name].logits(pixels[i : i + 1]).argmax()) for i in (0, 1)] for name in MODELS}
    assert any(first != second for first, second in own.values())
    for name, card in cards(station).items():
        if name != "mlp_permuted":
            expect(card.locator(".mind")).to_contain_text("= as in the middle.")


def test_the_curves_are_the_recorded_ones(station: Locator, playground_data: dict[str, Any]) -> None:
    """The dot stands at the longer of both ways, and the values there are said."""
    drag(station, 3, -5)
    names = station.locator(".recorded text.name").all_text_contents()
    curves = {each["title"]: each["curve"] for each in playground_data["networks"]}
    assert names == [f"{title} {curve['accuracy'][5]:.2f}" for title, curve in curves.items()]
    rows = station.locator(".recorded tbody tr")
    said = [row.locator("td").all_text_contents() for row in rows.all()]
    assert said == [[str(x), *(f"{curve['accuracy'][x]:.2f}" for curve in curves.values())] for x in range(9)]


def test_the_curves_are_drawn_to_scale(station: Locator, playground_data: dict[str, Any]) -> None:
    """By the numbers at the axes; in the colours of the cards, and told apart without colours."""
    drag(station, 3, -5)
    chart = station.locator(".recorded svg:has(.line)")
    numbers = chart.locator("text[text-anchor=middle]").all()[:9]
    across = {int(each.text_content() or ""): float(each.get_attribute("x") or "nan") for each in numbers}
    assert list(across) == list(range(9))
    rules, numbers = chart.locator("line.rule").all(), chart.locator("text[text-anchor=end]").all()
    up = {
        float(number.text_content() or ""): float(rule.get_attribute("y1") or "nan")
        for rule, number in zip(rules, numbers, strict=True)
    }
    bottom, top = up[0], up[1]
    lines, dots = chart.locator("polyline.line").all(), chart.locator("circle.dot").all()
    for line, dot, network in zip(lines, dots, playground_data["networks"], strict=True):
        known = network["curve"]["accuracy"]
        points = [[float(n) for n in pair.split(",")] for pair in str(line.get_attribute("points")).split()]
        expected = [[across[x], bottom + (top - bottom) * share] for x, share in enumerate(known)]
        torch.testing.assert_close(torch.tensor(points), torch.tensor(expected), atol=0.5, rtol=0)
        at = [float(dot.get_attribute(key) or "nan") for key in ("cx", "cy")]
        assert at == pytest.approx(expected[5], abs=0.5)
        edge = station.get_by_role("article", name=network["title"], exact=True)
        stroke, border = (
            each.evaluate(f"(e) => getComputedStyle(e).{key}")
            for each, key in ((line, "stroke"), (edge, "borderTopColor"))
        )
        assert stroke == border
    assert len({line.get_attribute("stroke-dasharray") for line in lines}) == len(lines)


def test_the_switch_asks_first(playground_page: Path, open_page: Open) -> None:
    station = open_page(playground_page).locator("#shift")
    station.get_by_role("button", name="Skip").first.click()
    switch = station.get_by_label("Permute the pixels")
    question = station.get_by_role("group", name=re.compile("All pixels change places"))
    expect(question).to_be_hidden()
    switch.click()
    assert not switch.is_checked()
    question.get_by_label("The MLP, and softmax regression").check()
    station.get_by_role("button", name="Show me").click()
    assert switch.is_checked()
    expect(station.locator(".outcome").last).to_contain_text("Right.")


def test_permuted_pixels_get_torchs_answers(
    station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    """All see the permutation of the permuted MLP's training, of the moved image."""
    drag(station, 2, 1)
    station.get_by_label("Permute the pixels").check()
    for name, said in answers(station).items():
        assert_alike(said, expected(twins[name], playground_data, right=2, down=1, permuted=True))
        card = station.get_by_role("article", name=name, exact=True)
        assert card.locator(".foreign").is_visible() == (name != "mlp_permuted")
    station.get_by_label("Permute the pixels").uncheck()
    for name, said in answers(station).items():
        assert_alike(said, expected(twins[name], playground_data, right=2, down=1, permuted=False))


def test_it_shows_what_the_networks_see(
    station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    """Pixel by pixel."""
    pixels, _ = images_of(playground_data)
    drag(station, -4, 3)
    station.get_by_label("Permute the pixels").check()
    grey = greys(station.get_by_role("article", name="lenet", exact=True).locator("canvas"))
    twin = twins["lenet"]
    looks = twin.sees(pixels[:1], right=-4, down=3, permuted=True) * twin.data.std + twin.data.mean
    assert grey.double().allclose(looks[0, 0].double(), atol=1e-3)


@pytest.mark.parametrize("permuted", [False, True])
def test_all_garments_are_counted_as_torch_counts_them(
    permuted: bool, station: Locator, twins: dict[str, Twin], playground_data: dict[str, Any]
) -> None:
    drag(station, 4, 0)
    station.get_by_label("Permute the pixels").set_checked(permuted)
    station.get_by_role("button", name="Ask for all 200 garments").click()
    pixels, labels = images_of(playground_data)
    for name, card in cards(station).items():
        answered = twins[name].logits(pixels, right=4, permuted=permuted).argmax(1)
        right = int((answered == labels).sum())
        expect(card.locator(".counted")).to_have_text(f"{right} of 200 garments right")
    drag(station, 1, 0)
    assert station.locator(".counted:visible").count() == 0


def test_a_bar_is_as_long_as_its_probability(station: Locator) -> None:
    for name, card in cards(station).items():
        for row in card.locator("li").all():
            says = row.locator(".number").inner_text()
            ends = row.evaluate("(e) => getComputedStyle(e).backgroundImage.match(/([\\d.e+-]+)%/g).slice(-2)")
            for end in ends:
                assert float(end.rstrip("%")) == pytest.approx(float(says.strip("<").split()[0]), abs=1), name


def test_a_drawing_is_answered(station: Locator) -> None:
    station.locator(".picker summary").click()
    before = answers(station)
    pad = station.locator(".pen canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    mouse = station.page.mouse
    mouse.move(box["x"] + 60, box["y"] + 40)
    mouse.down()
    mouse.move(box["x"] + 60, box["y"] + 180, steps=5)
    mouse.up()
    assert station.locator(".picker summary strong").inner_text() == "your drawing"
    assert answers(station) != before
    assert not re.search("Right|Wrong", " ".join(station.locator(".mind").all_inner_texts()))


def test_the_question_is_answered_by_the_records(station: Locator, playground_data: dict[str, Any]) -> None:
    kept = {n["title"]: n["curve"]["consistency"][4] for n in playground_data["networks"] if not n["permutation"]}
    least = min(kept, key=kept.__getitem__)
    assert station.locator(".guess").first.locator(".option.right").inner_text() == least
    expect(station.locator(".outcome").first).to_contain_text(f"{least} {math.floor(100 * kept[least] + 0.5)}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(scheme: str, playground_page: Path, playground_data: dict[str, Any], open_page: Open) -> None:
    station = open_page(playground_page, "#open", width=390, color_scheme=scheme, has_touch=True).locator("#shift")
    arena(station).tap()
    assert station.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert station.locator(".glance li").count() == len(MODELS)
    key = station.locator(".recorded .key li")
    starts = [f"{each['title']} {each['curve']['accuracy'][0]:.2f}" for each in playground_data["networks"]]
    assert [text.strip() for text in key.all_inner_texts()] == starts
    for control in station.locator(".stage button:visible, .stage input[type=checkbox]:visible").all():
        box = control.bounding_box()
        assert box is not None
        name = control.evaluate("(e) => (e.ariaLabel ?? e.innerText) || e.labels?.[0]?.innerText")
        assert name
        if control.get_attribute("type") == "button":
            assert min(box["width"], box["height"]) >= 24, name
