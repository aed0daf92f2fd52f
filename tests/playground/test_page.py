"""The playground's page as such: it opens from disk without a request, in both themes, on a phone, and by keyboard; the
guess comes first; equations light up; the current image is chosen or drawn."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

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

BRIGHT = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d")
  copy.drawImage(canvas, 0, 0)
  return [...copy.getImageData(0, 0, canvas.width, canvas.height).data].filter((v, i) => i % 4 === 0 && v).length
}"""
"""How many pixels are not black."""


def test_the_page_holds_all_stations_and_opens_without_a_fault(open_page: Open, playground_page: Path) -> None:
    page = open_page(playground_page)
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    assert [text.replace("\n", "") for text in headings] == [f"{i}{title}" for i, title in enumerate(STATIONS, 1)]
    expect(page.locator("nav a")).to_have_count(5)
    assert page.locator(".stage").count() == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name(open_page: Open, playground_page: Path, scheme: str) -> None:
    page = open_page(playground_page, "#open", color_scheme=scheme)
    for i in range(page.get_by_role("tab").count()):
        page.get_by_role("tab").nth(i).click()
    assert page.evaluate(NAMELESS) == []


def test_light_and_dark(open_page: Open, playground_page: Path) -> None:
    """The system's theme at first, then the reader's; ink and paper stay apart in both."""
    page = open_page(playground_page, color_scheme="dark")
    colours = "() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color] }"
    dark = page.evaluate(colours)
    page.get_by_role("button", name="Show in light colours").click()
    light = page.evaluate(colours)
    expect(page.get_by_role("button", name="Show in dark colours")).to_be_visible()
    assert dark[0] != dark[1] != light[1]
    assert light[0] != dark[0]


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
    expect(station.get_by_role("radio").first).to_be_disabled()
    expect(station.get_by_text("What it shows")).to_be_visible()
    assert page.locator("#shift .stage").evaluate("e => e.inert"), "each station has a guess of its own"


def test_a_right_guess_is_called_right(open_page: Open, playground_page: Path) -> None:
    station = open_page(playground_page).locator("#slide")
    station.get_by_role("radio", name="12×12").check()
    station.get_by_role("button", name="Show me").click()
    expect(station.locator(".outcome")).to_contain_text("Right.")


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


def test_verdicts_come_with_their_numbers(open_page: Open, playground_page: Path) -> None:
    page = open_page(playground_page, "#open")
    verdict = page.locator("#slide .verdict").first
    expect(verdict.locator("summary")).to_contain_text("Claim 4")
    verdict.locator("summary").click()
    heads = verdict.locator("th").all_inner_texts()
    assert heads == ["compared", "found", "interval", "margin", "n", "verdict"]
    first = verdict.locator("tbody tr").first.locator("td")
    assert re.fullmatch(r"[>±] −?[\d.]+", first.nth(3).inner_text())
    assert int(first.nth(4).inner_text()) >= 2


def test_the_image_is_chosen_or_drawn(open_page: Open, playground_page: Path) -> None:
    """By keyboard, by mouse, and with a name that says which it is."""
    page = open_page(playground_page, "#open")
    picker = page.locator("#slide .picker")
    before = picker.locator("summary strong").inner_text()
    picker.locator("summary").click()
    garments = picker.get_by_role("radio")
    garments.first.focus()
    page.keyboard.press("ArrowRight")
    chosen = picker.locator("summary strong")
    expect(chosen).not_to_have_text(before)
    expect(garments.nth(1)).to_be_checked()
    picker.get_by_role("button", name="Other garments").click()
    expect(picker.get_by_role("radio", name="number 31")).to_be_visible()

    pad = picker.get_by_role("application", name="Drawing pad")
    assert pad.evaluate(BRIGHT) == 0
    pad.focus()
    page.keyboard.press("Space")
    expect(chosen).to_have_text("your drawing")
    once = pad.evaluate(BRIGHT)
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    assert pad.evaluate(BRIGHT) > once > 0
    picker.get_by_role("button", name="Clear").click()
    assert pad.evaluate(BRIGHT) == 0
    box = pad.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 120)
    page.mouse.up()
    assert pad.evaluate(BRIGHT) > 40
    picker.get_by_label("Erase").check()
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.up()
    assert pad.evaluate(BRIGHT) < 10
