"""Fixtures for pages: an installed Chromium, driven by Playwright, without a network. What a page does that it must
not (a request, a message on the console, an error) ends the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


def executable() -> str:
    """The browser's path: FC2CONV_CHROMIUM, or the first that is found."""
    found = os.environ.get("FC2CONV_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail("no Chromium; apt-get install chromium, or say where one is: FC2CONV_CHROMIUM=/path/to/chrome")
    return found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)  # milliseconds; Playwright's 5 s are short where others use the processors, too
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file in a window of its own, and waits until it says that it is ready.

    `open_page(path, hash="", width=1400, height=900, **options of a browser context)`
    """
    contexts, faults = [], []

    def opened(path: Path, hash: str = "", width: int = 1400, height: int = 900, **options: Any) -> Page:
        context = chromium.new_context(offline=True, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: faults.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: faults.append(f"error: {e}"))
        page.on("request", lambda r: None if _allowed(r.url, path) else faults.append(f"request: {r.url[:200]}"))
        # waits as long as Playwright does, 30 s: a page opens in two, also where six processes share two cores
        page.goto(path.as_uri() + hash)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def _allowed(url: str, path: Path) -> bool:
    return url.split("#")[0] == path.as_uri() or url.startswith(("data:", "blob:"))
