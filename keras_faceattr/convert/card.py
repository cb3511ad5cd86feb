"""The model card of an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_faceattr.artifact.sidecar import Sidecar
from keras_faceattr.budget.limits import verdict_row
from keras_faceattr.config import Experiment
from keras_faceattr.evaluation.model_card import card_values
from keras_faceattr.pages import render


def artifact_card(experiment: Experiment, sidecar: Sidecar) -> str:
    """The run's card with the numbers of this very file, and what was done to make it."""
    return render("artifact_card.md", **_values(experiment, sidecar))


def shipped_card(about: str, experiment: Experiment, sidecar: Sidecar, command: Sequence[str]) -> str:
    """The card of a net that comes with the package: what it is for and what not, above the card of its file.

    Args:
        about: Markdown, written by hand.
        command: what made it, a line each.
    """
    return render("shipped_card.md", **_values(experiment, sidecar), about=about.strip(), command=command)


def _values(experiment: Experiment, sidecar: Sidecar) -> dict[str, Any]:
    results = {**sidecar.protocol, "tasks": sidecar.metrics}
    tasks = {name: task for name, task in experiment.tasks.items() if name in sidecar.tasks}
    # The sidecar's, which names no folder of this machine.
    shipped = experiment.model_copy(update={"tasks": tasks, "model": sidecar.experiment_object().model})
    values = card_values(shipped, sidecar.task_objects(), results, sidecar.training)
    gates = [verdict_row(gate.name, gate.limit, gate.measured, gate.met) for gate in sidecar.gates]
    return {**values, "sidecar": sidecar, "gates": gates}
