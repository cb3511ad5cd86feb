"""Hooks of mkdocs: files from outside `docs/`, the list of public names, and the notebooks become pages.

The README is the home page, and any file of the repository that a page links to comes along, so that every link works
both in the repository and on the site.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import keras_faceattr

ROOT = Path(__file__).parents[1]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "export/zoo/faces/model_card.md")
OUTSIDE += ("mobile_demo/android/README.md",)
"""Pages that lie outside `docs/`."""

LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NAMES = "<!-- public names -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside, the notebooks, and other files that pages link to."""
    for path in OUTSIDE:
        files.append(File.generated(config, _on_site(path), content=(ROOT / path).read_text(encoding="utf-8")))
    for notebook in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=as_markdown(notebook)))
    for page in list(files.documentation_pages()):
        for path in _linked(page.content_string, page.src_uri):
            if _on_site(path) not in files.src_uris and (ROOT / path).is_file():
                files.append(File.generated(config, _on_site(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert the public names, and point links to the files' places on the site."""
    names = [name for name in keras_faceattr.__all__ if not name.startswith("_")]
    markdown = markdown.replace(NAMES, "\n\n".join(f"::: keras_faceattr.{name}" for name in names))
    place = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        found = _on_site(_in_repository(link[1], place))
        if found.endswith(".ipynb") and not place.startswith("notebooks/"):
            found = found.removesuffix("ipynb") + "md"
        return os.path.relpath(found, Path(place).parent)

    parts = re.split(f"({FENCE.pattern})", markdown, flags=FENCE.flags)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def as_markdown(notebook: Path) -> str:
    """Cells of a notebook as a page."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    fenced = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for text, cell in zip(texts, cells, strict=True)
    ]
    return "\n\n".join([*fenced, f"[Download this notebook]({notebook.name})"])


def _linked(markdown: str, place: str) -> Iterator[str]:
    """Paths in the repository to which a page links."""
    for link in LINK.finditer(FENCE.sub("", markdown)):
        yield _in_repository(link[1], place)


def _in_repository(link: str, place: str) -> str:
    """Path of a link in the repository; `place` is the page's own on the site."""
    page = next((path for path in OUTSIDE if _on_site(path) == place), f"docs/{place}")
    return os.path.normpath(Path(page).parent / link)


def _on_site(path: str) -> str:
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
