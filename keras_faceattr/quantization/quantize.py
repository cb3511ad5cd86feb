"""From a folded float model to one that computes in floats what the integer file will compute."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ConfigError, ModelError, nearest
from keras_faceattr.models.network import Network
from keras_faceattr.quantization.graph import Copies, Graph, Node, Tensor, normalises, read_graph, rebuild
from keras_faceattr.quantization.layers import BITS, QUANTIZED, FakeQuantize, QuantizationPlan, QuantizedConv2D
from keras_faceattr.quantization.plan import Plan, clips, make_plan

IMAGE_RANGE = "image_range"

PIXELS = (0.0, 255.0)

ALMOST_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
"""A slope that changes no value by more than the last bit, and that the converter does not take for 1."""

RECORD = "quantization_plan"
"""Name of the layer that keeps the plan."""


@dataclass(frozen=True)
class QuantizedNetwork:
    """A fake-quantized net.

    Attributes:
        network: to train and to evaluate; its input is (batch, side, side, 3) RGB from 0 to 255.
        body: the inference model behind the normalisation of the pixels, which the file expresses as scale and zero
            point of its uint8 input.
        plan: where it rounds.
        tensors: output of every node of the folded graph, rounded where the plan says so.
    """

    network: Network
    body: keras.Model
    plan: Plan
    tensors: dict[str, Tensor]

    @property
    def borders(self) -> frozenset[str]:
        """Names of the layers around float ones that only keep the converter from making these integer."""
        return frozenset(str(layer.name) for layer in self.network.inference.layers if is_border(layer))

    def ranges(self) -> dict[str, FakeQuantize]:
        """The layers that round activations, by name."""
        found = self.network.inference.layers
        return {str(layer.name): layer for layer in found if isinstance(layer, FakeQuantize)}


@dataclass(frozen=True)
class Inserted:
    """A graph with fake quantization in it.

    Attributes:
        inputs: of the new model: one, or a list.
        tensors: output of every node, rounded where the plan says so.
        normalised: the first input behind its normalisation.
    """

    inputs: Any
    tensors: dict[str, Tensor]
    normalised: Tensor


def quantize_network(
    folded: keras.Model,
    tasks: Iterable[str],
    *,
    all_integer: bool = False,
    learned_ranges: bool = False,
    keep_float: Iterable[str] = (),
    kernel_bits: int = BITS,
) -> QuantizedNetwork:
    """Puts fake quantization into a net with heads for tasks; its ranges are yet to be calibrated.

    Args:
        folded: of `fold_batch_norm`, which also takes averages apart. It stays as it is.
        tasks: names; each has a layer `<task>_raw`.
        all_integer: also the heads; distributions then have a resolution of 1/256.
        learned_ranges: by gradient instead of moving averages.
        keep_float: regular expressions of layers that stay in float, as in `kept_in_float`.
        kernel_bits: of convolutions; kernels of depthwise and dense layers have 8.

    Raises:
        ModelError: a layer has no int8 kernel, or the model has no such task; it is named.
        ConfigError: a pattern of `keep_float` is none, or matches no layer.
    """
    graph = read_graph(folded)
    tasks = list(tasks)
    known = [node.removesuffix("_raw") for node in graph.nodes if node.endswith("_raw")]
    if not tasks:
        raise ModelError(f"no task to quantize the model for; valid: {', '.join(sorted(known))}")
    for task in tasks:
        if task not in known:
            raise ModelError(f"the model has no task {task!r} with a layer {task}_raw; {nearest(task, known)}")
    plan = make_plan(graph, all_integer, keep_float=kept_in_float(graph, keep_float))
    inserted = insert(graph, plan, {graph.input.name: PIXELS}, learned_ranges=learned_ranges, kernel_bits=kernel_bits)
    outputs = {name: inserted.tensors[node] for name, node in graph.outputs.items()}
    raw = {task: inserted.tensors[f"{task}_raw"] for task in tasks}
    pixels = inserted.inputs
    network = Network(keras.Model(pixels, raw, name=graph.name), keras.Model(pixels, outputs, name=graph.name))
    body = keras.Model(inserted.normalised, outputs, name=graph.name)
    return QuantizedNetwork(network, body, plan, inserted.tensors)


def kept_in_float(graph: Graph, patterns: Iterable[str]) -> dict[str, str]:
    """Why a layer is left in float although it has a kernel, by the name of its node.

    Args:
        patterns: regular expressions; a layer whose name contains a match stays in float.

    Raises:
        ConfigError: no regular expression, or one that no layer's name matches.
    """
    found: dict[str, str] = {}
    names = [node.name for node in graph.nodes.values() if node.inputs]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        try:
            search = re.compile(pattern).search
        except re.error as error:
            raise ConfigError(f"keep_float: {pattern!r} is no regular expression: {error}") from None
        matched = [name for name in names if search(name)]
        if not matched:
            raise ConfigError(f"keep_float: no layer's name matches {pattern!r}; {nearest(pattern, names)}")
        found |= dict.fromkeys(matched, f"skipped by the pattern {pattern!r}")
    return found


def insert(
    graph: Graph,
    plan: Plan,
    limits: Mapping[str, tuple[float, float]],
    *,
    learned_ranges: bool = False,
    record: bool = False,
    kernel_bits: int = BITS,
) -> Inserted:
    """Builds a folded graph again, with rounding where the plan says so.

    Args:
        limits: smallest and largest value of each input, by its name; 0 to 255 are pixels.
        record: whether the model keeps the reasons of its float layers.
        kernel_bits: of convolutions; kernels of depthwise and dense layers have 8.
    """
    builder = _Builder(graph, plan, dict(limits), learned_ranges, record, kernel_bits)
    inputs, tensors = rebuild(graph, builder.make)
    return Inserted(inputs, tensors, builder.normalised[graph.inputs[0]])


def range_name(name: str) -> str:
    """Name of the layer that rounds an input."""
    return f"{name}_range"


class _Builder:
    """Makes the quantized counterpart of each node."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        limits: dict[str, tuple[float, float]],
        learned_ranges: bool,
        record: bool,
        kernel_bits: int,
    ) -> None:
        self.kernel_bits = kernel_bits
        self.graph, self.plan, self.limits, self.learned_ranges = graph, plan, limits, learned_ranges
        self.record, self.consumers, self.copies = record, graph.consumers(), Copies()
        self.ranges: dict[str, FakeQuantize] = {}
        self.sharing = {name: len(nodes) for name, nodes in plan.points().items()}
        self.unrounded: dict[str, list[Tensor]] = {}
        self.rounded_inputs: dict[str, Tensor] = {}
        self.normalised: dict[str, Tensor] = {}

    def make(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """The output of a node in the quantized graph."""
        if normalises(node, self.graph, self.consumers):
            return self._image(node.inputs[0], inputs[0], node)
        inputs = [
            self._image(name, tensor) if name in self.graph.inputs else tensor
            for name, tensor in zip(node.inputs, inputs, strict=True)
        ]
        if node.name in self.plan.reasons:
            return self._float(node, inputs)
        output = self._copy(node, inputs, QUANTIZED.get(type(node.layer), type(node.layer)))
        name = self.plan.ranges.get(node.name)
        return self._round(name, output) if name else output

    def _float(self, node: Node, inputs: list[Tensor]) -> Tensor:
        given = dict(zip(node.inputs, inputs, strict=True))
        inside = {n: x if n in self.plan.reasons else self._border(node, n, x) for n, x in given.items()}
        output = self._copy(node, [inside[name] for name in node.inputs], type(node.layer))
        name = self.plan.ranges.get(node.name)
        if name is None:
            return output
        # The converter makes integer whatever stands between two roundings and has a kernel.
        return self._round(name, _border(output, f"{node.name}_float"))

    def _border(self, node: Node, source: str, tensor: Tensor) -> Tensor:
        """A rounded tensor as a float node takes it: the converter is to see that it computes in floats from here."""
        if isinstance(node.layer, layers.GlobalAveragePooling2D):
            behind_pooling = isinstance(self.graph.nodes[source].layer, layers.MaxPooling2D)
            return tensor if behind_pooling else _kept_in_float(tensor, node.name)
        if type(node.layer) in QUANTIZED or isinstance(node.layer, SAFE):
            return tensor
        return _border(tensor, f"{node.name}_from_{source}")

    def _copy(self, node: Node, inputs: list[Tensor], kind: type) -> Tensor:
        def build() -> Any:
            config = node.layer.get_config()
            if clips(node) and node.name not in self.plan.reasons:
                config["max_value"] = None
            if kind is QuantizedConv2D:
                config["bits"] = self.kernel_bits
            layer = kind.from_config(config)  # type: ignore[attr-defined]
            layer.name = node.name
            return layer

        return self.copies.call(node, lambda layer: node.call(layer, inputs), build, node.weights, str(kind))

    def _round(self, name: str, tensor: Tensor) -> Tensor:
        if name not in self.ranges:
            low, high = self.plan.fixed.get(name, (None, None))
            self.ranges[name] = FakeQuantize(low, high, self.learned_ranges, name=name)
        if self.sharing[name] == 1:
            return self.ranges[name](tensor)
        # The last of the tensors that share a range moves it towards the extremes of all: each by itself would pull it
        # to its own, and the smallest would clip the others.
        before = self.unrounded.setdefault(name, [])
        before.append(tensor)
        last = len(before) == self.sharing[name]
        return self.ranges[name](tensor, tuple(before[:-1]) if last else (), moves=last)

    def _image(self, name: str, values: Tensor, node: Node | None = None) -> Tensor:
        """An input, normalised such that each of the 256 grey levels of pixels is a step of the integer input.

        Args:
            node: the normalisation, where the input feeds one and nothing else.
        """
        if name in self.rounded_inputs:
            return self.rounded_inputs[name]
        if self.record and not self.normalised:
            values = QuantizationPlan(self.plan.reasons, name=RECORD)(values)
        low, high = self.limits[name]
        self.normalised[name] = values
        if node is not None:
            scale, offset = _single(node, node.layer.scale), _single(node, node.layer.offset)
            if (low, high) == PIXELS:
                zero_point = round(-offset / scale)
                if not 0 <= zero_point <= 255 or scale <= 0:
                    raise ModelError(f"layer {node.name!r} maps no grey level of 0 to 255 to 0, which integers need")
                # −offset / scale is 127.5 in our nets: rounding it shifts the picture by half a grey level.
                offset = -zero_point * scale
            low, high = sorted((low * scale + offset, high * scale + offset))
            self.normalised[name] = layers.Rescaling(scale, offset, name=node.name)(values)
        self.rounded_inputs[name] = FakeQuantize(low, high, name=range_name(name))(self.normalised[name])
        return self.rounded_inputs[name]


SAFE = (layers.Dropout, layers.Flatten, layers.Reshape, layers.Identity)
"""Layers in front of which nothing has to be put, because it is the same to them whether they are integer."""


def _border(tensor: Tensor, name: str) -> Tensor:
    return layers.LeakyReLU(ALMOST_ONE, name=name)(tensor)


def is_border(layer: Any) -> bool:
    """Whether a layer is only there to keep the converter from making its neighbours integer."""
    if isinstance(layer, layers.MaxPooling2D):
        return bool(layer.pool_size == (1, 1) and layer.name.endswith("_kept"))
    return isinstance(layer, layers.LeakyReLU) and bool(np.float32(layer.negative_slope) == np.float32(ALMOST_ONE))


def _single(node: Node, numbers: Any) -> float:
    """The one number of a scale or an offset, which Keras also takes by channel."""
    found = np.unique(np.asarray(numbers, "float64"))
    if len(found) != 1 or not np.isfinite(found[0]):
        raise ModelError(
            f"layer {node.name!r} normalises each channel in its own way, and integer pixels have one scale for all: "
            "give it one scale and one offset"
        )
    return float(found[0])


def _kept_in_float(features: Tensor, name: str) -> Tensor:
    """The same map, behind a pooling of single pixels.

    An average right behind a range is integer to the converter, and its output rounded to steps of the map's range,
    which is coarse for means. Behind an integer pooling it stays in float.
    """
    return layers.MaxPooling2D(1, name=f"{name}_kept")(features)
