"""Ends the build where a built page would ask the network for something, or links to a page that is not there.

Links that a reader follows (<a href>) may lead out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

LOADED = {"src", "srcset", "poster", "data"}
"""Attributes whose addresses a browser loads with the page; of <link> also href."""
IN_CSS = re.compile(r"(?:@import\s+|url\(\s*)['\"]?((?:https?:)?//[^'\")\s]+)")
LINKS_THAT_LOAD = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}


class Addresses(HTMLParser):
    """The addresses in a page: those it loads, and those it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self._style = tag == "style"
        self.ids |= {values[key] for key in ("id", "name") if key in values}
        self.loads += [value for key, value in values.items() if key in LOADED]
        self.loads += IN_CSS.findall(values.get("style", ""))
        if tag == "link" and LINKS_THAT_LOAD & set(values.get("rel", "").split()):
            self.loads.append(values.get("href", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loads += IN_CSS.findall(data)
            self._style = False


def read(page: Path) -> Addresses:
    parser = Addresses()
    parser.feed(page.read_text())
    return parser


def is_remote(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme not in ("", "data")


def wrong(top: Path) -> Iterator[str]:
    """What is wrong in the pages and style sheets beneath `top`."""
    pages = {path.resolve(): read(path) for path in top.rglob("*.html")}
    for path, found in pages.items():
        name = path.relative_to(top.resolve())
        for address in found.loads:
            if is_remote(address):
                yield f"{name} loads {address}"
            elif not address.startswith("data:") and not _target(path, address).is_file():
                yield f"{name} loads {address}, which is not there"
        for address in found.links:
            if is_remote(address) or address.startswith("data:"):
                continue
            target, anchor = _target(path, address), unquote(urlsplit(address).fragment)
            if not target.is_file():
                yield f"{name} links to {address}, which is not there"
            elif anchor and target in pages and anchor not in pages[target].ids:
                yield f"{name} links to {address}, and that page has no such place"
    for sheet in top.rglob("*.css"):
        for address in IN_CSS.findall(sheet.read_text()):
            yield f"{sheet.relative_to(top)} loads {address}"


def _target(page: Path, address: str) -> Path:
    """The file that an address in `page` means."""
    path = unquote(urlsplit(address).path)
    target = (page.parent / path).resolve() if path else page
    return target / "index.html" if target.is_dir() else target


def check(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html" and (found := sorted(set(wrong(Path(app.outdir))))):
        raise SphinxError("\n".join(found))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", check, priority=900)  # after made_pages has copied
    return {"parallel_read_safe": True}
