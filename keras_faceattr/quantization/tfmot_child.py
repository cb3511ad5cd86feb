"""The TFMOT engine itself: `python -m keras_faceattr.quantization.tfmot_child FOLDER`, started by `tfmot`.

The only module that imports `tf_keras` and `tensorflow_model_optimization`. It rebuilds the folded net in `tf_keras`
up to the raw outputs of the heads; what decodes them stays as it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from keras import activations, layers

from keras_faceattr.config import Experiment
from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.native import batches, draw
from keras_faceattr.data.mixing import source_weights
from keras_faceattr.data.pipeline import batch_feed, readable_photos
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.errors import DataError, ModelError, TrainingError
from keras_faceattr.evaluation.predictions import Outputs, keras_predictor, predict_split
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.network import Network
from keras_faceattr.quantization import tfmot as tfmot_files
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.fine_tune import is_worse
from keras_faceattr.quantization.graph import Graph, Node, Tensor, read_graph
from keras_faceattr.quantization.plan import Plan, is_relu
from keras_faceattr.quantization.quantize import IMAGE_RANGE, QuantizedNetwork, quantize_network
from keras_faceattr.run import Run
from keras_faceattr.storage import write_json
from keras_faceattr.training.callbacks import validation_score
from keras_faceattr.training.loop import make_losses
from keras_faceattr.training.optimizer import make_schedule

PACKAGES = ("tensorflow", "tf_keras", "tensorflow-model-optimization")

Say = Callable[[str], None]
Step = Callable[[int, Tensor, dict[str, Tensor], dict[str, Tensor]], float]
"""(number of the step, images, labels, weights of the photos) → loss."""

_POOLING = ("pool_size", "strides", "padding")
_CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias")

ARGUMENTS: dict[type, tuple[str, ...]] = {
    layers.Conv2D: ("filters", "groups", *_CONVOLUTION),
    layers.DepthwiseConv2D: ("depth_multiplier", *_CONVOLUTION),
    layers.Dense: ("units", "use_bias"),
    layers.Activation: ("activation",),
    layers.Softmax: ("axis",),
    layers.MaxPooling2D: _POOLING,
    layers.AveragePooling2D: _POOLING,
    layers.GlobalAveragePooling2D: ("keepdims",),
    layers.GlobalMaxPooling2D: ("keepdims",),
    layers.Add: (),
    layers.Multiply: (),
    layers.Rescaling: ("scale", "offset"),
    layers.UnitNormalization: ("axis",),
    layers.Concatenate: ("axis",),
    layers.Flatten: (),
    layers.Reshape: ("target_shape",),
    layers.ZeroPadding2D: ("padding",),
    layers.Dropout: ("rate", "seed"),
}
"""Layers that `tf_keras` has under the same name, with the arguments that make the same function."""


KERNELS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


class Rounded(tfmot.quantization.keras.QuantizeConfig):  # type: ignore[misc]
    """Says what to round of a layer for which TFMOT has no rule, or a wrong one.

    Args:
        kernel: name of the attribute to round per channel, if any.
        output: whether the output is rounded; its range follows the batches as TFMOT's own.
    """

    def __init__(self, kernel: str | None = None, output: bool = True) -> None:
        self.kernel, self.output = kernel, output

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """The kernel, per channel, symmetric, narrow range."""
        quantizer = tfmot.quantization.keras.quantizers.LastValueQuantizer(
            num_bits=8, per_axis=True, symmetric=True, narrow_range=True
        )
        return [(getattr(layer, self.kernel), quantizer)] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Puts the rounded kernel into the layer."""
        for value in quantize_weights:
            setattr(layer, str(self.kernel), value)

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """There are none."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """One for the whole tensor."""
        quantizer = tfmot.quantization.keras.quantizers.MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )
        return [quantizer] if self.output else []

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "output": self.output}


class OwnReLU(tf_keras.layers.ReLU):  # type: ignore[misc]
    """A ReLU that TFMOT does not take for one: behind a layer with a kernel it would leave that kernel in float."""


class Rebuilding:
    """Builds a folded net in `tf_keras`, behind the normalisation of its pixels and up to its raw outputs.

    Args:
        graph: of the folded net.
        plan: of the native engine.

    Attributes:
        range_names: node from which the native engine's plan takes the range of a layer's output.
    """

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.weights: dict[str, list[np.ndarray]] = {}
        self.range_names: dict[str, str] = {}

    def build(self, tasks: list[str]) -> tf_keras.Model:
        """A model with a list of raw outputs, in the order of the tasks; TFMOT's annotations are in it.

        Raises:
            ModelError: `tf_keras` has no form of a layer here; it is named.
        """
        raw = [f"{task}_raw" for task in tasks]
        wanted = self._needed(raw)
        image = tf_keras.Input(self.graph.input.layer.batch_shape[1:], name=self.graph.input.name)
        tensors = {self.graph.input.name: image}
        for node in self.graph.nodes.values():
            if node.inputs and node.name in wanted:
                tensors[node.name] = self._make(node, [tensors[name] for name in node.inputs])
        model = tf_keras.Model(image, [tensors[name] for name in raw])
        for name, values in self.weights.items():
            _layer(model, name).set_weights(values)
        return model

    def _needed(self, nodes: list[str]) -> set[str]:
        found, stack = set(nodes), list(nodes)
        while stack:
            sources = set(self.graph.nodes[stack.pop()].inputs) - found
            found |= sources
            stack += sources
        return found

    def _make(self, node: Node, inputs: list[Tensor]) -> Tensor:
        layer = node.layer
        if isinstance(layer, layers.Rescaling) and node.inputs == (self.graph.input.name,):
            return inputs[0]
        if is_relu(node):
            return self._relu(node, inputs)
        if type(layer) not in ARGUMENTS:
            raise ModelError(
                f"layer {node.name!r} ({type(layer).__name__}) has no form in engine tfmot; use engine native"
            )
        if isinstance(layer, KERNELS):
            return self._with_kernel(node, inputs)
        # What is not in its registry TFMOT leaves alone, if nothing is rounded between it and its ReLU.
        unknown = isinstance(layer, layers.Multiply | layers.Rescaling)
        own = Rounded(output=node.name in self.plan.ranges) if unknown else None
        return self._call(node, _made(node), inputs, rounded=own)

    def _relu(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """A ReLU, if it is not already in the layer before."""
        source = self.graph.nodes[node.inputs[0]]
        if self._relu_behind(source) is node:
            return inputs[0]
        limit = _limit(node.layer)
        if isinstance(source.layer, layers.Add) and source.name not in self.plan.ranges:
            return self._call(node, tf_keras.layers.ReLU(limit, name=node.name), inputs)
        return self._call(node, OwnReLU(limit, name=node.name), inputs, rounded=Rounded())

    def _with_kernel(self, node: Node, inputs: list[Tensor]) -> Tensor:
        """A layer with a kernel, and its ReLU."""
        self.weights[node.name] = node.layer.get_weights()
        relu = self._relu_behind(node)
        if relu is None:
            return self._call(node, _made(node, activation=node.layer.get_config()["activation"]), inputs)
        if _limit(relu.layer) is None:
            return self._call(node, _made(node, activation="relu"), inputs, relu.name)
        # TFMOT knows no ReLU6 as an activation.
        if isinstance(node.layer, layers.Dense):
            raise ModelError(f"layer {relu.name!r}: engine tfmot has no ReLU6 behind a dense layer; use engine native")
        kernel = "depthwise_kernel" if isinstance(node.layer, layers.DepthwiseConv2D) else "kernel"
        output = self._call(node, _made(node), inputs, rounded=Rounded(kernel, output=False))
        clipped = OwnReLU(_limit(relu.layer), name=f"{node.name}_activation")
        return self._call(node, clipped, [output], relu.name, Rounded())

    def _relu_behind(self, node: Node) -> Node | None:
        """The node with the ReLU that a layer with a kernel computes together with it."""
        if not isinstance(node.layer, KERNELS) or node.name in self.plan.float_nodes:
            return None
        if node.layer.activation is not activations.linear:
            return node
        # The plan rounds the output of every such layer, unless a ReLU is all that reads it.
        return None if node.name in self.plan.ranges else self.graph.nodes[self.graph.consumers()[node.name][0]]

    def _call(
        self,
        node: Node,
        layer: Any,
        inputs: list[Tensor],
        range_name: str | None = None,
        rounded: Rounded | None = None,
    ) -> Tensor:
        self.range_names[layer.name] = range_name or node.name
        if node.name not in self.plan.float_nodes:
            layer = tfmot.quantization.keras.quantize_annotate_layer(layer, rounded)
        return layer(inputs if len(inputs) > 1 else inputs[0])


def _made(node: Node, **changes: Any) -> Any:
    """The `tf_keras` layer of a node."""
    config = node.layer.get_config()
    arguments = {name: config[name] for name in ARGUMENTS[type(node.layer)]}
    return getattr(tf_keras.layers, type(node.layer).__name__)(name=node.name, **arguments, **changes)


def _limit(layer: Any) -> float | None:
    """Where the ReLU of a layer ends."""
    if isinstance(layer, layers.ReLU):
        return None if layer.max_value is None else float(layer.max_value)
    return 6.0 if layer.activation is activations.relu6 else None


def _layer(model: tf_keras.Model, name: str) -> Any:
    """A layer without TFMOT's annotation around it."""
    return next(inner for layer in model.layers if (inner := getattr(layer, "layer", layer)).name == name)


