"""The same function of simpler layers: those that have an integer kernel, where there are such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import activations, layers

from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.graph import Copies, Graph, Node, Tensor, copy_layer, read_graph, rebuild

FUSED = (activations.linear, activations.relu, activations.relu6)
"""Activations that the kernel of a layer applies itself."""

INTERPOLATIONS = ("nearest", "bilinear")
"""Ways to enlarge a map that LiteRT has."""

OWN_PACKAGES = ("keras", "keras_faceattr")
"""Packages whose layers can be built again from their configuration."""


def lower(model: keras.Model) -> keras.Model:
    """Takes a model apart into layers that quantization knows.

    Models inside it are inlined; activations leave the layers that cannot compute them; SiLU, hard sigmoid, separable
    convolutions, normalisations, averages, merges of several tensors, and operators become layers that have an integer
    kernel. What has none stays as it is.

    Args:
        model: functional or Sequential. It stays as it is.

    Returns:
        A functional model with outputs by name, with new layers and new weights.

    Raises:
        ModelError: no graph, sides that are not fixed, a Lambda or a custom layer, or one that no operation of LiteRT
            computes; it is named.
    """
    graph = read_graph(model)
    _check_inputs(graph)
    lowering = Lowering()
    inputs, tensors = rebuild(graph, lowering.make)
    return keras.Model(inputs, {name: tensors[node] for name, node in graph.outputs.items()}, name=graph.name)


def _check_inputs(graph: Graph) -> None:
    for name in graph.inputs:
        shape = graph.nodes[name].output_shape
        if None in shape[1:]:
            raise ModelError(
                f"input {name!r} has the shape {shape}, and a file for a phone needs fixed sides: build the model with "
                "them, such as keras.Input((96, 96, 3))"
            )


class Lowering:
    """Makes the simpler layers in place of each node; one layer for all calls of a shared one."""

    def __init__(self) -> None:
        self.copies = Copies()

    def make(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """The output of a node in the lowered graph."""
        _check_known(node)
        by_name = RULES_OF_HIDDEN if isinstance(node.layer, layers.Layer) else RULES_OF_OPERATIONS
        rule = RULES.get(type(node.layer)) or by_name.get(type(node.layer).__name__)
        output = rule(self, node, inputs) if rule else None
        return self.copy(node, inputs) if output is None else output

    def copy(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """A layer as it is."""
        return self.copies.call(
            node, lambda layer: node.call(layer, inputs), lambda: copy_layer(node.layer, node.name), node.weights
        )

    def add(
        self, node: Node, x: Any, part: str, build: Callable[[str], Any], weights: Callable[[], list[Any]] = list
    ) -> Tensor:
        """A part of a node, called `<node>_<part>`; the last part of a node has no name of its own."""
        name = f"{node.name}_{part}" if part else node.name
        return self.copies.call(node, lambda layer: layer(x), lambda: build(name), weights, part)


def _check_known(node: Node) -> None:
    layer = node.layer
    if isinstance(layer, layers.Lambda):
        raise ModelError(f"layer {node.name!r} is a Lambda, whose function cannot be read: write it with keras.ops")
    if type(layer).__module__.split(".")[0] not in OWN_PACKAGES:
        raise ModelError(
            f"layer {node.name!r} ({type(layer).__name__}) is a custom layer, which cannot be taken apart: build it of "
            "Keras layers and keras.ops"
        )
    function = getattr(layer, "activation", None)
    if callable(function) and getattr(function, "__module__", "keras").split(".")[0] not in OWN_PACKAGES:
        raise ModelError(
            f"layer {node.name!r} has an activation of its own ({getattr(function, '__name__', function)}), which "
            "cannot be read: use one of keras.activations"
        )
    if getattr(layer, "data_format", None) == "channels_first":
        raise ModelError(
            f"layer {node.name!r} has its channels first, and LiteRT's kernels have them last: build the model with "
            "data_format='channels_last'"
        )
    if isinstance(layer, layers.Conv2DTranspose) and any(rate != 1 for rate in np.ravel(layer.dilation_rate)):
        raise ModelError(
            f"layer {node.name!r} is a dilated transposed convolution, which no operation of LiteRT computes: build it "
            "with dilation_rate=1"
        )
    if isinstance(layer, layers.UpSampling2D) and layer.interpolation not in INTERPOLATIONS:
        raise ModelError(
            f"layer {node.name!r} has interpolation={layer.interpolation!r}, which no operation of LiteRT computes: "
            f"build it with {' or '.join(INTERPOLATIONS)}"
        )


def _activation(low: Lowering, node: Node, x: Tensor, function: Any, last: str = "") -> Tensor:
    """An activation of its own.

    Args:
        last: name of its last part.
    """
    own = f"{last}_" if last else ""
    if function is activations.silu:
        gate = low.add(node, x, f"{own}sigmoid", lambda name: layers.Activation("sigmoid", name=name))
        return low.add(node, [x, gate], last, lambda name: layers.Multiply(name=name))
    if function is activations.hard_sigmoid:
        x = low.add(node, x, f"{own}plus3", lambda name: layers.Rescaling(1.0, 3.0, name=name))
        x = low.add(node, x, f"{own}relu6", lambda name: layers.ReLU(6.0, name=name))
        return low.add(node, x, last, lambda name: layers.Rescaling(1 / 6, name=name))
    if function is activations.leaky_relu:
        return low.add(node, x, last, lambda name: layers.LeakyReLU(0.2, name=name))
    if function is activations.linear:
        return low.add(node, x, last, lambda name: layers.Identity(name=name))
    return low.add(node, x, last, lambda name: layers.Activation(function, name=name))


def _from_activation(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor | None:
    return _activation(low, node, inputs[0], node.layer.activation)


def _from_operation(function: Any) -> Callable[[Lowering, Node, list[Tensor]], Tensor]:
    return lambda low, node, inputs: _activation(low, node, inputs[0], function)


def _from_kernel(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor | None:
    """A layer with a kernel, its activation behind it where the kernel cannot apply it."""
    layer = node.layer
    on_map = isinstance(layer, layers.Dense) and len(inputs[0].shape) == 4
    fused = FUSED if not isinstance(layer, layers.Conv2DTranspose) else (activations.linear,)
    if not on_map and layer.activation in fused:
        return None
    kind, config, weights = type(layer), layer.get_config(), node.weights
    if on_map:
        # A dense layer has one scale for its kernel, a 1×1 convolution one for each output.
        kind = layers.Conv2D
        kept = ("filters", "use_bias", "activation", "bias_initializer", "trainable")
        config = {"filters": layer.units, "kernel_size": 1, **{k: v for k, v in config.items() if k in kept}}

        def weights() -> list[Any]:
            kernel, *bias = node.weights()
            return [kernel[None, None], *bias]

    split = layer.activation not in fused
    if split:
        config["activation"] = "linear"
    x = low.add(node, inputs[0], "", lambda name: kind.from_config({**config, "name": name}), weights)
    return _activation(low, node, x, layer.activation, "activation") if split else x


def _from_separable(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    layer = node.layer

    def depthwise(name: str) -> Any:
        return layers.DepthwiseConv2D(
            layer.kernel_size, layer.strides, layer.padding, layer.depth_multiplier, dilation_rate=layer.dilation_rate,
            use_bias=False, name=name,
        )  # fmt: skip

    fused = layer.activation in FUSED

    def pointwise(name: str) -> Any:
        activation = layer.activation if fused else None
        return layers.Conv2D(layer.filters, 1, activation=activation, use_bias=layer.use_bias, name=name)

    x = low.add(node, inputs[0], "depthwise", depthwise, lambda: node.weights()[:1])
    x = low.add(node, x, "", pointwise, lambda: node.weights()[1:])
    return x if fused else _activation(low, node, x, layer.activation, "activation")


def _from_normalization(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    layer, channels = node.layer, inputs[0].shape[-1]
    if layer.mean is None:
        raise ModelError(f"layer {node.name!r} was never adapted: call adapt(photos), or give it mean and variance")
    mean, variance = (np.asarray(v, "float64") for v in (layer.mean, layer.variance))
    if mean.size not in (1, channels) or (mean.size > 1 and mean.shape[-1] != channels):
        raise ModelError(
            f"layer {node.name!r} normalises along axis {layer.axis} instead of the channels: build it with axis=-1"
        )
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon()).ravel()
    scale, offset = 1 / deviation, -mean.ravel() / deviation
    if layer.invert:
        scale, offset = deviation, mean.ravel()
    return _affine(low, node, inputs[0], scale, offset)


def _affine(low: Lowering, node: Node, x: Tensor, scale: Any, offset: Any) -> Tensor:
    """A factor and a summand, each one number where all are the same."""
    scale, offset = _numbers(scale), _numbers(offset)
    return low.add(node, x, "", lambda name: layers.Rescaling(scale, offset, name=name))


def _numbers(values: Any) -> float | list[float]:
    found = np.asarray(values, "float64").ravel()
    return float(found[0]) if np.all(found == found[0]) else found.tolist()


def _from_rescaling(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    return _affine(low, node, inputs[0], node.layer.scale, node.layer.offset)


def _from_layer_scale(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    return _affine(low, node, inputs[0], node.layer.gamma, 0.0)


def _from_stochastic_depth(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    shape = (None, *[1] * (len(inputs[0].shape) - 1))
    return low.add(node, inputs[0], "", lambda name: layers.Dropout(node.layer.drop_path_rate, shape, name=name))


def _from_average(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    """A mean as sums of two and a factor; what is rounded in between are layers of their own."""
    total = inputs[0]
    for count, other in enumerate(inputs[1:], start=2):
        part = f"sum{count if count < len(inputs) else ''}"
        total = low.add(node, [total, other], part, lambda name: layers.Add(name=name))
    return low.add(node, total, "", lambda name: layers.Rescaling(1 / len(inputs), name=name))


def _from_merge(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor | None:
    """Sums and products of several tensors, two at a time."""
    if len(inputs) <= 2:
        return None
    total = inputs[0]
    for count, other in enumerate(inputs[1:], start=2):
        part = str(count) if count < len(inputs) else ""
        total = low.add(node, [total, other], part, lambda name: type(node.layer)(name=name))
    return total


def _from_operator(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor | None:
    """`x + y` and its like: of two tensors a merging layer, of a tensor and constants a factor and a summand."""
    kind, values = type(node.layer).__name__, list(node.arguments.args)
    merge = {"Add": layers.Add, "Subtract": layers.Subtract, "Multiply": layers.Multiply}.get(kind)
    if len(inputs) == 2:
        return low.add(node, inputs, "", lambda name: merge(name=name)) if merge else None
    if len(values) != 2 or len(inputs) != 1:
        return None
    first = isinstance(values[0], keras.KerasTensor)
    constant = np.asarray(keras.ops.convert_to_numpy(values[1] if first else values[0]), "float64")
    channels, rank = inputs[0].shape[-1], len(inputs[0].shape)
    if constant.ndim > rank or (constant.size > 1 and (constant.size != channels or constant.shape[-1] != channels)):
        return None
    # Factor and summand of `x ∘ constant`, and of `constant ∘ x`.
    table: dict[tuple[str, bool], tuple[Any, Any]] = {
        ("Add", True): (1.0, constant),
        ("Add", False): (1.0, constant),
        ("Subtract", True): (1.0, -constant),
        ("Subtract", False): (-1.0, constant),
        ("Multiply", True): (constant, 0.0),
        ("Multiply", False): (constant, 0.0),
    }
    if kind in ("Divide", "TrueDivide") and first and np.all(constant):
        return _affine(low, node, inputs[0], 1 / constant, 0.0)
    if (kind, first) not in table:
        return None
    scale, offset = table[kind, first]
    return _affine(low, node, inputs[0], scale, offset)


def _from_negative(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    return _affine(low, node, inputs[0], -1.0, 0.0)


def _from_concatenate(low: Lowering, node: Node, inputs: list[Tensor]) -> Tensor:
    return low.add(node, inputs, "", lambda name: layers.Concatenate(node.layer.axis, name=name))


Rule = Callable[[Lowering, Node, list[Tensor]], "Tensor | None"]

RULES: dict[type, Rule] = {
    layers.Activation: _from_activation,
    layers.Conv2D: _from_kernel,
    layers.Conv2DTranspose: _from_kernel,
    layers.DepthwiseConv2D: _from_kernel,
    layers.Dense: _from_kernel,
    layers.SeparableConv2D: _from_separable,
    layers.Normalization: _from_normalization,
    layers.Rescaling: _from_rescaling,
    layers.Average: _from_average,
    layers.Add: _from_merge,
    layers.Multiply: _from_merge,
}
"""What stands for each kind of layer; None of a rule leaves the layer as it is."""

RULES_OF_HIDDEN: dict[str, Rule] = {"LayerScale": _from_layer_scale, "StochasticDepth": _from_stochastic_depth}
"""As `RULES`, of layers of `keras.applications` that Keras does not export, by the name of their class."""

RULES_OF_OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Divide", "TrueDivide"), _from_operator),
    "Negative": _from_negative,
    "Concatenate": _from_concatenate,
    "Relu": _from_operation(activations.relu),
    "Relu6": _from_operation(activations.relu6),
    "Sigmoid": _from_operation(activations.sigmoid),
    "Tanh": _from_operation(activations.tanh),
    "Silu": _from_operation(activations.silu),
    "HardSilu": _from_operation(activations.hard_silu),
    "HardSigmoid": _from_operation(activations.hard_sigmoid),
}
"""As `RULES`, of operations of `keras.ops`, by the name of their class."""
