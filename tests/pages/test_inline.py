"""What is put into one file stays what it was, and can end none of the elements that it stands in."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from fc2conv.pages.inline import html, json_text, modules_in

NASTY = "</script><!--<script>&\u2028\u2029<img src=x onerror=alert(1)>"
TEMPLATE = (
    '<meta content="{{ policy }}"><style>{{ style }}</style><script nonce="{{ nonce }}">{{ import_map }}</script>'
    "<script>{{ data }}</script>"
)


def test_json_in_a_page_is_the_same_value_without_what_ends_an_element() -> None:
    text = json_text({NASTY: [NASTY, 1.5, None]})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {NASTY: [NASTY, 1.5, None]}


def test_half_a_surrogate_pair_is_a_question_mark() -> None:
    assert json_text("odd\ud800") == '"odd?"'


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text([float("nan")])


def test_modules_are_named_by_their_folder(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("export const a = 'ü';")
    (tmp_path / "a.css").write_text("")
    assert modules_in(tmp_path, "pages") == {"pages/a.js": "export const a = 'ü';"}


def written(tmp_path: Path, source: str = "export {}", data: str = "") -> str:
    template = tmp_path / "page.html.j2"
    template.write_text(TEMPLATE)
    return html(template, ["a {}"], {"m.js": source}, data)


def test_a_module_is_carried_whole(tmp_path: Path) -> None:
    source = f"export const text = `{NASTY} ü`;"
    carried = re.search(r"base64,([^\"]+)", written(tmp_path, source))
    assert carried
    assert base64.b64decode(carried[1]).decode() == f"{source}\n//# sourceURL=fc2conv/m.js\n"


def test_the_nonce_depends_on_all_that_scripts_read(tmp_path: Path) -> None:
    """So that nothing that comes from a run can know it."""
    nonces = {re.findall("nonce=.([0-9a-f]{32})", written(tmp_path, *a))[0] for a in (("1",), ("2",), ("1", "x"))}
    assert len(nonces) == 3
    assert written(tmp_path) == written(tmp_path)