class TfmotModel:
    """The fake-quantized body with its heads, with those methods of a Keras model that our code calls.

    Args:
        body: of normalised pixels, with a list of raw outputs by task.
        graph: of the folded net, whose decoding follows.
        image_range: smallest and largest normalised pixel.

    Attributes:
        inputs: as of a Keras model.
        layers: as of a Keras model.
    """

    def __init__(self, body: tf_keras.Model, graph: Graph, tasks: list[str], image_range: tuple[float, float]) -> None:
        self.body, self.graph, self.tasks = body, graph, tasks
        self.low, self.high = image_range
        self.inputs, self.layers = body.inputs, body.layers
        self._predict = tf.function(lambda pixels: self(self.normalise(pixels)), reduce_retracing=True)

    def raw(self, normalised: Tensor, training: bool) -> dict[str, Tensor]:
        """Raw outputs by task."""
        return dict(zip(self.tasks, tf.nest.flatten(self.body(normalised, training=training)), strict=True))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels as the file's integer input stands for them; the clipping holds TFMOT's range of the input."""
        scale = (self.high - self.low) / 255
        return tf.clip_by_value(tf.cast(pixels, tf.float32) * scale + self.low, self.low, self.high)

    def __call__(self, normalised: Tensor, training: bool = False) -> dict[str, Tensor]:
        values = {f"{task}_raw": value for task, value in self.raw(normalised, training).items()}
        for node in self.graph.nodes.values():
            if node.name not in values and node.inputs and all(name in values for name in node.inputs):
                values[node.name] = node.call(node.layer, [values[name] for name in node.inputs])
        return {name: values[node] for name, node in self.graph.outputs.items()}

    def predict_on_batch(self, pixels: np.ndarray) -> Outputs:
        """Outputs for (batch, side, side, 3) pixels from 0 to 255."""
        return {name: value.numpy() for name, value in self._predict(tf.convert_to_tensor(pixels)).items()}


def build(folded: keras.Model, tasks: list[str], native: QuantizedNetwork) -> tuple[TfmotModel, dict[str, str]]:
    """The net with TFMOT's quantization, its ranges not set, and the native name of each layer's range."""
    graph = read_graph(folded)
    rebuilding = Rebuilding(graph, native.plan)
    with tfmot.quantization.keras.quantize_scope({"Rounded": Rounded, "OwnReLU": OwnReLU}):
        annotated = rebuilding.build(tasks)
        body = tfmot.quantization.keras.quantize_apply(annotated, quantized_layer_name_prefix="")
    ranges = native.plan.ranges
    names = {layer: ranges[node] for layer, node in rebuilding.range_names.items() if node in ranges}
    names |= {layer.name: IMAGE_RANGE for layer in body.layers if type(layer).__name__ == "QuantizeLayer"}
    return TfmotModel(body, graph, tasks, native.ranges()[IMAGE_RANGE].limits()), names


def start_ranges(model: TfmotModel, native: QuantizedNetwork, names: dict[str, str], batches: list[np.ndarray]) -> None:
    """Takes the calibrated ranges of the native engine, then lets TFMOT see the photos.

    TFMOT's own averages start at ±6 and keep 99.9 % in every batch: from some ten batches alone they learn nothing.
    The pass over the photos sets the ranges of the kernels, which follow the weights whenever the net trains.
    """
    ranges = native.ranges()
    for layer in model.body.layers:
        limits = _activation_limits(layer)
        if limits and layer.name not in names:
            raise ModelError(
                f"layer {layer.name!r}: engine tfmot rounds it, the native engine does not; use engine native"
            )
        if limits:
            for variable, value in zip(limits, ranges[names[layer.name]].limits(), strict=True):
                variable.assign(value)
    for batch in batches:
        model.raw(model.normalise(batch), training=True)


def _activation_limits(layer: Any) -> tuple[Any, Any] | None:
    """Variables of the minimum and the maximum of what a layer rounds; None where it rounds no activation."""
    variables = {variable.name.split("/")[-1].split(":")[0]: variable for variable in layer.weights}
    for name, variable in variables.items():
        stem, _, end = name.rpartition("_")
        if end == "min" and stem not in ("kernel", "depthwise_kernel"):
            return variable, variables[f"{stem}_max"]
    return None


def fine_tune(experiment: Experiment, data: PreparedData, model: TfmotModel, say: Say) -> list[dict[str, Any]]:
    """Trains as the native engine does, and leaves the weights of the last epoch, or those from before if it is worse.

    Returns:
        A row for each epoch.

    Raises:
        TrainingError: the loss is not a number.
    """
    network, rows = Network(model.body, model), []
    feed = batch_feed(experiment, data.parts["train"], data.tasks)
    step = training_step(experiment, data, model, feed.plan.steps)
    before: dict[str, Any] = {}
    validation_score(experiment, data, network, before)
    calibrated = model.body.get_weights()
    for epoch in range(experiment.training.epochs):
        with readable_photos():
            losses = [
                step(epoch * feed.plan.steps + n, *batch) for n, batch in enumerate(feed.batches(epoch, epoch + 1))
            ]
        if not np.isfinite(losses).all():
            raise TrainingError(
                f"engine tfmot: the loss is no number in epoch {epoch + 1}; lower the learning rate of the recipe's "
                "fine-tuning"
            )
        rows.append({"epoch": epoch + 1, "loss": float(np.mean(losses))})
        validation_score(experiment, data, network, rows[-1])
        say(f"epoch {epoch + 1}/{experiment.training.epochs}: loss {rows[-1]['loss']:.4f}")
    if any(is_worse(task, before, rows[-1]) for task in data.tasks.values()):
        model.body.set_weights(calibrated)
        say("engine tfmot: fine-tuning made a task worse; keeping the weights from before")
    return rows


def training_step(experiment: Experiment, data: PreparedData, model: TfmotModel, steps_per_epoch: int) -> Step:
    """One batch: our losses and weights, with the optimizer and the learning rates of the experiment."""
    losses = make_losses(experiment, data.tasks, data.forms)
    weights = {name: experiment.tasks[name].weight for name in losses}
    schedule = make_schedule(experiment.training, steps_per_epoch)
    optimizer = _optimizer(experiment)
    variables = model.body.trainable_variables
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def compute(images: Tensor, labels: dict[str, Tensor], photo_weights: dict[str, Tensor]) -> Tensor:
        with tf.GradientTape() as tape:
            raw = model.raw(model.normalise(images), training=True)
            loss = tf.add_n([weights[n] * losses[n](labels[n], raw[n], photo_weights[n]) for n in losses])
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def step(number: int, images: Tensor, labels: dict[str, Tensor], photo_weights: dict[str, Tensor]) -> float:
        optimizer.learning_rate.assign(schedule(number) if callable(schedule) else schedule)
        return float(compute(images, labels, photo_weights))

    return step


def _optimizer(experiment: Experiment) -> Any:
    """As `training.optimizer.make_optimizer`, of `tf_keras`; the rate is set before each step."""
    config = experiment.training.optimizer
    arguments: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "beta_1": config.beta_1,
        "beta_2": config.beta_2,
        "epsilon": config.epsilon,
        "global_clipnorm": config.clip_norm,
        "jit_compile": False,
    }
    if config.name == "adamw":
        optimizer = tf_keras.optimizers.AdamW(weight_decay=config.weight_decay, **arguments)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer
    return tf_keras.optimizers.Adam(**arguments)


def run_job(folder: Path, say: Say) -> None:
    """Reads what the parent left in a folder, does all of it, and writes three files there.

    Raises:
        FaceAttrError: whatever the user can fix.
    """
    run, job = Run(folder / tfmot_files.RUN), json.loads((folder / tfmot_files.JOB).read_text())
    experiment, tasks = run.experiment(), list(run.tasks())
    folded = load_model(folder / tfmot_files.MODEL)
    native = quantize_network(folded, tasks)
    keras.utils.set_random_seed(experiment.seed)
    model, names = build(folded, tasks, native)
    data = prepare(experiment, ("train", "val", "test"), trained=run.tasks())
    if "test" not in data.parts:
        raise DataError("no test photos to compare the engines on")
    weights = source_weights(experiment.data.sources)
    shown = batches(draw(data.parts["train"], job["photos"], experiment.seed, weights))
    say(f"engine tfmot: calibrating on {sum(map(len, shown))} photos")
    calibrate(native, folded, shown, job["observer"])
    start_ranges(model, native, names, shown)
    say(f"engine tfmot: fine-tuning for {experiment.training.epochs} epochs")
    epochs = fine_tune(experiment, data, model, say)
    say("engine tfmot: converting")
    (folder / tfmot_files.TFLITE).write_bytes(convert(model, weights="int8", integer_input=True))
    outputs: dict[str, Any] = dict(predict_split(keras_predictor(model), data.parts["test"]))
    np.savez(folder / tfmot_files.OUTPUTS, **outputs)
    versions = {package: metadata.version(package) for package in PACKAGES}
    write_json(folder / tfmot_files.RESULT, {"epochs": epochs, "versions": versions})


if __name__ == "__main__":
    # Only lines of progress go to stdout.
    progress = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    run_job(Path(sys.argv[1]), lambda line: print(line, file=progress))
