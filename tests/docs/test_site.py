"""What makes and checks the site: docs/extensions/, on pages made for the test. `make docs` builds the real ones."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pytest
from docs.example import Example
from sphinx.cmd.build import main
from test_imports import ARROWS

from fc2conv import cli
from fc2conv.fields import Extent

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "extensions"))

import commands  # noqa: E402
import configuration  # noqa: E402
import offline  # noqa: E402
import public_names  # noqa: E402
import rooms  # noqa: E402

# --- the reference of keys


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "int"),
        (int | None, "int | null"),
        (Literal["a", "b"], "a | b"),
        (int | Literal["same"], "int | same"),
        (Extent, "int | HEIGHTxWIDTH"),
        (tuple[int, int], "[int, int]"),
        (tuple[int | None, ...], "[int | null, ...]"),
        (dict[str, Any], "{name: value, ...}"),
    ],
)
def test_a_type_is_told_in_the_words_of_the_command_line(hint: Any, words: str) -> None:
    assert configuration.spelled(hint) == words


def test_a_default_is_told_as_it_is_written() -> None:
    assert [configuration.default_of(each) for each in fields(Example)] == ["28", "[6,16]", "null", "{}"]


def test_the_docstrings_beneath_fields_are_found() -> None:
    from fc2conv.architectures.lenet import LeNetConfig

    found = configuration.documented(LeNetConfig)
    assert found["kernel_size"].startswith("One, or one for each convolution. This")
    assert found["padding_mode"].splitlines()[0].endswith("replicate), or its")


# --- public names


def test_the_names_of_the_package_are_public() -> None:
    names = public_names.names()
    assert {"fc2conv.run", "fc2conv.LeNet", "fc2conv.ImageData", "fc2conv.errors.ConfigError"} <= set(names)
    assert not {name for name in names if name.endswith((".Any", ".import_module", ".dataclass"))}


def test_what_says_nothing_of_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from fc2conv.architectures.trace import Layer, Row

    assert [each for name in public_names.names() for each in public_names.silent(name)] == []
    monkeypatch.setattr(Layer.macs, "__doc__", None)
    monkeypatch.setattr(Row, "__doc__", "Row(layer: Layer)")  # as dataclass says it
    assert public_names.silent("fc2conv.architectures.trace.Layer") == ["fc2conv.architectures.trace.Layer.macs"]
    assert public_names.silent("fc2conv.architectures.trace.Row") == ["fc2conv.architectures.trace.Row"]


# --- what a page loads

GOOD = """<link rel="stylesheet" href="a.css"><a href="https://d2l.ai" id="top">out</a><a href="#top">up</a>
<img src="data:image/png;base64,AAAA"><a href="folder/">in</a><a href="folder/#there">in</a>"""


def site(top: Path, html: str, css: str = "") -> Path:
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "index.html").write_text('<p id="there">there</p>')
    (top / "index.html").write_text(html)
    (top / "a.css").write_text(css)
    return top


def test_a_site_that_needs_no_network_is_good(tmp_path: Path) -> None:
    assert list(offline.wrong(site(tmp_path, GOOD, "p { background: url(a.png) }"))) == []


@pytest.mark.parametrize(
    ("html", "css", "message"),
    [
        ('<script src="https://x.org/a.js"></script>', "", "index.html loads https://x.org/a.js"),
        ('<img src="//x.org/a.png">', "", "index.html loads //x.org/a.png"),
        ('<link rel="preconnect" href="https://x.org">', "", "index.html loads https://x.org"),
        ("<style>@import 'https://x.org/a.css';</style>", "", "index.html loads https://x.org/a.css"),
        ("", "@font-face { src: url(https://x.org/a.woff) }", "a.css loads https://x.org/a.woff"),
        ('<img src="b.png">', "", "index.html loads b.png, which is not there"),
        ('<a href="b.html">b</a>', "", "index.html links to b.html, which is not there"),
        ('<a href="folder/#here">b</a>', "", "index.html links to folder/#here, and that page has no such place"),
    ],
)
def test_a_request_and_a_broken_link_are_found(html: str, css: str, message: str, tmp_path: Path) -> None:
    assert list(offline.wrong(site(tmp_path, html, css))) == [message]


# --- what is made of the source


def test_the_rooms_are_those_of_the_test() -> None:
    assert rooms.arrows() == ARROWS


def test_each_command_has_its_help() -> None:
    shown = commands.helps()
    assert [name for name in shown if " " not in name] == sorted(cli.command.commands)
    assert {"claims", "claims run", "claims lab"} <= shown.keys()
    assert all(text.startswith(f"Usage: fc2conv {name} ") for name, text in shown.items())
    assert max(len(line) for text in shown.values() for line in text.splitlines()) <= 100, "as wide as the page"


# --- a site of two pages

CONF = """
import sys
sys.path[:0] = [{extensions!r}, {here!r}]
extensions = ["myst_parser", "configuration", "made_pages", "offline"]
made_pages = ["../reports", "../lab"]
"""
PAGE = """
# Page

```{made-pages}
There is none.
```

```{made-figure} reports/one/figures/a.svg
```

```{configuration} example.Example
:prefix: data
```
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text(
        CONF.format(extensions=str(ROOT / "docs" / "extensions"), here=str(Path(__file__).parent))
    )
    (source / "index.md").write_text(PAGE)
    return source


def build(source: Path) -> int:
    """The build's exit code."""
    return main(["-q", "-W", "--keep-going", str(source), str(source / "html")])


def test_what_is_missing_ends_the_build(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No page documents run(), and two of Example's fields have no docstring; there is no report yet."""
    with (source / "conf.py").open("a") as conf:
        conf.write('extensions += ["public_names"]')
    assert build(source) != 0
    said = capsys.readouterr().err
    assert "fc2conv.run is public, and no page of the reference has it" in said
    undocumented = [line for line in said.splitlines() if "has no docstring" in line]
    assert [line.split()[-4] for line in undocumented] == ["Example.channels", "Example.more"]
    assert "There is none." in (source / "html" / "index.html").read_text()


def test_a_report_is_a_page_of_the_site(source: Path) -> None:
    report = source.parent / "reports" / "one"
    (report / "figures").mkdir(parents=True)
    (report / "index.html").write_text("<p>a report</p>")
    (report / "figures" / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    build(source)
    html = (source / "html" / "index.html").read_text()
    assert 'href="reports/one/index.html"' in html
    assert "There is none." not in html
    assert (source / "html" / "reports" / "one" / "index.html").read_text() == "<p>a report</p>"
    assert (source / "html" / "_images" / "a.svg").is_file()
