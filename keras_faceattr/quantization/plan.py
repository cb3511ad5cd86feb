"""What becomes integer in a folded graph, where tensors are rounded, and which of them share a range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import activations, layers, ops

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.graph import Graph, Node, normalises, producer
from keras_faceattr.quantization.layers import QUANTIZED
from keras_faceattr.quantization.lowering import FUSED

Take = type(producer(ops.take(keras.KerasTensor((1, 1)), [0], axis=-1)))
"""The operation of `keras.ops.take`."""

MOVING_OPERATIONS = ("Take", "Reshape", "Squeeze", "ExpandDims", "Transpose", "GetItem")
"""Operations of `keras.ops` that move values, by the name of their class."""

SAME_VALUES = (
    layers.MaxPooling2D, layers.GlobalMaxPooling2D, layers.Flatten, layers.Reshape, layers.Permute, layers.Dropout,
    layers.ZeroPadding2D, layers.Cropping2D, layers.Identity, layers.UpSampling2D, layers.RepeatVector,
    layers.SpatialDropout2D, layers.GaussianDropout, layers.GaussianNoise, layers.ActivityRegularization, Take,
)  # fmt: skip
"""Layers that move values without changing them at inference: range and rounding pass through."""

SAME_RANGE = (layers.AveragePooling2D, layers.Concatenate, layers.Maximum, layers.Minimum)
"""Layers whose LiteRT kernel wants one range for all inputs and the output."""

OWN_RANGE = (
    layers.GlobalAveragePooling2D, layers.Add, layers.Subtract, layers.Multiply, layers.Rescaling, layers.ReLU,
    layers.LeakyReLU, layers.PReLU,
)  # fmt: skip
"""Layers with an integer kernel that rescales to a range of its own."""

OWN_RANGE_ACTIVATIONS = (activations.hard_silu, activations.gelu)
"""Activations with a kernel of their own."""

PAIRWISE = (layers.Add, layers.Subtract, layers.Multiply)
"""Layers that the converter splits into float operations if they merge more than two tensors."""

FIXED_RANGE: dict[Any, tuple[float, float]] = {
    layers.Softmax: (0.0, 255 / 256),
    activations.softmax: (0.0, 255 / 256),
    activations.sigmoid: (0.0, 255 / 256),
    activations.tanh: (-1.0, 127 / 128),
}
"""Output ranges that LiteRT's quantization specification fixes."""

NOT_YET = (
    layers.Conv1D, layers.Conv3D, layers.DepthwiseConv1D, layers.SeparableConv1D, layers.Conv1DTranspose,
    layers.MultiHeadAttention, layers.Embedding, layers.LSTM, layers.GRU, layers.ELU, layers.UnitNormalization,
    activations.elu, activations.exponential, activations.log_softmax,
)  # fmt: skip
"""Layers of which LiteRT has integer kernels, or their parts have, that the converter or this package does not use."""

HEAD = "an output: its 256 steps would be coarse; strict=True makes it integer"
FOLLOWS = "it only passes on what a float layer gives"


@dataclass(frozen=True)
class Plan:
    """How a folded graph is quantized.

    Attributes:
        reasons: why a node stays in float, by its name.
        ranges: range name of every node whose output is rounded; nodes of one name share one range. A float node is
            among them where an integer one takes its output.
        fixed: (minimum, maximum) by range name, where the specification or the layer fixes it.
    """

    reasons: dict[str, str]
    ranges: dict[str, str]
    fixed: dict[str, tuple[float, float]]

    @property
    def float_nodes(self) -> frozenset[str]:
        """Names of the nodes that stay in float."""
        return frozenset(self.reasons)

    def points(self) -> dict[str, list[str]]:
        """Nodes by range name; these are where calibration looks."""
        found: dict[str, list[str]] = {}
        for node, name in self.ranges.items():
            found.setdefault(name, []).append(node)
        return found


def make_plan(
    graph: Graph, all_integer: bool = False, *, strict: bool = True, keep_float: Mapping[str, str] | None = None
) -> Plan:
    """Decides for every node of a folded graph.

    Args:
        all_integer: whether the heads become integer too.
        strict: whether a layer without an integer kernel is refused, instead of left in float.
        keep_float: reason of every node to leave in float although it has a kernel, by its name.

    Raises:
        ModelError: `strict`, and a layer in the integer part has no int8 kernel; it is named.
    """
    planner = _Planner(graph, all_integer)
    planner.reasons |= keep_float or {}
    while (found := planner.unsupported()) is not None:
        node, reason, line = found
        if strict:
            raise ModelError(line)
        planner.reasons[node] = reason
    return planner.plan()


