"""Folding batch norms and other factors by channel into the layer before them: the same function of integer kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.graph import Copies, Graph, Node, Tensor, copy_layer, normalises, read_graph, rebuild
from keras_faceattr.quantization.lowering import lower

FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
"""Layers that take over the scale and shift of a batch norm behind them."""


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """The same function at inference, without batch norms, of layers that have an integer kernel where there is one.

    The model is lowered first (see `lower`). A batch norm behind a linear convolution, depthwise convolution or dense
    layer that feeds nothing else becomes part of its kernel and bias. Any other becomes a 1×1 depthwise convolution,
    which has an integer kernel. So do factors and summands by channel.

    Args:
        model: functional or Sequential. It stays as it is.

    Returns:
        A model with outputs by name, with new layers and weights. Outputs differ by rounding alone.

    Raises:
        ModelError: the model's graph cannot be read, or a batch norm is not along the channels.

    Source: Jacob et al., Quantization and Training of Neural Networks, section 3.2.
    """
    graph = read_graph(lower(model))
    folding = _Folding(graph)
    inputs, tensors = rebuild(graph, folding.make)
    return keras.Model(inputs, {name: tensors[node] for name, node in graph.outputs.items()}, name=graph.name)


class _Folding:
    """Decides which layer absorbs which affine one, and makes the rest."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.copies = graph, Copies()
        self.consumers, self.calls = graph.consumers(), graph.calls()
        self.absorbed: dict[str, str] = {}
        """Affine node by the node that takes it over."""
        for node in graph.nodes.values():
            if self._is_affine(node):
                _check_axis(node)
                if self._can_absorb(node):
                    self.absorbed[node.inputs[0]] = node.name

    def make(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """The output of a node in the folded graph."""
        if node.name in self.absorbed.values():
            return inputs[0]
        if not self._is_affine(node):
            return self._call(node, inputs, *self._replacement(node))
        return self._depthwise(node, inputs[0])

    def _is_affine(self, node: Node) -> bool:
        """Whether a node is a batch norm, or another factor and summand by channel.

        A factor alone or a summand alone, the same for all channels, has a kernel of its own. Both together on vectors
        are what heads decode values with. The normalisation of an input is no operation at all: the scale of
        the integer input expresses it.
        """
        layer = node.layer
        if isinstance(layer, layers.BatchNormalization):
            return True
        if not isinstance(layer, layers.Rescaling):
            return False
        if np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0:
            both = layer.scale != 1 and layer.offset != 0 and len(node.output_shape) == 4
            return both and not normalises(node, self.graph, self.consumers)
        return True

    def _call(self, node: Node, inputs: list[Tensor], layer: Any, weights: Callable[[], list[Any]]) -> Tensor:
        return self.copies.call(node, lambda made: node.call(made, inputs), lambda: layer, weights)

    def _can_absorb(self, node: Node) -> bool:
        """Whether the layer before an affine one can take it over, in all of its calls."""
        producer = self.graph.nodes[node.inputs[0]]
        layer = producer.layer
        if self._is_affine(producer):
            # Pixels are normalised by the scale of the integer input, for nothing; behind that, one depthwise kernel.
            return self._alone(producer.name, node)
        linear = getattr(layer, "activation", None) is keras.activations.linear
        return type(layer) in FOLDABLE and linear and self._alone(producer.name, node)

    def _alone(self, producer: str, node: Node) -> bool:
        calls = self.calls[id(self.graph.nodes[producer].layer)]
        behind = [self.consumers[call] for call in calls]
        outputs = self.graph.outputs.values()
        return all(
            len(names) == 1 and self.graph.nodes[names[0]].layer is node.layer and call not in outputs
            for call, names in zip(calls, behind, strict=True)
        )

    def _chain(self, name: str) -> list[Any]:
        """The affine layers that a node takes over, in order."""
        found = []
        while name in self.absorbed:
            name = self.absorbed[name]
            found.append(self.graph.nodes[name])
        return found

    def _scale_and_shift(self, nodes: list[Node]) -> tuple[np.ndarray, np.ndarray]:
        scale, shift = np.ones(1), np.zeros(1)
        for node in nodes:
            factor, summand = scale_and_shift(node.layer)
            scale, shift = scale * factor, shift * factor + summand
        channels = int(nodes[0].output_shape[-1] or 1)
        return np.broadcast_to(scale, channels), np.broadcast_to(shift, channels)

    def _replacement(self, node: Node) -> tuple[Any, Callable[[], list[Any]]]:
        """The layer that stands for a node, and its weights."""
        behind = self._chain(node.name)
        if not behind:
            return copy_layer(node.layer, node.name), node.weights
        scale, shift = self._scale_and_shift(behind)
        config = {**node.layer.get_config(), "use_bias": True, "bias_initializer": "zeros", "name": node.name}
        kernel, *bias = node.weights()
        # A depthwise kernel is (height, width, channels, multiplier), and its output has channels × multiplier.
        shape = kernel.shape[-2:] if isinstance(node.layer, layers.DepthwiseConv2D) else kernel.shape[-1:]
        values = [kernel * scale.reshape(shape), (bias[0] if bias else 0.0) * scale + shift]
        return type(node.layer).from_config(config), lambda: [value.astype("float32") for value in values]

    def _depthwise(self, node: Node, x: Tensor) -> Tensor:
        """A factor and a summand by channel, and all behind it that it takes over, as a kernel."""
        scale, shift = self._scale_and_shift([node, *self._chain(node.name)])
        values = [scale.reshape(1, 1, -1, 1).astype("float32"), shift.astype("float32")]
        shape = tuple(x.shape)
        if len(shape) != 4:
            x = layers.Reshape((1, int(np.prod(shape[1:-1])), shape[-1]), name=f"{node.name}_as_map")(x)
        name = node.name if len(shape) == 4 else f"{node.name}_by_channel"
        x = self.copies.call(
            node, lambda layer: layer(x), lambda: layers.DepthwiseConv2D(1, name=name), lambda: values, str(len(shape))
        )
        return x if len(shape) == 4 else layers.Reshape(shape[1:], name=node.name)(x)


def _check_axis(node: Node) -> None:
    rank = len(node.output_shape)
    if isinstance(node.layer, layers.BatchNormalization) and node.layer.axis % rank != rank - 1:
        raise ModelError(
            f"batch norm {node.name!r} normalises along axis {node.layer.axis} instead of the channels: "
            "build it with axis=-1"
        )


def scale_and_shift(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """(channels,) or (1,) float64 factors and summands that an affine layer applies at inference."""
    if isinstance(layer, layers.Rescaling):
        return np.atleast_1d(np.asarray(layer.scale, "float64")), np.atleast_1d(np.asarray(layer.offset, "float64"))
    mean, variance = (np.asarray(v, "float64") for v in (layer.moving_mean, layer.moving_variance))
    gamma = np.asarray(layer.gamma, "float64") if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta, "float64") if layer.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale
