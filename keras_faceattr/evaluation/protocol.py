"""Measuring whatever predicts, a run or an exported file, by the protocol of its experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import Progress
from keras_faceattr.data.elsewhere import Elsewhere
from keras_faceattr.data.manifest import Manifest
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.evaluation.evaluate import check_finite, evaluate
from keras_faceattr.evaluation.intervals import Intervals
from keras_faceattr.evaluation.predictions import Outputs, Predictor, predict_split, with_augmentation
from keras_faceattr.readings import summed
from keras_faceattr.tasks import CategoricalTask, Task

Check = Callable[[Manifest], None]
"""Raises where a model may not be measured on these photos."""


@dataclass(frozen=True)
class Measured:
    """Results with the photos that they were measured on.

    Attributes:
        results: protocol, and numbers by task; as in `metrics.json`.
        data: the photos.
        outputs: outputs of the model, by name.
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
    elsewhere: Elsewhere | None = None,
    intervals: Mapping[str, Intervals] | None = None,
) -> Measured:
    """Predict a split of the experiment's data and compare the predictions with its labels.

    Args:
        split: train, val or test.
        tta: `none` or `flip`; None for the experiment's own setting.
        check: called with all photos before any is predicted.
        elsewhere: photos of other data sets, which `experiment` names, and what can be measured on them.
        intervals: of the file, which were measured without augmentation and hold without it alone.

    Raises:
        DataError: the split has no rows.
        ModelError: predictions of labelled photos are no finite numbers.
    """
    tta = tta or experiment.evaluation.tta
    data = prepare_measured(experiment, tasks, split, progress, elsewhere)
    if check:
        check(data.manifest)
    outputs = predict_split(with_augmentation(predictor, tta), data.parts[split])
    outputs = as_measured(tasks, data.tasks, outputs)
    check_finite(data.tasks, outputs, data.parts[split].labels)
    results: dict[str, Any] = {
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
            data.tasks,
            outputs,
            experiment.evaluation.bootstrap_samples,
            experiment.seed,
            data.parts[split].labels,
            intervals if tta == "none" else None,
        ),
    }
    for name, result in results["tasks"].items():
        if reading := reading_of(tasks[name], data.tasks[name]):
            result["reading"] = reading
    return Measured(results, data, outputs)


def prepare_measured(
    experiment: Experiment, tasks: dict[str, Task], split: str, progress: Progress | None, elsewhere: Elsewhere | None
) -> PreparedData:
    """Crops and labels of a split, with those tasks of a model that are measured; arguments as of `measure`."""
    read = (elsewhere.manifest, elsewhere.tasks) if elsewhere else None
    data = prepare(experiment, (split,), progress, read, tasks)
    # A file may have fewer heads than the run whose photos it is measured on.
    return replace(data, tasks={name: data.tasks[name] for name in tasks if name in data.tasks})


def reading_of(trained: Task, measured: Task) -> str | None:
    """The reading in which a task is measured; None where it is by the classes that the model has learned."""
    if not isinstance(trained, CategoricalTask) or not isinstance(measured, CategoricalTask):
        return None
    return trained.reading_with(measured.classes) if trained.classes != measured.classes else None


def as_measured(trained: dict[str, Task], measured: dict[str, Task], outputs: Outputs) -> Outputs:
    """Outputs with the probabilities of the classes that the tasks are measured by."""
    found = dict(outputs)
    for name, task in measured.items():
        own = trained[name]
        if isinstance(own, CategoricalTask) and (reading := reading_of(own, task)):
            found[name] = summed(own.classes, own.readings[reading], outputs[name])
    return found
