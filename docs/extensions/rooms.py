"""`arrows`: which room may import which, as tests/test_imports.py has it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HOME = Path(__file__).parents[2] / "tests" / "test_imports.py"


def arrows() -> dict[str, set[str]]:
    """Room -> rooms. Read from the source, which imports pytest."""
    for node in ast.parse(HOME.read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ARROWS":
            assert node.value is not None
            return {
                ast.literal_eval(key): set() if isinstance(value, ast.Call) else ast.literal_eval(value)
                for key, value in zip(node.value.keys, node.value.values, strict=True)  # type: ignore[attr-defined]
            }
    raise LookupError(f"{HOME} has no ARROWS")


class Arrows(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        found = {room: others for room, others in arrows().items() if not room.startswith("_")}
        self.env.note_dependency(str(HOME))
        rows = [
            f"| `{room}` | {', '.join(f'`{other}`' for other in sorted(others))} |" for room, others in found.items()
        ]
        return self.parse_text_to_nodes("\n".join(["| room | may import |", "|---|---|", *rows]))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("arrows", Arrows)
    return {"parallel_read_safe": True}
