"""Cost of an inaccurate detector: predictions on crops that are shifted, scaled or turned by stated amounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import Crops, LabelledCrops, Progress, each
from keras_faceattr.data.elsewhere import Elsewhere
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.evaluation.predictions import EVALUATION_BATCH, Outputs, Predictor, with_augmentation
from keras_faceattr.evaluation.protocol import Check, as_measured, prepare_measured
from keras_faceattr.metrics.vectors import mean_cosine
from keras_faceattr.tasks import VECTORS, Task


@dataclass(frozen=True)
class Jitter:
    """A disturbance of a crop, in a direction that is drawn for each photo.

    Attributes:
        kind: `shift`, `scale` or `turn`.
        amount: share of the crop's side; share by which the face grows or shrinks; degrees.
    """

    kind: str
    amount: float

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.kind} {self.amount:g}°" if self.kind == "turn" else f"{self.kind} {self.amount:.0%}"

    def map(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """(3, 3) from the right crop to the disturbed one, about its middle, in pixels."""
        sign, direction = rng.choice([-1.0, 1.0]), rng.uniform(0, 2 * np.pi)
        angle = np.deg2rad(sign * self.amount) if self.kind == "turn" else 0.0
        scale = (1 + self.amount) ** sign if self.kind == "scale" else 1.0
        shift = self.amount * size * np.array([np.cos(direction), np.sin(direction)]) * (self.kind == "shift")
        matrix = np.eye(3)
        matrix[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.full(2, (size - 1) / 2)
        matrix[:2, 2] = middle - matrix[:2, :2] @ middle + shift
        return matrix


BATCH_PIXELS = 64 * 224**2
"""Pixels of the crops in one batch, which holds each crop ten times."""

JITTERS = tuple(
    Jitter(kind, amount)
    for kind, amounts in (("shift", (0.02, 0.05, 0.1)), ("scale", (0.05, 0.1, 0.2)), ("turn", (5.0, 10.0, 20.0)))
    for amount in amounts
)


def measure_jitter(
    predictor: Predictor,
    experiment: Experiment,
    tasks: dict[str, Task],
    split: str = "test",
    tta: str | None = None,
    progress: Progress | None = None,
    jitters: tuple[Jitter, ...] = JITTERS,
    check: Check | None = None,
    elsewhere: Elsewhere | None = None,
) -> dict[str, Any]:
    """Predict every photo of a split on its own crop and on one crop for each disturbance.

    Args:
        tta: `none` or `flip`; None for the experiment's own setting.
        progress: called with photos done and photos in all.
        check: called with all photos before any is predicted.
        elsewhere: as of `protocol.measure`.

    Returns:
        The `units` of the tasks, and `rows`: for the undisturbed crop and each disturbance its `title`, `kind` and
        `amount`, and by task its `metrics` and how predictions `moved`: mean and 95th percentile of the difference of a
        scalar, or the share of answers that changed.

    Raises:
        DataError: the split has no rows, or a photo vanished.
    """
    tta = tta or experiment.evaluation.tta
    data = prepare_measured(experiment, tasks, split, None, elsewhere)
    if check:
        check(data.manifest)
    outputs = _predict(with_augmentation(predictor, tta), data.parts[split], jitters, experiment.seed, progress)
    outputs = [as_measured(tasks, data.tasks, values) for values in outputs]
    tasks, plain = data.tasks, outputs[0]
    rows = []
    for jitter, disturbed in zip((None, *jitters), outputs, strict=True):
        measured = evaluate(data.manifest, tasks, disturbed, 0, experiment.seed, data.parts[split].labels)
        by_task = {
            name: {
                "metrics": {metric: numbers["value"] for metric, numbers in measured[name]["metrics"].items()},
                "moved": _moved(tasks[name], plain[name], disturbed[name]),
            }
            for name in measured
        }
        title = jitter.title if jitter else "as cut"
        rows.append(
            {
                "title": title,
                "kind": jitter.kind if jitter else None,
                "amount": jitter.amount if jitter else 0.0,
                "tasks": by_task,
            }
        )
    return {
        "run": experiment.name,
        "split": split,
        "photos": len(data.parts[split]),
        "tta": tta,
        "seed": experiment.seed,
        "crop": experiment.data.crop.model_dump(mode="json"),
        "split_hash": data.manifest.split_hash(),
        "units": {name: getattr(task, "unit", "") for name, task in tasks.items()},
        "rows": rows,
    }


def _predict(
    predictor: Predictor, data: LabelledCrops, jitters: tuple[Jitter, ...], seed: int, progress: Progress | None
) -> list[Outputs]:
    """Outputs for each disturbance, the first without any, photo by photo."""
    collected: list[dict[str, list[np.ndarray]]] = [{} for _ in range(len(jitters) + 1)]
    batch = max(1, min(EVALUATION_BATCH, BATCH_PIXELS // data.crops.spec.size**2))
    for start in range(0, len(data), batch):
        rows = [int(row) for row in data.rows[start : start + batch]]
        pixels = np.stack(list(_disturbed(data.crops, rows, jitters, seed)), axis=1)
        for images, into in zip(pixels, collected, strict=True):
            for name, value in predictor(images.astype("float32")).items():
                into.setdefault(name, []).append(value)
        if progress:
            progress(start + len(rows), len(data))
    return [{name: np.concatenate(values) for name, values in outputs.items()} for outputs in collected]


def _disturbed(crops: Crops, rows: list[int], jitters: tuple[Jitter, ...], seed: int) -> Iterator[np.ndarray]:
    def cut(row: int) -> np.ndarray:
        rng = np.random.default_rng([seed, row])
        maps = np.stack([jitter.map(crops.spec.size, rng) for jitter in jitters])
        return crops.cropper.disturbed(crops.paths[row], bool(crops.ready[row]), maps)

    for result in each(rows, cut):
        if isinstance(result, str):
            raise DataError(f"{result}; it could be read a moment ago")
        yield result


def _moved(task: Task, before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    if task.kind == "scalar":
        gap = np.abs(after - before)
        return {"mean": float(gap.mean()), "p95": float(np.quantile(gap, 0.95))}
    if task.kind == "categorical":
        return {"changed": float((before.argmax(axis=1) != after.argmax(axis=1)).mean())}
    if isinstance(task, VECTORS):
        return {"cosine": mean_cosine(before, after)}
    return {"changed": float(((before > 0.5) != (after > 0.5)).mean())}
