"""The charts as PNG and SVG, on white."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from fc2conv.report.charts.curves import curve_rows
from fc2conv.report.payload import Report

WIDTH, WIDE = 620, 900
"""Pixels of a chart in an SVG; a PNG has twice as many."""
THEME: dict[str, Any] = {
    "background": "white",
    "view": {"stroke": None},
    "font": "sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal", "gridColor": "#e6e6e6"},
    "legend": {"labelLimit": 600, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "title": {"anchor": "start", "fontSize": 16, "subtitleFontSize": 12, "subtitleColor": "#555555", "offset": 12},
}


def draw(report: Report, charts: Sequence[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of each figure, one after the other."""
    import vl_convert

    rows = {"configurations": report.rows, "curves": curve_rows(report)}
    for chart in charts:
        spec = dict(chart["spec"])
        spec["width"] = WIDE if chart["wide"] else WIDTH
        spec["config"] = THEME
        spec["title"] = {"text": chart["title"], "subtitle": chart["caption"]}
        if chart["data"]:
            spec["datasets"] = {**spec.get("datasets", {}), chart["data"]: rows[chart["data"]]}
        text = json.dumps(spec, ensure_ascii=False).encode(errors="replace").decode()
        name = re.sub(r"[^\w.-]+", "_", chart["id"])
        drawn = vl_convert.vegalite_to_svg(text)
        yield f"{name}.svg", drawn.encode()
        yield f"{name}.png", vl_convert.svg_to_png(drawn, scale=2)
