"""README.md and the site's pages, as blocks and commands.

```bash        commands, one a line; a backslash goes on with the next
```console     `$ ` and a command, and what it says; `...` stands for anything
```python      code; after "This is `NAME`:" the file of that name
```text        what is only read
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "reference").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>[\w{}:.-]*)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S)
FILE = re.compile(r"This is `([\w.]+)`:\s*\Z")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None
    """The name of the file that it is."""


@dataclass(frozen=True)
class Command:
    """A command of a page, and what it says there; None where the page does not show it."""

    page: Path
    line: int
    text: str
    output: str | None = None

    @property
    def words(self) -> list[str]:
        """As the shell sees them, up to where its output goes."""
        found = shlex.split(self.text.replace("\\\n", ""), comments=True)
        return found[: found.index(">")] if ">" in found else found

    def __str__(self) -> str:
        return f"{self.page.stem}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        file = FILE.search(before)
        line = before.count("\n") + 2
        found.append(Block(page, line, match["language"], match["text"], file and file[1]))
    return found


def commands(page: Path) -> list[Command]:
    """In their order on the page."""
    return [each for block in blocks(page) for each in _commands(block)]


def _commands(block: Block) -> Iterator[Command]:
    if block.language == "bash":
        line = block.line
        for text in re.findall(r"(?:.*\\\n)*.*\n", block.text):
            if shlex.split(text, comments=True):
                yield Command(block.page, line, text.strip())
            line += text.count("\n")
    if block.language == "console":
        for match in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
            line = block.line + block.text[: match.start()].count("\n")
            yield Command(block.page, line, match[1], match[2])


def write_files(page: Path, folder: Path) -> None:
    """The files that the page shows."""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text)
