"""Measuring whatever predicts, a run or an exported file, by the protocol of its experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.evaluation.evaluate import check_finite, evaluate
from keras_faceattr.evaluation.predictions import Outputs, Predictor, predict_split, with_augmentation
from keras_faceattr.tasks import Task

Check = Callable[[Manifest], None]
"""Raises where a model may not be measured on these photos."""


@dataclass(frozen=True)
class Measured:
    """What was measured on which photos.

    Attributes:
        results: protocol, and numbers by task; as in `metrics.json`.
        data: the photos.
        outputs: of the model, by name.
    """

    results: dict[str, Any]
    data: PreparedData
    outputs: Outputs


def measure(
    predictor: Predictor,
    experiment: Experiment,
    tasks: dict[str, Task],
    split: str = "test",
    tta: str | None = None,
    progress: Progress | None = None,
    check: Check | None = None,
) -> Measured:
    """Predicts a split of the experiment's data and compares with its labels.

    Args:
        split: train, val or test.
        tta: `none` or `flip`; None for the experiment's own setting.
        check: called with all photos before any is predicted.

    Raises:
        DataError: the split has no rows.
        ModelError: predictions of labelled photos are no finite numbers.
    """
    tta = tta or experiment.evaluation.tta
    data = prepare(experiment, (split,), progress, trained=tasks)
    if check:
        check(data.manifest)
    outputs = predict_split(with_augmentation(predictor, tta), data.parts[split])
    check_finite(tasks, outputs, data.parts[split].labels)
    results = {
        "run": experiment.name,
        "split": split,
        "photos": len(data.parts[split]),
        "put_aside": len(data.manifest.quarantine),
        "tta": tta,
        "seed": experiment.seed,
        "init_from": experiment.model.init_from,
        "crop": experiment.data.crop.model_dump(mode="json"),
        "split_hash": data.manifest.split_hash(),
        "tasks": evaluate(
            data.manifest,
            tasks,
            outputs,
            experiment.evaluation.bootstrap_samples,
            experiment.seed,
            data.parts[split].labels,
        ),
    }
    return Measured(results, data, outputs)
