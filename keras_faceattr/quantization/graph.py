"""A functional model as a graph of layers, so that it can be rewritten layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_faceattr.errors import ModelError

Tensor = Any


@dataclass(frozen=True)
class Node:
    """One call of a layer, or of an operation of `keras.ops`, and where its inputs come from.

    Attributes:
        layer: called once in the model.
        inputs: names of the nodes whose outputs it takes, in order; empty for the model's input.
        arguments: the symbolic arguments of the call, constants among them.
    """

    layer: Any
    inputs: tuple[str, ...]
    arguments: Any

    @property
    def name(self) -> str:
        return str(self.layer.name)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        return tuple(self.layer.output.shape)

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
        nodes: by name; the first is the input.
        outputs: node of each output of the model.
    """

    name: str
    nodes: dict[str, Node]
    outputs: dict[str, str]

    @property
    def input(self) -> Node:
        return next(iter(self.nodes.values()))

    def consumers(self) -> dict[str, list[str]]:
        """Names of the nodes that take each node's output."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for source in node.inputs:
                found[source].append(node.name)
        return found


def read_graph(model: keras.Model) -> Graph:
    """The graph of a functional model with one input and named outputs.

    Raises:
        ModelError: a layer is called twice, has several outputs, or is itself a model; it is named.
    """
    # A `Sequential` or a subclass that was never called has neither inputs nor outputs.
    outputs = getattr(model, "output", None) if getattr(model, "inputs", None) else None
    if not isinstance(outputs, dict) or len(model.inputs) != 1:
        raise ModelError(
            f"model {model.name!r}: needs one input and outputs by name; "
            f"of this {type(model).__name__}, build keras.Model(inputs, {{task: output}})"
        )
    nodes: dict[str, Node] = {}
    calls: dict[str, int] = {}
    for output in outputs.values():
        _visit(output, nodes, calls)
    return Graph(str(model.name), nodes, {name: producer(tensor).name for name, tensor in outputs.items()})


def producer(tensor: Tensor) -> Any:
    """The layer that makes a symbolic tensor."""
    return _source(tensor)[0]


def _source(tensor: Tensor) -> tuple[Any, int]:
    """The layer that makes a symbolic tensor, and which of its calls does."""
    # The one place that asks Keras where a symbolic tensor comes from; every graph tool of Keras reads this field.
    return tensor._keras_history.operation, tensor._keras_history.node_index


def _visit(output: Tensor, nodes: dict[str, Node], calls: dict[str, int]) -> None:
    """Adds all that a tensor depends on; a stack of its own, because nets may be deeper than Python's."""
    stack = [(output, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        layer, call = _source(tensor)
        if calls.setdefault(layer.name, call) != call:
            raise ModelError(f"layer {layer.name!r} is called more than once: give each call a layer of its own")
        if layer.name in nodes:
            continue
        tensors = _inputs(layer, call)
        if inputs_done:
            names = tuple(str(producer(source).name) for source in tensors)
            nodes[str(layer.name)] = Node(layer, names, layer._inbound_nodes[call].arguments)
            continue
        stack.append((tensor, True))
        stack += [(source, False) for source in reversed(tensors)]


def _inputs(layer: Any, call: int) -> list[Tensor]:
    if isinstance(layer, keras.Model):
        raise ModelError(
            f"{layer.name!r} ({type(layer).__name__}) is a model inside a model: build the net of layers alone"
        )
    # Not `layer.input`, which is the first call's, even if that belongs to another model.
    node = layer._inbound_nodes[call]
    if len(node.output_tensors) != 1:
        raise ModelError(f"layer {layer.name!r} has several outputs, which is not supported")
    return list(node.input_tensors)


def rebuild(graph: Graph, make: Callable[[Node, list[Tensor]], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Runs through the graph and builds another one.

    Args:
        make: (node, its inputs in the new graph) → its output in the new graph.

    Returns:
        The new input, and the new output of every node by name.
    """
    shape, dtype = graph.input.layer.batch_shape, graph.input.layer.dtype
    pixels = keras.Input(shape[1:], name=graph.input.name, dtype=dtype)
    tensors = {graph.input.name: pixels}
    for node in list(graph.nodes.values())[1:]:
        tensors[node.name] = make(node, [tensors[name] for name in node.inputs])
    return pixels, tensors


def copy_layer(layer: Any) -> Any:
    """A layer or operation of the same configuration, not yet built."""
    return type(layer).from_config(layer.get_config())
