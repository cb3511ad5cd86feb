"""Biases as the integer file holds them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.layers import QUANTIZED, FakeQuantize


def round_biases(model: keras.Model) -> None:
    """Sets every bias of a fake-quantized model to what the file can hold: a multiple of the scales of its input and
    kernel. A layer that is called several times has one bias, and gets the scale of its first call.
    """
    nodes = read_graph(model).nodes
    done: set[int] = set()
    for node in nodes.values():
        layer: Any = node.layer
        if type(layer) not in QUANTIZED.values() or not layer.use_bias or id(layer) in done:
            continue
        done.add(id(layer))
        source = nodes[node.inputs[0]]
        while not isinstance(source.layer, FakeQuantize):
            source = nodes[source.inputs[0]]
        low, high = source.layer.limits()
        scale = (high - low) / 255 * layer.kernel_scale()
        layer.bias.assign(np.round(np.asarray(layer.bias, "float64") / scale) * scale)
