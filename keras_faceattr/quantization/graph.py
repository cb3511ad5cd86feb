"""A functional or Sequential model as a graph of layers, so that it can be rewritten layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_faceattr.errors import ModelError

Tensor = Any


@dataclass(frozen=True)
class Node:
    """One call of a layer, or of an operation of `keras.ops`, and where its inputs come from.

    Attributes:
        name: of the layer, with a number behind it for further calls and for names that are taken.
        layer: may belong to several nodes, which then share its weights.
        inputs: names of the nodes whose outputs it takes, in order; empty for an input of the model.
        arguments: the symbolic arguments of the call, constants among them.
        output: its symbolic output in the model that was read.
    """

    name: str
    layer: Any
    inputs: tuple[str, ...]
    arguments: Any
    output: Tensor

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        return tuple(self.output.shape)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first tensor that it takes."""
        return tuple(self.arguments.keras_tensors[0].shape)

    def call(self, layer: Any, tensors: list[Tensor]) -> Tensor:
        """Calls a layer, this node's or one in its place, with the same constants as this node's."""
        given = {id(old): new for old, new in zip(self.arguments.keras_tensors, tensors, strict=True)}
        args, kwargs = self.arguments.fill_in(given)
        # Another kind of layer may not know this one's keywords, such as a batch norm's mask.
        return layer(*args, **(kwargs if type(layer) is type(self.layer) else {}))

    def weights(self) -> list[Any]:
        """Values of its weights; none for an operation."""
        return list(self.layer.get_weights()) if isinstance(self.layer, keras.layers.Layer) else []


@dataclass(frozen=True)
class Graph:
    """Layers in an order in which each stands behind those it needs.

    Attributes:
        name: of the model.
        nodes: by name.
        inputs: names of the nodes of the model's inputs, in its order.
        outputs: node of each output of the model; an output without a name has that of its node.
    """

    name: str
    nodes: dict[str, Node]
    inputs: tuple[str, ...]
    outputs: dict[str, str]

    @property
    def input(self) -> Node:
        return self.nodes[self.inputs[0]]

    def consumers(self) -> dict[str, list[str]]:
        """Names of the nodes that take each node's output."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for source in node.inputs:
                found[source].append(node.name)
        return found

    def calls(self) -> dict[int, list[str]]:
        """Names of the nodes that share a layer, by the layer's `id`."""
        found: dict[int, list[str]] = {}
        for node in self.nodes.values():
            found.setdefault(id(node.layer), []).append(node.name)
        return found


def read_graph(model: keras.Model) -> Graph:
    """The graph of a model; models inside it are taken apart into their layers.

    Raises:
        ModelError: the model has no graph, or a layer has several outputs; it is named.
    """
    # A `Sequential` or a subclass that was never called has neither inputs nor outputs.
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise ModelError(_no_graph(model, "model"))
    reader = _Reader()
    inputs = [reader.add(producer(tensor), (), _call_of(tensor).arguments, tensor) for tensor in model.inputs]
    ends = reader.read(model, inputs)
    struct, names = getattr(model, "output", None), [None] * len(ends)
    by_tensor = {id(tensor): end for tensor, end in zip(model.outputs, ends, strict=True)}
    # Keras flattens a dictionary by sorted key.
    if isinstance(struct, dict) and all(id(tensor) in by_tensor for tensor in struct.values()):
        names, ends = list(struct), [by_tensor[id(tensor)] for tensor in struct.values()]
    outputs: dict[str, str] = {}
    for name, end in zip(names, ends, strict=True):
        outputs[name if name is not None else _free(end, outputs)] = end
    return Graph(str(model.name), reader.nodes, tuple(inputs), outputs)


def normalises(node: Node, graph: Graph, consumers: dict[str, list[str]]) -> bool:
    """Whether a node is the normalisation of an input that feeds nothing else, by one factor and one summand."""
    alone = len(node.inputs) == 1 and node.inputs[0] in graph.inputs and consumers[node.inputs[0]] == [node.name]
    return alone and isinstance(node.layer, keras.layers.Rescaling)


def producer(tensor: Tensor) -> Any:
    """The layer that makes a symbolic tensor."""
    # The one place that asks Keras where a symbolic tensor comes from; every graph tool of Keras reads this field.
    return tensor._keras_history.operation


