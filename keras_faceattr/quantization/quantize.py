"""From a folded float model to one that computes in floats what the integer file will compute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.network import Network
from keras_faceattr.quantization.graph import Graph, Node, Tensor, read_graph, rebuild
from keras_faceattr.quantization.layers import QUANTIZED, FakeQuantize
from keras_faceattr.quantization.plan import Plan, make_plan

IMAGE_RANGE = "image_range"


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

    def ranges(self) -> dict[str, FakeQuantize]:
        """The layers that round activations, by name."""
        found = self.network.inference.layers
        return {str(layer.name): layer for layer in found if isinstance(layer, FakeQuantize)}


def quantize(
    folded: keras.Model, tasks: Iterable[str], *, all_integer: bool = False, learned_ranges: bool = False
) -> QuantizedNetwork:
    """Puts fake quantization into a model without batch norms; its ranges are yet to be calibrated.

    Args:
        folded: of `fold_batch_norm`, which also takes averages apart. It stays as it is.
        tasks: names; each has a layer `<task>_raw`.
        all_integer: also the heads; distributions then have a resolution of 1/256.
        learned_ranges: by gradient instead of moving averages.

    Raises:
        ModelError: a layer has no int8 kernel, or the model has no such task; it is named.
    """
    graph = read_graph(folded)
    tasks = list(tasks)
    known = [node.removesuffix("_raw") for node in graph.nodes if node.endswith("_raw")]
    if not tasks:
        raise ModelError(f"no task to quantize the model for; valid: {', '.join(sorted(known))}")
    for task in tasks:
        if task not in known:
            raise ModelError(f"the model has no task {task!r} with a layer {task}_raw; {nearest(task, known)}")
    builder = _Builder(graph, make_plan(graph, all_integer), learned_ranges)
    pixels, tensors = rebuild(graph, builder.make)
    outputs = {name: tensors[node] for name, node in graph.outputs.items()}
    raw = {task: tensors[f"{task}_raw"] for task in tasks}
    network = Network(keras.Model(pixels, raw, name=graph.name), keras.Model(pixels, outputs, name=graph.name))
    for name, values in builder.weights.items():
        if not values:
            continue
        network.inference.get_layer(name).set_weights(values)
    body = keras.Model(builder.normalised, outputs, name=graph.name)
    return QuantizedNetwork(network, body, builder.plan, tensors)


class _Builder:
    """Makes the quantized counterpart of each node."""

    def __init__(self, graph: Graph, plan: Plan, learned_ranges: bool) -> None:
        self.graph, self.plan, self.learned_ranges = graph, plan, learned_ranges
        self.ranges: dict[str, FakeQuantize] = {}
        self.sharing = {name: len(nodes) for name, nodes in plan.points().items()}
        self.unrounded: dict[str, list[Tensor]] = {}
        self.weights: dict[str, list[np.ndarray]] = {}
        self.normalised: Tensor = None

    def make(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """The output of a node in the quantized graph."""
        if node.inputs == (self.graph.input.name,):
            inputs = [self._image(node, inputs[0])]
            if isinstance(node.layer, layers.Rescaling):
                return inputs[0]
        if node.name in self.plan.float_nodes:
            behind_pooling = isinstance(self.graph.nodes[node.inputs[0]].layer, layers.MaxPooling2D)
            if isinstance(node.layer, layers.GlobalAveragePooling2D) and not behind_pooling:
                inputs = [_kept_in_float(inputs[0], node.name)]
            return self._copy(node, inputs, type(node.layer))
        output = self._copy(node, inputs, QUANTIZED.get(type(node.layer), type(node.layer)))
        name = self.plan.ranges.get(node.name)
        return self._round(name, output) if name else output

    def _copy(self, node: Node, inputs: list[Tensor], kind: type) -> Tensor:
        self.weights[node.name] = node.weights()
        return node.call(kind.from_config(node.layer.get_config()), inputs)  # type: ignore[attr-defined]

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

    def _image(self, node: Node, pixels: Tensor) -> Tensor:
        """The pixels, normalised such that each of the 256 grey levels is a step of the integer input."""
        if self.normalised is not None:
            raise ModelError(f"the pixels feed {node.name!r} and another layer: normalise them once, for all")
        scale, offset = 1.0, 0.0
        self.normalised = pixels
        if isinstance(node.layer, layers.Rescaling):
            scale, offset = _single(node, node.layer.scale), _single(node, node.layer.offset)
            zero_point = round(-offset / scale)
            if not 0 <= zero_point <= 255 or scale <= 0:
                raise ModelError(f"layer {node.name!r} maps no grey level of 0 to 255 to 0, which integers need")
            # −offset / scale is 127.5 in our nets: rounding it shifts the picture by half a grey level.
            offset = -zero_point * scale
            self.normalised = layers.Rescaling(scale, offset, name=node.name)(pixels)
        return FakeQuantize(offset, offset + 255 * scale, name=IMAGE_RANGE)(self.normalised)


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
