"""A backbone with a head for each task, seen twice: raw outputs to train on, decoded outputs to ship."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ConfigError
from keras_faceattr.methods import method_of
from keras_faceattr.models import Tasks, architecture, architecture_of
from keras_faceattr.models.building import dtype_policy, seeded
from keras_faceattr.models.heads import Features, decoded_outputs, raw_outputs
from keras_faceattr.tasks import check_name


@dataclass(frozen=True)
class Network:
    """Two functional models over the same layers.

    Attributes:
        trainable: pixels → `{task: raw outputs}`.
        inference: pixels → `{task: value or probabilities, task_distribution: probabilities}`; this is what
            `model.keras` holds and what is exported.
    """

    trainable: keras.Model
    inference: keras.Model


def build_network(
    name: str,
    tasks: Tasks,
    *,
    size: int = 224,
    dropout: float = 0.0,
    vote: str = "majority",
    precision: str = "float32",
    seed: int | None = None,
    landmarks: np.ndarray | None = None,
    model: keras.Model | None = None,
    **options: Any,
) -> Network:
    """Build a net with a head for each task.

    Args:
        name: key of `MODELS`; `keras.applications.NAME`; or `module:function`, see `models.backbone`. With `model`
            it is only the network's name.
        tasks: task and method by name.
        size: side of the input in pixels.
        dropout: share of features dropped before the heads, in training.
        vote: how an ensemble within the net decides: `majority` or `soft`.
        precision: Keras dtype policy of the backbone.
        seed: random seed of the initial weights.
        landmarks: (5, 2) x, y in pixels where the five points lie in every crop, for nets that cut parts of the face.
        model: a Keras model of the caller's, whose last feature map the heads read instead of a named net's. It is
            copied, with its weights; its input is RGB from 0 to 255, unless the option `preprocessing` names the
            family of `keras.applications` whose preprocessing it expects.
        options: options of the net, such as `pooling`.

    Returns:
        The network; its input is (batch, size, size, 3) RGB from 0 to 255.

    Raises:
        ConfigError: a task's name cannot be a layer's, or its method is not for it.
        ModelError: unknown net or option, or an input that the net cannot take.
    """
    entry = architecture(name) if model is None else architecture_of(model)
    # What stands before the last dot or colon is where a net is found.
    name = re.split(r"[.:]", name)[-1]
    entry.check_options(options)
    for task_name in tasks:
        check_name(task_name)
    heads = {task_name: method_of(task, method).head for task_name, (task, method) in tasks.items()}
    with seeded(seed), dtype_policy(precision):
        pixels = keras.Input((size, size, 3), name="image", dtype="float32")
        definitions = {task_name: task for task_name, (task, _) in tasks.items()}
        where = {"landmarks": landmarks} if entry.needs_landmarks else {}
        features = entry.net(pixels, definitions, **entry.options, **where, **options)
        if vote != "majority" and not any(isinstance(value, list) for value in features.values()):
            raise ConfigError(f"model.vote={vote}: nothing votes in {name}")
        drop = _Dropout(dropout, seed, alone=len({id(value) for value in features.values()}) == 1)
        raw, decoded = {}, {}
        for task_name, (task, _) in tasks.items():
            own = drop(features[task_name], task_name)
            raw[task_name] = raw_outputs(own, task, heads[task_name])
            decoded.update(decoded_outputs(own, raw[task_name], task, heads[task_name], vote))
    try:
        return Network(keras.Model(pixels, raw, name=name), keras.Model(pixels, decoded, name=name))
    except ValueError as error:
        taken = next((n for n in tasks if f'"{n}' in str(error)), None)
        if taken is None:
            raise
        raise ConfigError(f"task {taken!r}: the net {name} has a layer of this name; call the task otherwise") from None


class _Dropout:
    """Drops features before the heads: once for all tasks that share them, else for each task apart."""

    def __init__(self, rate: float, seed: int | None, alone: bool) -> None:
        self.rate, self.seed, self.alone = rate, seed, alone
        self.done: dict[int, Any] = {}

    def __call__(self, features: Features, task: str) -> Features:
        if not self.rate:
            return features
        if isinstance(features, dict):
            return {part: self._drop(tensor, f"{task}_{part}_dropout") for part, tensor in features.items()}
        if isinstance(features, list):
            return [self._drop(tensor, f"{task}_dropout_{i}") for i, tensor in enumerate(features, start=1)]
        return self._drop(features, "dropout" if self.alone else f"{task}_dropout")

    def _drop(self, tensor: Any, name: str) -> Any:
        if id(tensor) not in self.done:
            # With one seed for all, every task would lose the same places of its features.
            seed = None if self.seed is None else zlib.crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF
            self.done[id(tensor)] = layers.Dropout(self.rate, name=name, seed=seed)(tensor)
        return self.done[id(tensor)]
