"""Pictures show names of any script, or numbers that stand for them, and never a box."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from keras_faceattr import plot_text
from keras_faceattr.evaluation.plots import plot_relations, plot_task
from keras_faceattr.plot_text import plot_names, plot_word
from keras_faceattr.tasks import CategoricalTask, MultilabelTask, ScalarTask, Task

TASKS: list[tuple[Task, np.ndarray, np.ndarray]] = [
    (CategoricalTask("gender", ("女", "男", "x")), np.array([[0], [1], [2.0]]), np.eye(3)),
    (MultilabelTask("worn", ("帽", "$\\frac{")), np.array([[0, 1], [1, 0.0]]), np.array([[0.2, 0.9], [0.7, 0.1]])),
    (ScalarTask("age", 0, 100, 1, "岁$"), np.array([[3, 1], [50, 1.0]]), np.array([4, 40.0])),
]


@pytest.fixture
def fonts() -> Iterator[None]:
    """Matplotlib's own fonts alone, whatever this machine has installed."""
    before = list(fontManager.ttflist)
    fontManager.ttflist[:] = [font for font in before if "mpl-data" in font.fname]
    cached = (plot_text._letters_of_fonts, plot_text._families)
    for function in cached:
        function.cache_clear()
    yield
    fontManager.ttflist[:] = before
    for function in cached:
        function.cache_clear()


def installed(path: Path, letters: str) -> None:
    """Makes and installs a font that has these letters alone."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 700))
    pen.lineTo((500, 0))
    pen.closePath()
    names = [".notdef", *(f"glyph{n}" for n in range(len(letters)))]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Three Letters", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(path)
    fontManager.addfont(path)


@pytest.mark.usefixtures("fonts")
def test_names_without_a_font_become_numbers_and_the_picture_says_so(tmp_path: Path) -> None:
    assert plot_names(["女", "male", "男"])[0] == ["1", "male", "3"]
    assert "no font" not in plot_names(["größer", "Ελλάδα"])[1] and "numbers" in plot_names(["女"])[1]
    assert plot_word("岁 (age)") == "U+5C81 (age)"


@pytest.mark.usefixtures("fonts")
def test_names_are_shown_in_an_installed_font_that_has_their_letters(tmp_path: Path) -> None:
    installed(tmp_path / "three.ttf", "女男岁")
    assert plot_names(["女", "male", "男"]) == (["女", "male", "男"], "")
    assert plot_names(["女", "帽"])[0] == ["女", "2"]
    assert plot_word("岁") == "岁"


def test_what_looks_like_a_formula_is_shown_as_it_is() -> None:
    assert plot_names(["$a$", "5 $"])[0] == [r"\$a\$", r"5 \$"]


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize("letters", ["", "女男帽岁"])
def test_no_picture_has_a_box_in_place_of_a_letter(tmp_path: Path, letters: str) -> None:
    if letters:
        installed(tmp_path / "three.ttf", letters)
    relations = pd.DataFrame(np.eye(2), ["帽", "鞋"], ["帽", "鞋"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of every letter for which it draws a box.
        for task, labels, predictions in TASKS:
            assert all(path.stat().st_size for path in plot_task(task, labels, predictions, tmp_path))
        plot_relations("worn", relations, tmp_path)
