"""The model card: what was trained on what, under which terms, how it was measured, and for whom it works how well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_faceattr.config import Experiment
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.evaluation.formatting import task_tables
from keras_faceattr.pages import render
from keras_faceattr.tasks import Task, sensitive_notices

RESTRICTED = {
    "race": "Deriving race from faces",
    "expression": "Deriving emotions from faces",
}
"""Uses that the law restricts or forbids in some places, such as the EU's AI Act."""

PERSONAL = {"gender", "attractiveness", "age", "attributes"}


def notices_of(tasks: Mapping[str, Task]) -> list[str]:
    """One line for each task whose use the law restricts, and for each that is answered only where it is named."""
    restricted = [
        f"{RESTRICTED[name]} is restricted or forbidden by law in some places and uses: check before shipping."
        for name in tasks
        if name in RESTRICTED
    ]
    return [*restricted, *sensitive_notices(tasks)]


def model_card(
    experiment: Experiment, tasks: Mapping[str, Task], results: dict[str, Any], provenance: dict[str, Any]
) -> str:
    """Markdown text of the card."""
    return render("model_card.md", **card_values(experiment, tasks, results, provenance))


def card_values(
    experiment: Experiment, tasks: Mapping[str, Task], results: dict[str, Any], provenance: dict[str, Any]
) -> dict[str, Any]:
    """Values for the card's template."""
    notices = notices_of(tasks)
    if set(tasks) & PERSONAL:
        notices.append("Personal data of the persons shown is processed: in many places that needs their consent.")
    return {
        "experiment": experiment,
        "crop": crop_spec(experiment),
        "results": results,
        "tasks": [task_tables(name, task) for name, task in results["tasks"].items()],
        "provenance": provenance,
        "notices": notices,
    }
