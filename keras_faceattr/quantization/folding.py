"""Folding batch norm into the layer before it, and taking averages apart: the same function of integer kernels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.graph import Graph, Node, Tensor, copy_layer, read_graph, rebuild

FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
"""Layers that take over the scale and shift of a batch norm behind them."""


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """The same function of the pixels at inference, without batch norms.

    A batch norm behind a linear convolution, depthwise convolution or dense layer that feeds nothing else becomes
    part of its kernel and bias. Any other becomes a 1×1 depthwise convolution, which has an integer kernel. An average
    of tensors has none: it becomes sums of two and a factor.

    Args:
        model: functional, with one input and outputs by name. It stays as it is.

    Returns:
        A model with new layers of the same names, and new weights. Outputs differ by rounding alone.

    Raises:
        ModelError: the model's graph cannot be read, or a batch norm stands where none of this is possible.

    Source: Jacob et al., Quantization and Training of Neural Networks, section 3.2.
    """
    graph = read_graph(model)
    norms = _foldable_norms(graph)
    absorbed = {norm.name for norm in norms.values()}
    weights: dict[str, list[np.ndarray]] = {}

    def make(node: Node, inputs: list[Tensor]) -> Tensor:
        if node.name in absorbed:
            return inputs[0]
        if isinstance(node.layer, layers.Average):
            return _averaged(node.name, inputs)
        layer, weights[node.name] = _replacement(node, norms.get(node.name))
        return node.call(layer, inputs)

    pixels, tensors = rebuild(graph, make)
    folded = keras.Model(pixels, {name: tensors[node] for name, node in graph.outputs.items()}, name=graph.name)
    for name, values in weights.items():
        if values:
            folded.get_layer(name).set_weights(values)
    return folded


def _foldable_norms(graph: Graph) -> dict[str, layers.BatchNormalization]:
    """Batch norms that a layer can absorb, by the name of that layer."""
    consumers = graph.consumers()
    found = {}
    for node in graph.nodes.values():
        if not isinstance(node.layer, layers.BatchNormalization):
            continue
        producer = graph.nodes[node.inputs[0]]
        alone = consumers[producer.name] == [node.name] and producer.name not in graph.outputs.values()
        linear = getattr(producer.layer, "activation", None) is keras.activations.linear
        if type(producer.layer) in FOLDABLE and alone and linear and _by_channel(node.layer, producer.layer):
            found[producer.name] = node.layer
    return found


def _replacement(node: Node, norm: layers.BatchNormalization | None) -> tuple[Any, list[np.ndarray]]:
    """The layer that stands for a node, and its weights."""
    if isinstance(node.layer, layers.BatchNormalization):
        return _as_depthwise(node.layer)
    if norm is None:
        return copy_layer(node.layer), node.weights()
    scale, shift = _scale_and_shift(norm)
    config = {**node.layer.get_config(), "use_bias": True, "bias_initializer": "zeros"}
    kernel, *bias = node.layer.get_weights()
    # A depthwise kernel is (height, width, channels, multiplier), and its output has channels × multiplier channels.
    shape = kernel.shape[-2:] if isinstance(node.layer, layers.DepthwiseConv2D) else kernel.shape[-1:]
    values = [kernel * scale.reshape(shape), (bias[0] if bias else 0.0) * scale + shift]
    return type(node.layer).from_config(config), [value.astype("float32") for value in values]


def _averaged(name: str, inputs: list[Tensor]) -> Tensor:
    """A mean as sums of two and a factor; what is rounded in between are layers of their own."""
    total = inputs[0]
    for count, other in enumerate(inputs[1:], start=2):
        number = count if count < len(inputs) else ""
        total = layers.Add(name=f"{name}_sum{number}")([total, other])
    return layers.Rescaling(1 / len(inputs), name=name)(total)


def _by_channel(norm: layers.BatchNormalization, layer: keras.layers.Layer) -> bool:
    """Whether a batch norm has a factor for each channel of a layer, as its kernel has."""
    rank = len(norm.input.shape)
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1
    return bool(norm.axis % rank == channels)


def _scale_and_shift(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """(channels,) float64 factors and summands that a batch norm applies at inference."""
    mean, variance = (np.asarray(v, "float64") for v in (norm.moving_mean, norm.moving_variance))
    gamma = np.asarray(norm.gamma, "float64") if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta, "float64") if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _as_depthwise(norm: layers.BatchNormalization) -> tuple[keras.layers.Layer, list[np.ndarray]]:
    rank = len(norm.input.shape)
    if norm.axis % rank != rank - 1:
        raise ModelError(
            f"batch norm {norm.name!r} normalises along axis {norm.axis} instead of the channels: build it with axis=-1"
        )
    if rank != 4:
        raise ModelError(
            f"batch norm {norm.name!r} has nothing before it to fold into: "
            "put it right behind a linear convolution or dense layer"
        )
    scale, shift = _scale_and_shift(norm)
    values = [scale.reshape(1, 1, -1, 1).astype("float32"), shift.astype("float32")]
    return layers.DepthwiseConv2D(1, name=norm.name), values
