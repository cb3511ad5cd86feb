"""Parameters and multiply-adds of a model, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.layers import FakeQuantize

ELEMENTWISE = (layers.BatchNormalization, layers.LayerNormalization, layers.Normalization, layers.PReLU)
"""Layers with weights of which none meets more than one number of a place."""


@dataclass(frozen=True)
class LayerProfile:
    """Cost of one layer for one photo."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    trainable_parameters: int
    macs: int


@dataclass(frozen=True)
class ModelProfile:
    """Cost of a model for one photo.

    Attributes:
        trainable_parameters: weights and biases that training changes.
        parameters: with the moving statistics of batch norms.
        macs: multiply-adds of convolutions and dense layers for one photo.
    """

    name: str
    input_size: int
    trainable_parameters: int
    parameters: int
    macs: int
    layers: tuple[LayerProfile, ...]


def profile_network(name: str, size: int) -> ModelProfile:
    """Count parameters and multiply-adds of a registered net for its usual tasks.

    Args:
        name: key of `MODELS`.
        size: side of the input in pixels.

    Raises:
        ModelError: unknown net, or an input that the net cannot take.
    """
    from keras_faceattr.models import architecture
    from keras_faceattr.models.network import build_network

    with _weights_of_zero():
        return profile_model(build_network(name, architecture(name).tasks, size=size).inference)


@contextmanager
def _weights_of_zero() -> Iterator[None]:
    """Leave out drawing random weights, which takes seconds for a hundred million that nobody looks at."""
    initializer = keras.initializers.VarianceScaling
    draw = initializer.__call__
    initializer.__call__ = lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
    try:
        yield
    finally:
        initializer.__call__ = draw


def profile_model(model: keras.Model) -> ModelProfile:
    """Count parameters and multiply-adds of a functional model.

    Of a fake-quantized one, the ranges of activations are no parameters, and rounding is no layer.
    """
    counted = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer | FakeQuantize)]
    profiles = tuple(
        LayerProfile(
            layer.name,
            type(layer).__name__,
            tuple(int(d) for d in layer.output.shape[1:]),
            _count(layer.trainable_weights),
            _macs(layer),
        )
        for layer in counted
    )
    return ModelProfile(
        model.name,
        int(model.input_shape[1]),
        sum(layer.trainable_parameters for layer in profiles),
        sum(_count(layer.weights) for layer in counted),
        sum(layer.macs for layer in profiles),
        profiles,
    )


def _count(weights: list[Any]) -> int:
    return sum(math.prod(w.shape) for w in weights)


def _macs(layer: keras.layers.Layer) -> int:
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
        kernel = layer.kernel.shape
        positions = math.prod(layer.output.shape[1:3])
        # A depthwise kernel is (h, w, channels, multiplier): each weight meets each position once, as in a full one.
        return int(positions * math.prod(kernel))
    if isinstance(layer, layers.Dense):
        return int(math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape))
    if isinstance(layer, layers.SeparableConv2D):
        positions = math.prod(layer.output.shape[1:3])
        return int(positions * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)))
    if len(layer.weights) > 0 and not isinstance(layer, ELEMENTWISE):
        raise ModelError(f"layer {layer.name!r}: multiply-adds of {type(layer).__name__} are not counted yet")
    return 0
