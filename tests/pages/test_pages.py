"""Templates: what comes from data is text, in HTML and in the tables of Markdown."""

from pathlib import Path

import cv2
import jinja2
import numpy as np
import pytest

import keras_faceattr.pages
from keras_faceattr.pages import render

EVIL = '<script>alert("1")</script> & co'


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a_picture.png"
    cv2.imwrite(str(path), np.zeros((2, 2), np.uint8))
    return path


def export_page(picture: Path) -> str:
    first = {
        "model": EVIL,
        "input": {"shape": [1, 8, 8, 3]},
        "protocol": {"photos": 3, "split": "test"},
        "licences": {"data": {"faces": {"citation": "", "licence": EVIL}}},
        "notices": [EVIL],
    }
    return render(
        "export.html", title=EVIL, first=first, recipes=[("", ([EVIL], [[EVIL]]))], pareto=[picture], files=[],
        controls=[],
    )  # fmt: skip


def test_text_is_escaped_and_the_pages_own_tags_are_not(picture: Path) -> None:
    page = export_page(picture)
    # Title and heading, model, header and cell, licence, notice.
    assert "<script" not in page and page.count("&lt;script&gt;") == 7 and page.count("&amp; co") == 7
    assert "<td>&lt;script" in page and "&lt;td" not in page and page.startswith("<!doctype html>\n<html lang")


def test_a_picture_stands_in_the_page_with_its_name(picture: Path) -> None:
    assert '<figure><img alt="a picture" src="data:image/png;base64,iVBOR' in export_page(picture)


def test_a_value_that_the_template_needs_and_nobody_gave_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render("export.html")


def test_a_cell_of_markdown_ends_neither_its_column_nor_its_row() -> None:
    environment = keras_faceattr.pages._environment()
    text = environment.from_string(
        '{% from "parts.md" import table %}{{ table(["a"], [["x|y\nz"], ["<b>"]]) }}'
    ).render()
    assert text == "| a |\n|---|\n| x\\|y z |\n| <b> |\n"