class _Planner:
    """What is float so far, and what follows of it for the rest."""

    def __init__(self, graph: Graph, all_integer: bool) -> None:
        self.graph, self.consumers = graph, graph.consumers()
        decoding = _decoding(graph)
        self.heads = _head(graph, self.consumers, decoding)
        self.in_head = decoding | self.heads
        self.reasons = {} if all_integer else dict.fromkeys(sorted(self.heads), HEAD)
        self.normalising = {n.name for n in graph.nodes.values() if normalises(n, graph, self.consumers)}

    def body(self) -> list[Node]:
        """The integer nodes."""
        nodes = self.graph.nodes.values()
        return [n for n in nodes if n.inputs and n.name not in self.reasons and n.name not in self.normalising]

    def unsupported(self) -> tuple[str, str, str] | None:
        """The first node that cannot be integer, why, and the line of its refusal."""
        self._follow()
        for node in self.body():
            if reason := _fault(node):
                hint = "; keep the heads in float (recipe int8_qat)" if node.name in self.in_head else ""
                return node.name, reason, f"layer {node.name!r} ({type(node.layer).__name__}) {reason}{hint}"
        groups, ranges, fixed = self._ranges()
        of_pixels = {groups.name(name) for name in (*self.graph.inputs, *self.normalising)}
        for node in self.body():
            name = node.name
            if isinstance(node.layer, SAME_RANGE) and len(node.inputs) > 1 and groups.name(name) in of_pixels:
                reason = "joins pixels and features in one range"
                return name, reason, f"layer {name!r} {reason}: put a 1×1 convolution behind the pixels"
        for name, shared in ranges.items():
            node, limits = self.graph.nodes[name], fixed.get(shared)
            joins = _is_same_range(node) and name not in self.reasons
            if limits and not joins and (name in self.reasons or fixed_range(node) != limits):
                line = (
                    f"layer {name!r} is joined with one whose range is fixed at {limits}: "
                    "put a 1×1 convolution behind that one"
                )
                joining = next(n for n in self.body() if self._joins(n, groups, name))
                return joining.name, f"joins tensors of which one has a range that is fixed at {limits}", line
        return None

    def _joins(self, node: Node, groups: _Groups, name: str) -> bool:
        return _is_same_range(node) and len(node.inputs) > 1 and groups.name(node.name) == groups.name(name)

    def _follow(self) -> None:
        """A layer that moves or clips what a float one gives is float as well: rounding before it gains nothing."""
        for node in self.body():
            moves = _is_same_values(node) or is_relu(node)
            if moves and all(source in self.reasons for source in node.inputs):
                self.reasons[node.name] = FOLLOWS

    def _ranges(self) -> tuple[_Groups, dict[str, str], dict[str, tuple[float, float]]]:
        groups, body = _Groups(), self.body()
        for node in body:
            if _is_same_values(node) or _is_same_range(node):
                for source in node.inputs:
                    groups.join(node.name, source)
        integer = {node.name for node in body}
        rounded = [n for n in body if not _is_same_values(n) and not self._fuses_with_consumer(n)]
        rounded += [
            self.graph.nodes[name] for name in self.reasons if not integer.isdisjoint(self.consumers[name])
        ]  # fmt: skip
        order = {name: place for place, name in enumerate(self.graph.nodes)}
        rounded.sort(key=lambda node: order[node.name])
        ranges = {node.name: f"{groups.name(node.name)}_range" for node in rounded}
        fixed = {}
        for node in rounded:
            limits = fixed_range(node)
            if limits and node.name in integer:
                fixed[ranges[node.name]] = limits
        return groups, ranges, fixed

    def _fuses_with_consumer(self, node: Node) -> bool:
        """Whether the ReLU behind a node is part of its kernel, so that nothing is rounded between them."""
        summand = isinstance(node.layer, layers.Rescaling) and node.layer.offset != 0
        fusing = type(node.layer) in QUANTIZED and not isinstance(node.layer, layers.Conv2DTranspose)
        if not fusing and not summand and type(node.layer) not in PAIRWISE:
            return False
        behind = self.consumers[node.name]
        if len(behind) != 1 or behind[0] in self.reasons or node.name in self.graph.outputs.values():
            return False
        return is_relu(self.graph.nodes[behind[0]])

    def plan(self) -> Plan:
        _, ranges, fixed = self._ranges()
        return Plan(dict(self.reasons), ranges, fixed)


