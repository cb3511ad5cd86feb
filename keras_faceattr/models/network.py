"""A backbone with a head for each task, seen twice: raw outputs to train on, decoded outputs to ship."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_faceattr.errors import ConfigError
from keras_faceattr.methods import head_name
from keras_faceattr.models import architecture
from keras_faceattr.models.heads import HEADS, raw_outputs
from keras_faceattr.tasks import Task

TASK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
RESERVED = {"image", "normalise", "features", "dropout", "source", "row", "split", "fold", "identity"}
"""Names of layers and of a manifest's own columns."""


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
    tasks: Mapping[str, tuple[Task, str]],
    *,
    size: int = 224,
    dropout: float = 0.0,
    precision: str = "float32",
    seed: int | None = None,
    **options: Any,
) -> Network:
    """Builds a registered net.

    Args:
        name: of `MODELS`.
        tasks: task and method by name; methods matter for scalar tasks only.
        size: side of the input in pixels.
        dropout: share of features dropped before the heads, in training.
        precision: Keras dtype policy of the backbone.
        seed: of the initial weights.
        options: of the net, such as `pooling`.

    Returns:
        The network; its input is (batch, size, size, 3) RGB from 0 to 255.
    """
    entry = architecture(name)
    for task_name in tasks:
        if not TASK_NAME.fullmatch(task_name) or task_name in RESERVED:
            raise ConfigError(
                f"task {task_name!r}: a task's name is made of letters, digits and _, and is none of "
                f"{', '.join(sorted(RESERVED))}"
            )
    if seed is not None:
        keras.utils.set_random_seed(seed)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        pixels = keras.Input((size, size, 3), name="image", dtype="float32")
        features = entry.backbone(pixels, **entry.options, **options)
        if dropout:
            features = layers.Dropout(dropout, name="dropout", seed=seed)(features)
        raw, decoded = {}, {}
        for task_name, (task, method) in tasks.items():
            head = head_name(task, method)
            raw[task_name] = raw_outputs(features, task, head)
            decoded.update(HEADS[head].decode(task, raw[task_name]))
    finally:
        keras.config.set_dtype_policy(previous)
    return Network(keras.Model(pixels, raw, name=name), keras.Model(pixels, decoded, name=name))
