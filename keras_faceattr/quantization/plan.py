"""What becomes integer in a folded graph, where tensors are rounded, and which of them share a range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import activations, layers, ops

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.graph import Graph, Node, producer
from keras_faceattr.quantization.layers import QUANTIZED

Take = type(producer(ops.take(keras.KerasTensor((1, 1)), [0], axis=-1)))
"""The operation of `keras.ops.take`."""

SAME_VALUES = (
    layers.MaxPooling2D, layers.GlobalMaxPooling2D, layers.Flatten, layers.Reshape, layers.Permute, layers.Dropout,
    layers.ZeroPadding2D, layers.Cropping2D, layers.Identity, Take,
)  # fmt: skip
"""Layers that move values without changing them: range and rounding pass through."""

SAME_RANGE = (layers.AveragePooling2D, layers.Concatenate, layers.Maximum, layers.Minimum)
"""Layers whose LiteRT kernel wants one range for all inputs and the output."""

OWN_RANGE = (
    layers.GlobalAveragePooling2D, layers.Add, layers.Subtract, layers.Multiply, layers.Rescaling, layers.ReLU,
    layers.LeakyReLU, layers.PReLU,
)  # fmt: skip
"""Layers with an integer kernel that rescales to a range of its own."""

PAIRWISE = (layers.Add, layers.Subtract, layers.Multiply)
"""Layers that the converter splits into float operations if they merge more than two tensors."""

FIXED_RANGE: dict[Any, tuple[float, float]] = {
    layers.Softmax: (0.0, 255 / 256),
    activations.softmax: (0.0, 255 / 256),
    activations.sigmoid: (0.0, 255 / 256),
    activations.tanh: (-1.0, 127 / 128),
}
"""Output ranges that LiteRT's quantization specification fixes."""


@dataclass(frozen=True)
class Plan:
    """How a folded graph is quantized.

    Attributes:
        float_nodes: the head, which stays in float.
        ranges: range name of every node whose output is rounded; nodes of one name share one range.
        fixed: (minimum, maximum) by range name, where the specification fixes it.
    """

    float_nodes: frozenset[str]
    ranges: dict[str, str]
    fixed: dict[str, tuple[float, float]]

    def points(self) -> dict[str, list[str]]:
        """Nodes by range name; these are where calibration looks."""
        found: dict[str, list[str]] = {}
        for node, name in self.ranges.items():
            found.setdefault(name, []).append(node)
        return found


def make_plan(graph: Graph, all_integer: bool = False) -> Plan:
    """Decides for every node of a folded graph.

    Args:
        all_integer: whether the heads become integer too.

    Raises:
        ModelError: a layer in the integer part has no int8 kernel; it is named.
    """
    consumers = graph.consumers()
    decoding = _decoding(graph)
    heads = _head(graph, consumers, decoding)
    head = frozenset() if all_integer else heads
    body = [node for node in graph.nodes.values() if node.inputs and node.name not in head]
    normalising = {n.name for n in body if isinstance(n.layer, layers.Rescaling) and n.inputs == (graph.input.name,)}
    for node in body:
        if node.name not in normalising:
            _check(node, node.name in decoding | heads)
    groups = _Groups()
    ranges, fixed = {}, {}
    for node in body:
        if isinstance(node.layer, SAME_VALUES + SAME_RANGE):
            for source in node.inputs:
                groups.join(node.name, source)
    of_pixels = {groups.name(name) for name in (graph.input.name, *normalising)}
    for node in body:
        if isinstance(node.layer, SAME_RANGE) and len(node.inputs) > 1 and groups.name(node.name) in of_pixels:
            raise ModelError(
                f"layer {node.name!r} joins pixels and features in one range: put a 1×1 convolution behind the pixels"
            )
    for node in body:
        if isinstance(node.layer, SAME_VALUES) or node.name in normalising:
            continue
        if not _fuses_with_consumer(node, graph, consumers):
            ranges[node.name] = f"{groups.name(node.name)}_range"
            limits = FIXED_RANGE.get(_kind(node))
            if limits:
                fixed[ranges[node.name]] = limits
    for node in body:
        limits = fixed.get(ranges.get(node.name, ""))
        if limits and not isinstance(node.layer, SAME_RANGE) and FIXED_RANGE.get(_kind(node)) != limits:
            raise ModelError(
                f"layer {node.name!r} is joined with one whose range is fixed at {limits}: "
                "put a 1×1 convolution behind that one"
            )
    return Plan(head, ranges, fixed)


