"""Names of the user's own in pictures: in a font that has their letters, or as numbers, and never as boxes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL = "DejaVu Sans"
"""Matplotlib's own font, which it always brings along."""

BOXES = "Last Resort"
"""Beginning of the name of the font that has a box for every letter."""


def plot_names(names: Sequence[str]) -> tuple[list[str], str]:
    """Names as a picture can show them, and what is to be said about those that it cannot.

    Returns:
        The names; one whose letters no installed font has is the number of its place, from 1. And a note about these,
        empty where there is none.
    """
    missing = _undrawable("".join(names))
    shown = [str(n) if missing & set(name) else name.replace("$", r"\$") for n, name in enumerate(names, start=1)]
    note = "numbers: the names in their order, for whose letters no font is installed" if missing else ""
    return shown, note


def plot_word(word: str) -> str:
    """A word such as a unit as a picture can show it: letters that no installed font has as their code, `U+5C81`."""
    missing = _undrawable(word)
    return "".join(f"U+{ord(letter):04X}" if letter in missing else letter for letter in word).replace("$", r"\$")


def use_fonts(figure: Figure) -> None:
    """Give texts of a figure the fonts that have their letters, where matplotlib's own has not."""
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    families = _families(frozenset("".join(text.get_text() for text in texts)) - _letters_of_usual())
    if families:
        for text in texts:
            text.set_fontfamily([USUAL, *families])


def _undrawable(text: str) -> set[str]:
    lacking = frozenset(text) - _letters_of_usual()
    found: set[str] = set(lacking)
    for family in _families(lacking):
        found -= _letters_of_fonts()[family]
    return found


@cache
def _families(lacking: frozenset[str]) -> tuple[str, ...]:
    """Installed fonts that together have as many of these letters as any have, the most useful first."""
    left, chosen = set(lacking), []
    while left:
        family, letters = max(_letters_of_fonts().items(), key=lambda item: len(left & item[1]), default=("", set()))
        if not left & letters:
            break
        chosen.append(family)
        left -= letters
    return tuple(chosen)


@cache
def _letters_of_usual() -> frozenset[str]:
    from matplotlib.font_manager import findfont

    return _letters(findfont(USUAL)) | frozenset("\n")


@cache
def _letters_of_fonts() -> dict[str, frozenset[str]]:
    """Letters of every other installed font, by its name; read once, and only where a letter is missing."""
    from matplotlib.font_manager import fontManager

    fonts = {font.name: font.fname for font in fontManager.ttflist if font.weight in (400, "normal", "regular")}
    return {name: _letters(path) for name, path in fonts.items() if not name.startswith(BOXES)}


def _letters(path: str) -> frozenset[str]:
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError):  # A font that has been removed, or of a format that matplotlib cannot read.
        return frozenset()
