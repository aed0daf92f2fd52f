"""The playground's page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from fc2conv.pages.inline import PAGES, html, modules_in

PAGE = resources.files("fc2conv") / "playground" / "page"
STATIONS = PAGE / "stations"


def render(payload: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        payload: JSON values, as playground/payload.py makes them; all text is raw
    """
    modules = {
        **modules_in(PAGES, "pages"),
        **modules_in(PAGE, "playground"),
        **modules_in(STATIONS, "playground/stations"),
    }
    own = sorted((file for file in STATIONS.iterdir() if file.name.endswith(".css")), key=lambda file: file.name)
    styles = [file.read_text("utf-8") for file in (PAGES / "base.css", PAGE / "style.css", *own)]
    return html(PAGE / "index.html.j2", styles, modules, payload)
