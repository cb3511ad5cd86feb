"""Printing for people: text as it is, whatever brackets a name has, and whole wherever it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 120
"""Width of tables with folded cells that do not go to a terminal."""
MAX_WIDTH = 10_000
"""Width of all else that does not: nothing is broken or cut, and a table takes what it needs."""


class PlainConsole(Console):
    """A console that reads neither markup nor emoji names, and folds cells instead of cutting them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints; a word that is longer than its column goes on below."""
        for table in objects:
            for column in table.columns if isinstance(table, Table) else ():
                column.overflow = column.overflow if column.no_wrap else "fold"
        super().print(*objects, **options)


def plain_console(stderr: bool = False) -> PlainConsole:
    """A console that is as wide as its terminal, or as what it prints where there is none."""
    console = PlainConsole(stderr=stderr)
    return console if console.is_terminal else PlainConsole(stderr=stderr, width=MAX_WIDTH)


def wide_console() -> PlainConsole:
    """A console that is as wide as its terminal, or wide enough for tables with intervals where there is none."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=WIDTH)


def print_table(table: Table) -> None:
    """Print a table in full width, so that a narrow terminal breaks lines and no number is cut off."""
    needed = PlainConsole(width=MAX_WIDTH).measure(table).maximum
    PlainConsole(width=max(PlainConsole().width, needed)).print(table)


def say(line: str) -> None:
    """Print a line about the work to stderr, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def say_if(verbose: bool) -> Callable[[str], None]:
    """`say`, or silence."""
    return say if verbose else lambda _: None


def line_progress(verb: str) -> Callable[[int, int], None]:
    """Receiver of photos done and photos in all: a line that is overwritten on a terminal, none elsewhere."""

    def report(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{verb} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return report
