"""The playground's page as such: it opens from disk without a request, in both themes, on a phone, and by keyboard; the
guess comes first; equations light up; the current image is chosen or drawn."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from playground.seen import colours, greys
from playground.torch_side import images_of
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

STATIONS = ["Shift it", "Constrain it", "Slide it", "Look inside", "Train it"]
PHONE = {"width": 390, "height": 800}

NAMELESS = """() => {
  const controls = document.querySelectorAll(
    "button, input, select, a, summary, [tabindex]:not(main, h2, p), canvas, [role=radiogroup], [role=tablist]");
  const text = element => (element?.textContent ?? "").trim();
  const named = element => element.getAttribute("aria-label")
    || text(document.getElementById(element.getAttribute("aria-labelledby") ?? ""))
    || [...(element.labels ?? [])].some(text)
    || (!["INPUT", "SELECT", "CANVAS"].includes(element.tagName) && text(element));
  const silent = element => element.closest("[aria-hidden=true]");
  return [...controls].filter(e => !silent(e) && !named(e)).map(e => e.outerHTML.slice(0, 200));
}"""

CLAIMS = {
    "shift": ["shift", "permutation"],
    "constrain": ["counts", "constraints"],
    "slide": ["equivariance", "padding", "pooling"],
    "inside": ["receptive_field"],
    "train": ["constraints", "permutation"],
}
"""What the verdicts below each station are about."""


def bright(canvas: Locator) -> int:
    """How many pixels are not black."""
    return int(greys(canvas).count_nonzero())


def test_the_page_holds_all_stations_and_opens_without_a_fault(open_page: Open, playground_page: Path) -> None:
    page = open_page(playground_page)
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    assert [text.replace("\n", "") for text in headings] == [f"{i}{title}" for i, title in enumerate(STATIONS, 1)]
    expect(page.locator("nav a")).to_have_count(5)
    assert page.locator(".stage").count() == 5


def test_a_link_leads_to_its_station(open_page: Open, playground_page: Path) -> None:
    """And the keyboard goes on from there."""
    page = open_page(playground_page)
    for i, title in enumerate(STATIONS, 1):
        page.locator("nav").get_by_role("link", name=f"{i} {title}").press("Enter")
        heading = page.get_by_role("heading", name=f"{i} {title}", exact=True)
        expect(heading).to_be_focused()
        expect(heading).to_be_in_viewport()
    page.locator("#skip").press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name(open_page: Open, playground_page: Path, scheme: str) -> None:
    """Also those that come with another tab, another choice from a list, and with the first steps of a training."""
    page = open_page(playground_page, "#open", color_scheme=scheme, reduced_motion="reduce")
    for picker in page.locator(".picker summary").all():
        picker.click()
    for i in range(page.get_by_role("tab").count()):
        page.get_by_role("tab").nth(i).click()
    page.get_by_role("tab").first.click()
    assert page.evaluate(NAMELESS) == []
    page.locator("#slide").get_by_role("combobox", name="Channels").select_option("3")
    for rung in page.locator("#constrain .ladder input").all():
        rung.check()
        assert page.evaluate(NAMELESS) == []
    page.locator("#train").get_by_label("Matched").select_option("params")
    page.locator("#train").get_by_role("button", name="Start").click()
    page.locator("#train").get_by_role("button", name="Pause").click()
    networks = page.locator("#inside").get_by_label("Network")
    for i in range(networks.locator("option").count()):
        networks.select_option(index=i)
        assert page.evaluate(NAMELESS) == []
    page.locator("#slide").get_by_role("combobox", name="Operation").select_option("max")
    assert page.evaluate(NAMELESS) == []


def test_light_and_dark(open_page: Open, playground_page: Path) -> None:
    """The system's theme at first, then the reader's; ink and paper stay apart in both."""
    page = open_page(playground_page, color_scheme="dark")
    ink = "() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color] }"
    dark, drawn = page.evaluate(ink), colours(page.get_by_label("The hidden map: a unit"))
    page.get_by_role("button", name="Show in light colours").click()
    light = page.evaluate(ink)
    expect(page.get_by_role("button", name="Show in dark colours")).to_be_visible()
    assert dark[0] != dark[1] != light[1]
    assert light[0] != dark[0]
    assert (colours(page.get_by_label("The hidden map: a unit")) != drawn).any(), "pictures follow"


def test_a_phone_does_not_scroll_sideways(open_page: Open, playground_page: Path) -> None:
    page = open_page(playground_page, "#open", **PHONE)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == PHONE["width"]
    for i in range(page.get_by_role("tab").count()):
        page.get_by_role("tab").nth(i).click()
        assert page.evaluate(width) == PHONE["width"], page.get_by_role("tab").nth(i).inner_text()
    page.locator(".picker summary").first.click()
    assert page.evaluate(width) == PHONE["width"]


def test_targets_are_large_enough_for_a_finger(open_page: Open, playground_page: Path) -> None:
    """24 pixels each way, or the label that belongs to the control (WCAG 2.2, 2.5.8)."""
    page = open_page(playground_page, "#open", **PHONE)
    small = page.evaluate(
        """() => [...document.querySelectorAll("#slide button, #slide select, #slide input, nav a")]
            .map(e => [e.outerHTML.slice(0, 120), (e.closest("label") ?? e).getBoundingClientRect()])
            .filter(([_, box]) => box.width && (box.width < 24 || box.height < 24)).map(([html]) => html)"""
    )
    assert small == []


def test_a_stage_waits_for_a_guess_made_by_keyboard(open_page: Open, playground_page: Path) -> None:
    page = open_page(playground_page)
    station = page.locator("#slide")
    stage, outcome = station.locator(".stage"), station.locator(".outcome")
    assert stage.evaluate("e => e.inert")
    assert station.locator(".conclusion").is_hidden()
    station.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert not stage.evaluate("e => e.inert")
    expect(outcome).to_be_focused()
    expect(outcome).to_contain_text("No: 12×12.")
    assert station.locator(".option.wrong").all_inner_texts() == ["13×13"]
    expect(station.get_by_role("radio").first).to_be_disabled()
    expect(station.get_by_text("What it shows")).to_be_visible()
    assert page.locator("#shift .stage").evaluate("e => e.inert"), "each station has a guess of its own"


@pytest.mark.parametrize(
    ("station", "answer", "because"),
    [
        ("constrain", "100", "one kernel of 5×5 weights"),  # 4 maps of 25
        ("slide", "12×12", "it must not stick out"),  # 14 - 3 + 1
        ("inside", "14×14 pixels", "conv2: 6 + 4 · 2 = 14"),  # 5 + 1 + 2 * 4
        ("train", "None of them loses much", "The dense layer does not know which pixels are neighbours"),
    ],
)
def test_a_right_guess_is_called_right(
    station: str, answer: str, because: str, open_page: Open, playground_page: Path
) -> None:
    within = open_page(playground_page).locator(f"#{station}")
    within.get_by_role("radio", name=answer, exact=True).check()
    within.get_by_role("button", name="Show me").click()
    expect(within.locator(".outcome")).to_contain_text("Right.")
    expect(within.locator(".outcome")).to_contain_text(because)
    assert within.locator(".option.right").inner_text() == answer
    expect(within.locator(".option.wrong")).to_have_count(0)


def test_nothing_is_shown_without_an_answer_but_a_guess_can_be_skipped(open_page: Open, playground_page: Path) -> None:
    page = open_page(playground_page)
    station = page.locator("#slide")
    station.get_by_role("button", name="Show me").click()
    expect(page.locator("#said")).to_have_text("Choose an answer first, or skip.")
    expect(station.locator(".guess").get_by_text("Choose an answer first, or skip.")).to_be_visible()
    assert station.locator(".stage").evaluate("e => e.inert")
    station.get_by_role("button", name="Skip").click()
    assert not station.locator(".stage").evaluate("e => e.inert")
    expect(station.locator(".outcome")).to_contain_text("12×12.")


def test_a_symbol_lights_in_equation_and_pictures(open_page: Open, playground_page: Path) -> None:
    """By pointer and by focus, in its own station only."""
    page = open_page(playground_page, "#open")
    station = page.locator("#slide")
    letters, kernel = station.locator(".equation mi[data-symbol=V]").first, station.locator(".kernel").first
    station.get_by_role("button", name="V kernel").hover()
    for lit in (letters, kernel):
        expect(lit).to_contain_class("lit")
    expect(page.locator("section:not(#slide) .lit")).to_have_count(0)
    station.get_by_role("button", name="X image").focus()
    expect(letters).not_to_contain_class("lit")
    expect(station.locator(".equation mi[data-symbol=X]").first).to_contain_class("lit")
    kernel.hover()
    expect(letters).to_contain_class("lit")
    page.mouse.move(2, 400)  # beside the column
    expect(page.locator(".lit")).to_have_count(0)
    station.get_by_role("button", name="u bias").focus()
    expect(station.locator(".equation mi[data-symbol=u]")).to_contain_class("lit")
    page.locator("nav a").first.focus()
    expect(page.locator(".lit")).to_have_count(0)


MARKS = {"supported": "✔", "refuted": "✘", "undecided": "~"}


def test_verdicts_come_with_their_numbers(
    open_page: Open, playground_page: Path, playground_data: dict[str, Any]
) -> None:
    """Those of the records: differences with their signs, to four places; ratios and large numbers to two."""
    page = open_page(playground_page, "#open")

    def written(value: float | None, comparison: dict[str, Any]) -> str:
        if value is None:
            return "–"
        is_ratio = comparison["kind"] == "ratio"
        places = 2 if is_ratio or abs(comparison["estimate"]) >= 10 else 4
        return f"{value:.{places}f}" if is_ratio else f"{value:+.{places}f}".replace("-", "−")

    for station, names in CLAIMS.items():
        verdicts = page.locator(f"#{station} .verdict").all()
        for verdict, result in zip(verdicts, (playground_data["results"][name] for name in names), strict=True):
            summary = f"{MARKS[result['verdict']]} Claim {result['number']}, {result['title']}: {result['verdict']}"
            assert verdict.locator("summary").inner_text() == summary
            rows = [row.locator("td").all_text_contents() for row in verdict.locator("tbody tr").all()]
            assert rows == [
                [
                    c["says"],
                    written(c["estimate"], c),
                    f"{written(c['low'], c)} to {written(c['high'], c)}",
                    f"{'±' if c['kind'] == 'equal' else '>'} {c['margin']:g}".replace("-", "−"),
                    str(c["n"]),
                    c["verdict"],
                ]
                for c in result["comparisons"]
            ]
    verdict = page.locator("#slide .verdict").first
    verdict.locator("summary").click()
    assert verdict.locator("th").all_inner_texts() == ["compared", "found", "interval", "margin", "n", "verdict"]


def test_cells_are_reached_by_arrow_keys(open_page: Open, playground_page: Path) -> None:
    """And left; no key leads out of the picture."""
    page = open_page(playground_page, "#open")
    picture, said = page.locator("#slide").get_by_role("application", name="Input"), page.locator("#said")
    picture.focus()
    for key, times, cell in (
        ("ArrowDown", 3, "3, 0"),
        ("ArrowUp", 1, "2, 0"),
        ("ArrowRight", 20, "2, 13"),
        ("ArrowLeft", 2, "2, 11"),
        ("ArrowUp", 9, "0, 11"),
        ("ArrowDown", 20, "13, 11"),
    ):
        for _ in range(times):
            page.keyboard.press(key)
        expect(said).to_contain_text(f"Pixel {cell}: ")
    readers = page.locator("#slide .readers")
    expect(readers).to_contain_text("Pixel 13, 11: ")
    page.keyboard.press("Escape")
    expect(readers).to_contain_text("Point at an output pixel")


def test_the_image_is_chosen_or_drawn(open_page: Open, playground_page: Path, playground_data: dict[str, Any]) -> None:
    """By keyboard, by mouse, and with a name that says which it is; in all stations."""
    page = open_page(playground_page, "#open")
    picker = page.locator("#slide .picker")
    pixels, labels = images_of(playground_data)
    names = [playground_data["images"]["classes"][label] for label in labels]
    chosen, small = picker.locator("summary strong"), picker.locator("summary canvas")
    pad = picker.get_by_role("application", name="Drawing pad")
    picker.locator("summary").click()
    expect(chosen).to_have_text(names[0])
    garments = picker.get_by_role("radio")
    garments.first.focus()
    page.keyboard.press("ArrowRight")
    assert [each.inner_text() for each in page.locator(".picker summary strong").all()] == [names[1]] * 4
    expect(garments.nth(1)).to_be_checked()
    assert (greys(small).flatten() == pixels[1]).all()
    picker.get_by_role("button", name="Start from this garment").click()
    assert (greys(pad).flatten() == pixels[1]).all()
    picker.get_by_role("button", name="Other garments").click()
    second = picker.get_by_role("radio", name="number 32")
    second.check(force=True)
    expect(second).to_be_checked()
    assert (greys(small).flatten() == pixels[31]).all()
    for _ in range(6):  # 200 garments, 30 at a time
        picker.get_by_role("button", name="Other garments").click()
    expect(picker.get_by_role("radio", name=re.compile("number 1$"))).to_be_visible()

    picker.get_by_role("button", name="Clear").click()
    expect(chosen).to_have_text("your drawing")
    assert bright(small) == 0
    pad.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    shape = greys(pad).double()
    assert (shape == greys(small)).all()
    rows, columns = (float(torch.arange(28).double() @ shape.sum(axis) / shape.sum()) for axis in (1, 0))
    assert (rows, columns) == pytest.approx((14, 19))  # from the middle
    once = bright(pad)
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    assert bright(pad) > once > 0
    picker.get_by_role("button", name="Clear").click()
    assert bright(pad) == 0
    box = pad.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 120)
    page.mouse.up()
    assert bright(pad) > 40
    assert greys(pad)[14, 18] > 0 == greys(pad)[18, 14]  # 8 CSS pixels for one of the image
    picker.get_by_label("Erase").check()
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.up()
    assert bright(pad) < 10
