"""Exit codes, the same for every command; `docs/exit-codes.md` explains them."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from keras_faceattr.artifact.sidecar import unjudged
from keras_faceattr.budget.gates import outcome
from keras_faceattr.budget.limits import Verdict
from keras_faceattr.terminal.console import plain_console

NOT_MET = 1
NOT_MEASURED = 3

UNPROVEN = (
    "The files are written, but nothing says whether they are as good as the model there: give labelled test photos by "
    "--data, and the recipe a tolerance, or leave such a task out by naming the others with --heads."
)


def conclude(gates: Iterable[Verdict], what: str) -> None:
    """Name on stderr what was not met or not measured, and exit 1 or 3; return where all that applies was met.

    Args:
        what: they are, such as `limit`.
    """
    judged = [gate for gate in gates if gate.applies]
    unproven = unjudged(judged)
    told = {
        "not measured": [gate.name for gate in judged if gate.met is None and gate not in unproven],
        f"{what} not met": [gate.name for gate in judged if gate.met is False],
        "not proven": [f"{gate.name} {gate.measured}" for gate in unproven],
    }
    lines = [f"{words}: {', '.join(dict.fromkeys(names))}" for words, names in told.items() if names]
    for line in [*lines, *([UNPROVEN] if unproven else [])]:
        plain_console(stderr=True).print(line, soft_wrap=True)
    found = outcome(judged)
    if found != "met":
        raise typer.Exit(NOT_MET if found == "not met" else NOT_MEASURED)
