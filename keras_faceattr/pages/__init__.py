"""Templates of what we write for people: HTML pages that need no other file, and model cards in Markdown."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(template: str, **values: Any) -> str:
    """Fill in a template of this folder.

    Text is escaped in `.html` templates; in Markdown, the filter `cell` escapes what goes into a table.

    Args:
        template: file name, such as `run_report.html`.
        values: what the template refers to; a missing one is an error.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"png_url": _png_url, "cell": _cell}
    return environment


def _png_url(path: Path) -> str:
    """A PNG as an address that holds the whole picture."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _cell(text: str) -> str:
    """Text that ends no cell and no row of a Markdown table."""
    return " ".join(text.split("\n")).replace("|", "\\|")
