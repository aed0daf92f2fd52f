"""Pages that other commands make, as pages of the site: they are copied into it, and `made-pages` lists them.

The setting `made_pages` names their folders, which may be missing; each folder in one of them that has an index.html is
a page: reports/suite/index.html. `made-figure` shows one of their pictures.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst.directives.images import Figure
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGE = "index.html"


def pages(folder: Path) -> list[Path]:
    """The folders in `folder` that hold a page, or `folder` itself."""
    return sorted(page.parent for pattern in (PAGE, f"*/{PAGE}") for page in folder.glob(pattern))


class MadePages(SphinxDirective):
    """A list of links, or the directive's content where there is no page yet."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # they may come and go
        found = nodes.bullet_list()
        for folder in self.config.made_pages:
            top = (Path(self.env.srcdir) / folder).resolve()
            for page in pages(top):
                name = page.relative_to(top.parent).as_posix()
                up = "../" * self.env.docname.count("/")
                link = nodes.reference("", name, refuri=f"{up}{name}/{PAGE}", internal=False)
                found += nodes.list_item("", nodes.paragraph("", "", link))
        return [found] if found.children else self.parse_content_to_nodes()


class MadeFigure(Figure, SphinxDirective):  # type: ignore[misc]
    """A figure of a made page, by its path from the top of the repository; nothing, where it is not made yet."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        path = Path(self.env.srcdir).parent / self.arguments[0]
        if not path.is_file():
            return []
        self.arguments[0] = f"/../{self.arguments[0]}"
        return list(super().run())


def copy(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for folder in app.config.made_pages:
            top = (Path(app.srcdir) / folder).resolve()
            for page in pages(top):
                shutil.copytree(page, Path(app.outdir) / page.relative_to(top.parent), dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("made_pages", [], "env")
    app.add_directive("made-pages", MadePages)
    app.add_directive("made-figure", MadeFigure)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True}