def _call_of(tensor: Tensor) -> Any:
    """The call of a layer that makes a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def _free(name: str, taken: dict[str, Any]) -> str:
    """The name, with the first number behind it that makes it a new one."""
    number = 1
    while (free := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    return free


def _no_graph(model: Any, what: str) -> str:
    return (
        f"{what} {model.name!r} ({type(model).__name__}) has no graph of layers: build it as keras.Model(inputs, "
        "outputs) or as a Sequential that begins with keras.Input(shape)"
    )


@dataclass
class _Reader:
    nodes: dict[str, Node] = field(default_factory=dict)

    def add(self, layer: Any, inputs: tuple[str, ...], arguments: Any, output: Tensor) -> str:
        name = _free(str(layer.name), self.nodes)
        self.nodes[name] = Node(name, layer, inputs, arguments, output)
        return name

    def read(self, model: keras.Model, inputs: list[str]) -> list[str]:
        """Adds all that a model's outputs depend on.

        Args:
            inputs: nodes that give the model its inputs.

        Returns:
            The nodes of its outputs.
        """
        known = {id(tensor): name for tensor, name in zip(model.inputs, inputs, strict=True)}
        # A stack of its own, because nets may be deeper than Python's.
        stack = [(output, False) for output in reversed(model.outputs)]
        while stack:
            tensor, inputs_done = stack.pop()
            if id(tensor) in known:
                continue
            call = _call_of(tensor)
            layer = producer(tensor)
            if inputs_done:
                names = tuple(known[id(source)] for source in call.input_tensors)
                if isinstance(layer, keras.Model):
                    ends = self.read(layer, list(names))
                    known.update({id(t): end for t, end in zip(call.output_tensors, ends, strict=True)})
                else:
                    known[id(tensor)] = self.add(layer, names, call.arguments, tensor)
                continue
            _check(layer, call)
            stack.append((tensor, True))
            stack += [(source, False) for source in reversed(call.input_tensors)]
        return [known[id(tensor)] for tensor in model.outputs]


def _check(layer: Any, call: Any) -> None:
    if isinstance(layer, keras.Model):
        if not getattr(layer, "inputs", None) or not getattr(layer, "outputs", None):
            raise ModelError(_no_graph(layer, "the inner model"))
    elif len(call.output_tensors) != 1:
        raise ModelError(f"layer {layer.name!r} has several outputs, which is not supported")


def rebuild(graph: Graph, make: Callable[[Node, list[Tensor]], Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """Runs through the graph and builds another one.

    Args:
        make: (node, its inputs in the new graph) → its output in the new graph.

    Returns:
        The new input, or a list of them where there are several, and the new output of every node by name.
    """
    tensors = {}
    for name in graph.inputs:
        node = graph.nodes[name]
        tensors[name] = keras.Input(node.output_shape[1:], name=name, dtype=node.output.dtype)
    inputs = [tensors[name] for name in graph.inputs]
    for node in graph.nodes.values():
        if node.name not in tensors:
            tensors[node.name] = make(node, [tensors[name] for name in node.inputs])
    return (inputs if len(inputs) > 1 else inputs[0]), tensors


def copy_layer(layer: Any, name: str | None = None) -> Any:
    """A layer or operation of the same configuration, not yet built.

    Args:
        name: a new one.
    """
    copy = type(layer).from_config(layer.get_config())
    if name is not None:
        copy.name = name
    return copy


class Copies:
    """Layers of a graph that is being rebuilt: one for all calls of a layer, with its weights."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, str], Any] = {}

    def call(
        self,
        node: Node,
        apply: Callable[[Any], Tensor],
        build: Callable[[], Any],
        weights: Callable[[], list[Any]],
        part: str = "",
    ) -> Tensor:
        """The output of a layer in place of a node's, or of a part of one; the first call makes it.

        Args:
            apply: calls it on tensors.
            weights: of the new layer, looked up when it is made.
        """
        key = (id(node.layer), part)
        known = self.made.get(key)
        layer = self.made[key] = known or build()
        output = apply(layer)
        if known is None and (values := weights()):
            layer.set_weights(values)
        return output
