"""Which layer suffers from rounding: signal-to-quantization-noise ratios."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np

from keras_faceattr.quantization.layers import QUANTIZED
from keras_faceattr.quantization.quantize import QuantizedNetwork


@dataclass(frozen=True)
class LayerNoise:
    """SQNR of a layer in dB: 6 dB are one bit.

    Attributes:
        kernel: of its rounded kernel; None for a layer without one.
        own: of its output if only that is rounded.
        total: of its output with all rounding up to it.
    """

    layer: str
    kernel: float | None
    own: float
    total: float


def float_twin(quantized: QuantizedNetwork, folded: keras.Model) -> keras.Model:
    """The folded net with the weights of the quantized one: the same function without rounding."""
    twin = keras.models.clone_model(folded)
    twin.set_weights(folded.get_weights())
    for layer in quantized.network.inference.layers:
        if type(layer) in QUANTIZED.values() and layer.name in {own.name for own in twin.layers}:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    return twin


def layer_noise(quantized: QuantizedNetwork, folded: keras.Model, batches: Iterable[np.ndarray]) -> list[LayerNoise]:
    """SQNR of every layer whose output is rounded, in the order of the graph.

    Args:
        folded: that `quantized` was made of.
        batches: of (b, side, side, 3) pixels from 0 to 255.
    """
    twin, ranges = float_twin(quantized, folded), quantized.ranges()
    nodes = list(quantized.plan.ranges)
    exact = keras.Model(twin.input, {node: twin.get_layer(node).output for node in nodes})
    rounded = keras.Model(quantized.network.inference.input, {node: quantized.tensors[node] for node in nodes})
    powers = {node: np.zeros(3) for node in nodes}
    for batch in batches:
        signal, noisy = exact.predict_on_batch(batch), rounded.predict_on_batch(batch)
        for node in nodes:
            own = np.asarray(ranges[quantized.plan.ranges[node]](signal[node]), "float64")
            true = np.asarray(signal[node], "float64")
            errors = (own - true, np.asarray(noisy[node], "float64") - true)
            powers[node] += [np.sum(true**2), *(np.sum(error**2) for error in errors)]
    kernels = _kernel_ratios(quantized)
    return [
        LayerNoise(node, kernels.get(_kernel_node(quantized, node)), _decibels(p[0], p[1]), _decibels(p[0], p[2]))
        for node, p in powers.items()
    ]


def _kernel_node(quantized: QuantizedNetwork, node: str) -> str:
    """The layer whose kernel makes a node's output: itself, or the one that its ReLU fused with."""
    layer = quantized.network.inference.get_layer(node) if _has(quantized, node) else None
    if layer is not None and type(layer) not in QUANTIZED.values():
        source = layer.input._keras_history.operation if not isinstance(layer.input, list) else layer
        if type(source) in QUANTIZED.values():
            return str(source.name)
    return node


def _has(quantized: QuantizedNetwork, name: str) -> bool:
    return name in {layer.name for layer in quantized.network.inference.layers}


def _kernel_ratios(quantized: QuantizedNetwork) -> dict[str, float]:
    found = {}
    for layer in quantized.network.inference.layers:
        if type(layer) not in QUANTIZED.values():
            continue
        flat = np.asarray(layer.flat_kernel(), "float64")
        error = np.asarray(layer.rounded_kernel(), "float64") - flat
        found[str(layer.name)] = _decibels(float(np.sum(flat**2)), float(np.sum(error**2)))
    return found


def _decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))
