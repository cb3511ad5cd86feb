"""Feature maps of a net as further outputs: those of a teacher, and those of a student that are drawn to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers

from keras_faceattr.config import FeatureMatchConfig
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.models.building import seeded
from keras_faceattr.models.network import Network

MAPS = "features."
"""What the names of these outputs begin with; no task can be called so."""


def tap_names(matches: Sequence[FeatureMatchConfig]) -> list[str]:
    """Names of the outputs."""
    return [f"{MAPS}{number}" for number in range(len(matches))]


def layer_of(model: keras.Model, name: str, whose: str) -> keras.Layer:
    """A layer by its name.

    Args:
        whose: for the message.

    Raises:
        ConfigError: there is none.
    """
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise ConfigError(f"training.distillation.features: {whose} has no layer {name!r}; {nearest(name, names)}")
    return model.get_layer(name)


def teacher_with_maps(model: keras.Model, matches: Sequence[FeatureMatchConfig], whose: str) -> keras.Model:
    """The teacher's own outputs, and the maps that are matched."""
    maps = {
        tap: layer_of(model, match.teacher_layer or match.layer, whose).output
        for tap, match in zip(tap_names(matches), matches, strict=True)
    }
    return keras.Model(model.input, {**model.output, **maps})


def student_with_maps(
    network: Network, matches: Sequence[FeatureMatchConfig], shapes: Mapping[str, tuple[int, ...]], seed: int
) -> Network:
    """The student with its maps as further outputs for training; what is shipped stays as it is.

    Where a map has other channels than the teacher's, a 1×1 convolution that is learned along leads from one to the
    other. Source: Romero et al., FitNets, section 2.2.

    Args:
        shapes: shapes of the teacher's maps, without the batch.
        seed: random seed of the weights of these convolutions.

    Raises:
        ConfigError: no such layer, or maps of other sides.
    """
    if not matches:
        return network
    model, maps = network.trainable, dict[str, Any]()
    with seeded(seed):
        for tap, match in zip(tap_names(matches), matches, strict=True):
            own = layer_of(model, match.layer, "the student").output
            shape = tuple(own.shape[1:])
            if shape[:-1] != shapes[tap][:-1]:
                raise ConfigError(
                    f"training.distillation.features: {match.layer} is {_sides(shape)}, and the teacher's "
                    f"{match.teacher_layer or match.layer} {_sides(shapes[tap])}: choose layers whose maps have the "
                    "same sides, or a teacher with the student's data.crop.size"
                )
            if shape[-1] != shapes[tap][-1]:
                # A dense layer looks at the channels of each place alone.
                own = layers.Dense(shapes[tap][-1], name=f"{match.layer}_to_teacher_{len(maps)}", dtype="float32")(own)
            maps[tap] = own
    trainable = keras.Model(model.input, {**model.output, **maps}, name=model.name)
    return dataclasses.replace(network, trainable=trainable)


def _sides(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
