"""Small graphs of every shape: folded, quantized and converted, the file computes what the Keras model foretells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from conftest import Export, Exported, draw_photos, randomise
from keras import layers

from keras_faceattr.deploy.cost import float_ops
from keras_faceattr.deploy.tflite_file import Op, Tensor
from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.quantize import IMAGE_RANGE, quantize

KerasTensor = Any


def conv(x: KerasTensor, name: str, channels: int = 8, **options: Any) -> KerasTensor:
    options = {"padding": "same", "kernel_initializer": keras.initializers.HeNormal(len(name)), **options}
    return layers.Conv2D(channels, 3, name=name, **options)(x)


def block(x: KerasTensor, name: str, channels: int = 8, **options: Any) -> KerasTensor:
    x = layers.BatchNormalization(name=f"{name}_norm")(conv(x, name, channels, use_bias=False, **options))
    return layers.ReLU(name=f"{name}_relu")(x)


def depthwise(x: KerasTensor, name: str, **options: Any) -> KerasTensor:
    return layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="he_normal", name=name, **options)(x)


def squeeze_and_excite(x: KerasTensor) -> KerasTensor:
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Activation("sigmoid", name="gate")(layers.Conv2D(8, 1, name="excite")(gate))
    return layers.Multiply(name="multiply")([x, gate])


def residual(x: KerasTensor) -> KerasTensor:
    y = layers.BatchNormalization(name="second_norm")(conv(x, "second", use_bias=False))
    return layers.ReLU(name="sum_relu")(layers.Add(name="add")([x, y]))


def inception(x: KerasTensor) -> KerasTensor:
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(x)
    return layers.Concatenate(name="concatenate")([block(x, "wide", 4), conv(x, "linear", 6), pooled])


def two_readers(x: KerasTensor) -> KerasTensor:
    """A convolution whose batch norm cannot be folded, because another layer reads it as well."""
    y = conv(x, "shared")
    normed = layers.BatchNormalization(name="shared_norm")(y)
    return layers.Add(name="add")([layers.ReLU(name="normed_relu")(normed), y])


def dense_body(x: KerasTensor) -> KerasTensor:
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(8, name="coarse")(x))
    x = layers.Dense(12, use_bias=False, kernel_initializer="he_normal", name="hidden")(x)
    return layers.ReLU(name="hidden_relu")(layers.BatchNormalization(name="hidden_norm")(x))


MERGES = (layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)

BODIES: dict[str, Callable[[KerasTensor], KerasTensor]] = {
    "conv, norm, relu": lambda x: block(x, "second"),
    "conv with its own bias and norm": lambda x: layers.BatchNormalization(name="norm")(conv(x, "second")),
    "strides": lambda x: block(x, "second", strides=2),
    "dilation": lambda x: block(x, "second", dilation_rate=2),
    "relu inside the convolution": lambda x: conv(x, "second", activation="relu"),
    "relu6": lambda x: layers.ReLU(6.0, name="relu6")(conv(x, "second")),
    "relu6 by its function": lambda x: layers.Activation("relu6", name="relu6")(conv(x, "second")),
    "leaky relu": lambda x: layers.LeakyReLU(0.2, name="leaky")(conv(x, "second")),
    "parametric relu": lambda x: layers.PReLU(shared_axes=[1, 2], name="prelu")(conv(x, "second")),
    "tanh": lambda x: layers.Activation("tanh", name="tanh")(conv(x, "second")),
    "sigmoid": lambda x: layers.Activation("sigmoid", name="sigmoid")(conv(x, "second")),
    "depthwise": lambda x: layers.ReLU(name="relu")(
        layers.BatchNormalization(name="norm")(depthwise(x, "second", use_bias=False))
    ),
    "depthwise with multiplier 2": lambda x: layers.ReLU(name="relu")(
        layers.BatchNormalization(name="norm")(depthwise(x, "second", depth_multiplier=2))
    ),
    "norm after a pooling": lambda x: layers.BatchNormalization(name="norm")(layers.MaxPooling2D(name="pool")(x)),
    "norm without scale and shift": lambda x: layers.BatchNormalization(scale=False, center=False, name="norm")(
        conv(x, "second")
    ),
    "residual": residual,
    "inception": inception,
    "squeeze and excite": squeeze_and_excite,
    "convolution with two readers": two_readers,
    "average of three": lambda x: layers.Average(name="average")([x, conv(x, "one"), conv(x, "another")]),
    "average pooling": lambda x: layers.AveragePooling2D(name="pool")(conv(x, "second")),
    "zero padding": lambda x: conv(layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x), "second", padding="valid"),
    "zero padding of negative numbers": lambda x: layers.ZeroPadding2D(2, name="pad")(conv(x, "second")),
    "cropping": lambda x: layers.Cropping2D(2, name="crop")(conv(x, "second")),
    "reshape, permute, dropout": lambda x: layers.Permute((2, 1, 3), name="permute")(
        layers.Dropout(0.5, name="drop")(layers.Reshape((8, 32, 8), name="reshape")(conv(x, "second")))
    ),
    "dense body": dense_body,
    "global maximum": lambda x: layers.GlobalMaxPooling2D(name="top")(conv(x, "second")),
    "global average": lambda x: layers.GlobalAveragePooling2D(name="mean")(conv(x, "second")),
    **{
        f"{kind.__name__.lower()} of two convolutions": lambda x, kind=kind: kind(name="merge")(
            [conv(x, "one"), conv(x, "another")]
        )
        for kind in MERGES
    },
}  # fmt: skip


def build(body: Callable[[KerasTensor], KerasTensor]) -> keras.Model:
    """A block, the body, and a dense layer; the body's own output is an output too."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = body(block(x, "first", strides=2))
    vector = x if len(x.shape) == 2 else layers.GlobalAveragePooling2D(name="vector")(x)
    raw = layers.Dense(5, kernel_initializer="he_normal", name="t_raw")(vector)
    return randomise(keras.Model(image, {"body": x, "t": raw}, name="net"))


def main():
    pass
