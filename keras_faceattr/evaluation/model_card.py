"""The model card: what was trained on what, under which terms, how it was measured, and for whom it works how well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_faceattr.config import Experiment
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.evaluation.formatting import group_table, metric_text, metric_title

SENSITIVE = {
    "race": "Deriving race from faces",
    "expression": "Deriving emotions from faces",
}
"""What is restricted or forbidden by law in some places and uses, such as by the EU's AI Act."""

PERSONAL = {"gender", "attractiveness", "age", "attributes"}


def lawful_use_notices(tasks: Iterable[str]) -> list[str]:
    """One line for each task whose use the law restricts."""
    return [
        f"{SENSITIVE[task]} is restricted or forbidden by law in some places and uses: check before shipping."
        for task in tasks
        if task in SENSITIVE
    ]


def model_card(experiment: Experiment, results: dict[str, Any], provenance: dict[str, Any]) -> str:
    """Markdown text of the card."""
    lines = [
        f"# {experiment.name}",
        "",
        f"`{experiment.model.name}` at {experiment.data.crop.size}² pixels ({crop_spec(experiment).title}), tasks: "
        f"{', '.join(experiment.tasks)}; "
        f"initial weights: {experiment.model.init_from or 'random (from scratch)'}.",
        "",
        "## Data and its terms",
        "",
    ]
    for name, source in provenance["sources"].items():
        lines.append(f"- **{name}**: {source['citation'] or 'no citation given'}. Licence: {source['licence']}.")
    photos = ", ".join(f"{count} {split}" for split, count in provenance["photos"].items())
    lines += [
        f"- photos used in training: {photos}; label hash `{provenance['label_hash'][:16]}`",
        "",
        "The code is under Apache-2.0; weights trained on data carry the terms of that data.",
        "",
        "## Protocol",
        "",
        f"Measured on {results['photos']} photos of the split `{results['split']}` "
        f"(split hash `{results['split_hash'][:16]}`, `data.split`: {experiment.data.split.model_dump()}), "
        f"test-time augmentation: {results['tta']}, seed {results['seed']}. "
        "Intervals: 95 %, bootstrap over photos (`identity`: over people); they do not hold the variation between "
        "seeds.",
        "",
        "## Results",
        "",
    ]
    for name, task in results["tasks"].items():
        lines += _task_lines(name, task)
    lines += [
        "## Intended use and limits",
        "",
        "The numbers hold for photos like those above. Ratings and labels are those of the data's raters, with their "
        "biases; a model repeats them. Not for decisions about persons.",
    ]
    lines += [f"\n{notice}" for notice in lawful_use_notices(experiment.tasks)]
    if set(experiment.tasks) & PERSONAL:
        lines.append("\nPersonal data of the persons shown is processed: in many places that needs their consent.")
    return "\n".join([*lines, ""])


def _task_lines(name: str, task: dict[str, Any]) -> list[str]:
    lines = [f"### {name} ({task['labelled']} labelled photos)", "", "| metric | value (95 % interval) |", "|---|---|"]
    for metric, numbers in task["metrics"].items():
        lines.append(f"| {metric_title(metric, task['unit'])} | {metric_text(metric, numbers)} |")
    lines.append("")
    for column, groups in task["groups"].items():
        header, rows = group_table(column, groups, task)
        lines += [f"By {column}:", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return lines
