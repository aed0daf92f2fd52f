"""The built site in a browser, from disk: no request leaves it, nothing is wrong on its console, its search finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("site") / "html"
    call = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", str(ROOT / "docs"), str(top)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return top


def new_page(chromium: Browser, width: int, scheme: str) -> tuple[Page, list[str]]:
    """(a page, what it will do that it must not: requests to the network, words on its console)."""
    page = chromium.new_context(offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    return page, wrong


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_each_page_opens_from_disk(width: int, scheme: str, site: Path, chromium: Browser) -> None:
    """And is no wider than the screen."""
    pages = [path for path in site.rglob("*.html") if "reports" not in path.relative_to(site).parts]
    assert len(pages) > 15
    page, wrong = new_page(chromium, width, scheme)
    for path in pages:
        page.goto(path.as_uri())
        assert wrong == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_its_search_finds_a_key(site: Path, chromium: Browser) -> None:
    page, wrong = new_page(chromium, 1400, "light")
    page.goto(f"{(site / 'search.html').as_uri()}?q=train_size")
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(each => each.getAttribute('href'))")
    assert any("configuration.html#" in link and "train_size" in link for link in found), found
    assert wrong == []
