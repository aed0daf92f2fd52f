"""The report's page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from fc2conv.pages.inline import PAGES, datatables, html, modules_in, vega

PAGE = resources.files("fc2conv") / "report" / "page"


def render(payload: Mapping[str, Any]) -> str:
    """The whole index.html.

    Args:
        payload: JSON values, as report/payload.py makes them; all text is raw
    """
    table, table_style = datatables()
    modules = {"vega": vega(), "datatables": table, **modules_in(PAGES, "pages"), **modules_in(PAGE, "report")}
    styles = [table_style, (PAGES / "base.css").read_text("utf-8"), (PAGE / "style.css").read_text("utf-8")]
    return html(PAGE / "index.html.j2", styles, modules, payload, live=bool(payload["live"]))
