"""The report's page, for now its numbers as text."""

from __future__ import annotations

import html
import json
from typing import Any


def render(payload: dict[str, Any]) -> str:
    """The whole index.html."""
    rows = (
        f"<li>{html.escape(c['label'])}: {c['val']['mean'] if c['val'] else '-'}</li>"
        for c in payload["configurations"]
    )
    data = json.dumps(payload).replace("<", "\\u003c")
    title = html.escape(payload["name"])
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
    body = f'<h1>{title}</h1><ul>{"".join(rows)}</ul><script type="application/json">{data}</script>'
    return f"{head}<body>{body}</body></html>"
