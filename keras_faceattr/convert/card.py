"""The model card of an exported file."""

from __future__ import annotations

from keras_faceattr.artifact.sidecar import Sidecar
from keras_faceattr.budget.limits import verdict_row
from keras_faceattr.config import Experiment
from keras_faceattr.evaluation.model_card import model_card


def artifact_card(experiment: Experiment, sidecar: Sidecar) -> str:
    """The run's card with the numbers of this very file, and what was done to make it."""
    results = {**sidecar.protocol, "tasks": sidecar.metrics}
    tasks = {name: task for name, task in experiment.tasks.items() if name in sidecar.tasks}
    # The sidecar's, which names no folder of this machine.
    shipped = experiment.model_copy(update={"tasks": tasks, "model": sidecar.experiment_object().model})
    card = model_card(shipped, results, sidecar.training)
    cost, shape = sidecar.cost, "×".join(map(str, sidecar.input.shape))
    lines = [
        "",
        "## This file",
        "",
        f"`{sidecar.file.name}`, SHA-256 `{sidecar.file.sha256}`, recipe `{sidecar.recipe}`, gates {sidecar.status}. "
        f"Input {shape} {sidecar.input.dtype}, upright RGB from 0 to 255, cut by `{sidecar.crop_spec().title}`. "
        f"{cost.file_bytes / 1e6:.3f} MB, {cost.parameters:,} parameters, {cost.macs / 1e9:.3f} GMAC.",
        "",
        "| gate | limit | measured | verdict |",
        "|---|---|---|---|",
    ]
    for gate in sidecar.gates:
        lines.append(f"| {' | '.join(verdict_row(gate.name, gate.limit, gate.measured, gate.met))} |")
    return "\n".join([card.rstrip(), *lines, ""])