def is_relu(node: Node) -> bool:
    """Whether a node is a ReLU, with or without an upper limit, which integer kernels apply for nothing."""
    layer = node.layer
    if isinstance(layer, layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return isinstance(layer, layers.Activation) and layer.activation in (activations.relu, activations.relu6)


def clips(node: Node) -> bool:
    """Whether a node is a ReLU whose upper limit no kernel has: the end of its range is that limit."""
    return isinstance(node.layer, layers.ReLU) and node.layer.max_value not in (None, 6.0) and is_relu(node)


def fixed_range(node: Node) -> tuple[float, float] | None:
    """The range of a node's output where it is not calibrated."""
    return (0.0, float(node.layer.max_value)) if clips(node) else FIXED_RANGE.get(_kind(node))


def _is_same_values(node: Node) -> bool:
    if type(node.layer).__name__ in MOVING_OPERATIONS and not isinstance(node.layer, layers.Layer):
        return len(node.inputs) == 1
    return isinstance(node.layer, SAME_VALUES) and not _is_same_range(node)


def _is_same_range(node: Node) -> bool:
    interpolates = isinstance(node.layer, layers.UpSampling2D) and node.layer.interpolation == "bilinear"
    return isinstance(node.layer, SAME_RANGE) or interpolates


def _kind(node: Node) -> Any:
    return node.layer.activation if isinstance(node.layer, layers.Activation) else type(node.layer)


def _decoding(graph: Graph) -> set[str]:
    """Nodes that turn raw outputs into values: all behind the node `<output>_raw`, and softmax and sigmoid of vectors.

    A map of probabilities is integer, as the layers before it: in floats it would cost as much as a layer.
    """
    raw = {f"{output}_raw" for output in graph.outputs}
    behind: set[str] = set()
    for node in graph.nodes.values():
        if any(source in raw or source in behind for source in node.inputs):
            behind.add(node.name)
    probabilities = (layers.Softmax, activations.softmax, activations.sigmoid)
    ends = graph.outputs.values()
    for node in graph.nodes.values():
        kinds = (*probabilities, activations.tanh) if node.name in ends else probabilities
        if _kind(node) in kinds and (len(node.output_shape) < 4 or node.output_shape[1:3] == (1, 1)):
            behind.add(node.name)
    return behind


def _hands_on(node: Node) -> bool:
    """Whether a node makes raw outputs, or joins and reorders them."""
    joins = isinstance(node.layer, (layers.Concatenate, layers.Identity, Take))
    return _makes_raw(node) or (joins and len(node.output_shape) == 2) or _flattens(node)


def _makes_raw(node: Node) -> bool:
    """Whether a node is a dense layer, or a convolution of what has neither height nor width."""
    pointwise = isinstance(node.layer, layers.Conv2D) and node.input_shape[1:3] == (1, 1)
    return isinstance(node.layer, layers.Dense) or pointwise


def _flattens(node: Node) -> bool:
    """Whether a node takes the height and the width of 1 off a tensor."""
    shape = node.input_shape
    return isinstance(node.layer, (layers.Flatten, layers.Reshape)) and len(shape) == 4 and shape[1:3] == (1, 1)


def _reads_raw(node: Node, decoding: set[str]) -> bool:
    return node.name in decoding or (_hands_on(node) and not _makes_raw(node))


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
        if behind:
            gives_raw = _hands_on(node) and all(_reads_raw(graph.nodes[name], decoding) for name in behind)
        else:
            gives_raw = _makes_raw(node)
        feeding = (layers.GlobalAveragePooling2D, layers.Dropout, layers.UnitNormalization)
        feeds_head = bool(behind) and isinstance(node.layer, feeding)
        if node.name in decoding or gives_raw or feeds_head:
            head.add(node.name)
    return frozenset(head)


def _fault(node: Node) -> str:
    """Why a node cannot be integer; empty where it can."""
    layer = node.layer
    if type(layer) in QUANTIZED:
        own = (activations.linear,) if isinstance(layer, layers.Conv2DTranspose) else FUSED
        return "" if layer.activation in own else f"has the activation {layer.activation.__name__!r} in it"
    if isinstance(layer, layers.Softmax) and layer.axis not in (-1, len(node.output_shape) - 1):
        return f"has an int8 kernel along the last axis alone, not along {layer.axis}"
    if isinstance(layer, PAIRWISE) and len(node.inputs) > 2:
        return f"merges {len(node.inputs)} tensors, its int8 kernel two: merge two at a time"
    limited = isinstance(layer, layers.ReLU) and layer.max_value is not None
    late = isinstance(layer, layers.ReLU) and (layer.threshold or (limited and layer.negative_slope))
    uneven = isinstance(layer, layers.Rescaling) and not _is_even(layer)
    known = (*SAME_VALUES, *SAME_RANGE, *OWN_RANGE)
    integer = (type(layer) in known or _is_same_values(node)) and not late and not uneven
    activation = _kind(node) in FIXED_RANGE or _kind(node) in OWN_RANGE_ACTIVATIONS or type(layer).__name__ == "Gelu"
    if integer or is_relu(node) or activation:
        return ""
    return "is not supported yet" if _kind(node) in NOT_YET else "has no int8 kernel"


def _is_even(layer: layers.Rescaling) -> bool:
    """Whether it is one factor or one summand for all channels."""
    return np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0 and (layer.scale == 1 or layer.offset == 0)


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
