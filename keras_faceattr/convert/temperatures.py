"""Temperatures in the graph: the last layer of a task is divided by one, so that a file needs no further arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from keras_faceattr.calibration.temperature import fit_temperature
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.targets import labelled
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, Task


@dataclass(frozen=True)
class Temperatures:
    """What the logits of each task were divided by.

    Attributes:
        factors: by task.
        photos: labelled validation photos that told, by task.
    """

    factors: dict[str, float]
    photos: dict[str, int]

    def then(self, other: Temperatures) -> Temperatures:
        """Both, one after the other."""
        factors = {name: self.factors.get(name, 1.0) * factor for name, factor in other.factors.items()}
        return Temperatures({**self.factors, **factors}, {**self.photos, **other.photos})


NO_TEMPERATURES = Temperatures({}, {})


def divide_logits(model: keras.Model, tasks: dict[str, Task], part: LabelledCrops | None) -> Temperatures:
    """Measure a temperature for each task with classes, and divide its last layer by it, in the model itself.

    Nothing is rounded by it: an integer kernel keeps its numbers, and its scale is divided. Ensembles, whose members
    vote, keep their logits.

    Args:
        model: an inference model with a layer `<task>_raw` for each task.
        part: validation photos; None for none.
    """
    scaled = {
        name: (task, layer)
        for name, task in tasks.items()
        if isinstance(task, BinaryTask | CategoricalTask | MultilabelTask)
        if isinstance(layer := _layer(model, f"{name}_raw"), keras.layers.Dense)
    }
    if part is None or not scaled:
        return NO_TEMPERATURES
    found = Temperatures({}, {})
    # Not from probabilities, of which float32 keeps nothing beyond 1 − 1e-7.
    logits = keras.Model(model.input, {name: layer.output for name, (_, layer) in scaled.items()})
    outputs = predict_split(keras_predictor(logits), part)
    for name, (task, layer) in scaled.items():
        labels = part.labels[name]
        known = labelled(task, labels)
        said = outputs[name][known].reshape(int(known.sum()), -1)
        factor = fit_temperature(said, labels[known], yes_no=not isinstance(task, CategoricalTask))
        if factor is not None:
            for weight in layer.weights:
                weight.assign(weight / factor)
            found.factors[name], found.photos[name] = factor, int(known.sum())
    return found


def _layer(model: keras.Model, name: str) -> keras.layers.Layer | None:
    return next((layer for layer in model.layers if layer.name == name), None)