def is_relu(node: Node) -> bool:
    """Whether a node is ReLU or ReLU6, which integer kernels apply for nothing."""
    layer = node.layer
    if isinstance(layer, layers.ReLU):
        return layer.max_value in (None, 6.0) and not layer.negative_slope and not layer.threshold
    return isinstance(layer, layers.Activation) and layer.activation in (activations.relu, activations.relu6)


def _kind(node: Node) -> Any:
    return node.layer.activation if isinstance(node.layer, layers.Activation) else type(node.layer)


def _decoding(graph: Graph) -> set[str]:
    """Nodes that turn raw outputs into values: all behind the node `<output>_raw`, and every softmax and sigmoid."""
    raw = {f"{output}_raw" for output in graph.outputs}
    behind: set[str] = set()
    for node in graph.nodes.values():
        if any(source in raw or source in behind for source in node.inputs):
            behind.add(node.name)
    probabilities = (layers.Softmax, activations.softmax, activations.sigmoid)
    return behind | {node.name for node in graph.nodes.values() if _kind(node) in probabilities}


def _hands_on(node: Node) -> bool:
    """Whether a node makes raw outputs, or joins and reorders them."""
    joins = isinstance(node.layer, (layers.Concatenate, layers.Identity, Take))
    return isinstance(node.layer, layers.Dense) or (joins and len(node.output_shape) == 2)


def _reads_raw(node: Node, decoding: set[str]) -> bool:
    return node.name in decoding or (_hands_on(node) and not isinstance(node.layer, layers.Dense))


def _head(graph: Graph, consumers: dict[str, list[str]], decoding: set[str]) -> frozenset[str]:
    """Decoding layers, the dense layers whose raw outputs they read, and the pooling and the norm that feed only these.

    A softmax or sigmoid behind an integer dense layer would be integer too: the converter knows their ranges. Raw
    outputs of several dense layers may be joined and reordered on the way.
    """
    head: set[str] = set()
    for node in reversed(graph.nodes.values()):
        behind = consumers[node.name]
        if not node.inputs or not all(name in head for name in behind):
            continue
        gives_raw = bool(behind) and _hands_on(node) and all(_reads_raw(graph.nodes[name], decoding) for name in behind)
        feeding = (layers.GlobalAveragePooling2D, layers.Dropout, layers.UnitNormalization)
        feeds_head = bool(behind) and isinstance(node.layer, feeding)
        if node.name in decoding or gives_raw or feeds_head:
            head.add(node.name)
    return frozenset(head)


def _check(node: Node, in_head: bool) -> None:
    layer = node.layer
    known = (*QUANTIZED, *SAME_VALUES, *SAME_RANGE, *OWN_RANGE)
    if type(layer) in QUANTIZED:
        if layer.activation not in (activations.linear, activations.relu, activations.relu6):
            raise ModelError(
                f"layer {node.name!r}: put its activation {layer.activation.__name__!r} into its own layer"
            )
        if isinstance(layer, layers.Dense) and len(layer.input.shape) != 2:
            raise ModelError(f"layer {node.name!r} is dense on a map: use a 1×1 convolution")
        return
    if isinstance(layer, PAIRWISE) and len(node.inputs) > 2:
        raise ModelError(
            f"layer {node.name!r} merges {len(node.inputs)} tensors, its int8 kernel two: merge two at a time"
        )
    clips = isinstance(layer, layers.ReLU) and (layer.threshold or layer.max_value is not None)
    uneven = isinstance(layer, layers.Rescaling) and (np.ndim(layer.scale) > 0 or np.any(layer.offset))
    integer = type(layer) in known and not clips and not uneven
    if not integer and not is_relu(node) and _kind(node) not in FIXED_RANGE:
        hint = "; keep the heads in float (recipe int8_qat)" if in_head else ""
        raise ModelError(f"layer {node.name!r} ({type(layer).__name__}) has no int8 kernel{hint}")


def _fuses_with_consumer(node: Node, graph: Graph, consumers: dict[str, list[str]]) -> bool:
    """Whether the ReLU behind a node is part of its integer kernel, so that nothing is rounded between them."""
    if type(node.layer) not in (*QUANTIZED, layers.Add, layers.Subtract, layers.Multiply):
        return False
    behind = consumers[node.name]
    return len(behind) == 1 and is_relu(graph.nodes[behind[0]]) and node.name not in graph.outputs.values()


class _Groups:
    """Disjoint sets of nodes that share a range, each called by its latest member."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def name(self, node: str) -> str:
        while self.parent.get(node, node) != node:
            node = self.parent[node]
        return node

    def join(self, later: str, earlier: str) -> None:
        first, second = self.name(earlier), self.name(later)
        if first != second:
            self.parent[second] = first
