"""A quantized Keras model as an int8 `.tflite` file, inspected and compared with the model."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_faceattr.artifact.cost import custom_ops, float_ops, integer_share, layers_of
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.artifact.signature import FileRunner
from keras_faceattr.convert.conversion import INPUT, convert
from keras_faceattr.errors import ArtifactError, ConfigError, ModelError
from keras_faceattr.quantization.any_model import photos_of, plan_of
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.graph import Graph, read_graph
from keras_faceattr.quantization.layers import FakeQuantize
from keras_faceattr.quantization.quantize import PIXELS, is_border, range_name
from keras_faceattr.storage import replacing

MOST_COMPARED = 64
"""Photos on which file and model are compared, unless photos are given."""

LEAST_DECIBELS = 12.0
"""Signal-to-noise ratio below which an output of the file is another function than the model's."""

MARGIN_DECIBELS = 6.0
"""And even then it may be a net that enlarges every rounding, as untrained ones do: it is another function if it is
further off by this than the model itself when each pixel moves by up to a grey level."""

STEPS = 4
"""And it is not, if no value is further off than this many steps of an integer output."""


@dataclass(frozen=True)
class OutputAgreement:
    """How near an output of the file is to the quantized model's.

    Attributes:
        snr_db: power of the model's output by that of the difference, in dB.
        largest: largest difference.
        top1: share of photos with the same largest value in the last axis; None for one value.
    """

    snr_db: float
    largest: float
    top1: float | None


@dataclass(frozen=True)
class Converted:
    """A file that `to_tflite` wrote.

    Attributes:
        path: of the file.
        file_bytes: its size.
        operations: number of them.
        integer_share: share of the multiply-adds that are integer, 0 to 1, counted in the file.
        photos: on how many it was compared.
        outputs: agreement with the quantized model, by output.
    """

    path: Path
    file_bytes: int
    operations: int
    integer_share: float
    photos: int
    outputs: dict[str, OutputAgreement]


def to_tflite(quantized: keras.Model, path: str | Path, photos: Any = None) -> Converted:
    """Writes the int8 file of a quantized model, after inspecting it and comparing it with the model.

    An input of pixels is uint8 in the file; any other is float32, as are the outputs. Its input is called `image`;
    several keep their names. The model's biases are rounded to what the file can hold, multiples of the scales of input
    and kernel, so that both compute the same.

    Args:
        quantized: of `quantize`, trained or not, or loaded from a file.
        path: of the `.tflite` file; it is written whole or not at all.
        photos: to compare on; default: those that the model was calibrated with.

    Raises:
        ModelError: the model is not quantized, or an operation is no builtin of LiteRT.
        DataError: the model was loaded and no photos are given, or they do not fit.
        ArtifactError: an integer layer computes in floats in the file, or the file differs from the model.
        ConfigError: the backend cannot convert.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(f"the converter is TensorFlow's: run without KERAS_BACKEND={keras.backend.backend()}")
    floats = plan_of(quantized)
    shown = photos_of(quantized, photos)
    if photos is None:
        shown = [values[:MOST_COMPARED] for values in shown]
    path = Path(path)
    graph = read_graph(quantized)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "model.tflite"
        temporary.write_bytes(_converted(quantized, graph))
        file = read_tflite(temporary)
        _inspect(file, graph, floats)
        outputs = _compare(quantized, graph, temporary, shown)
        content = temporary.read_bytes()
    with replacing(path) as target:
        target.write_bytes(content)
    return Converted(path, len(content), len(file.ops), integer_share(file), len(shown[0]), outputs)


def _converted(quantized: keras.Model, graph: Graph) -> bytes:
    """The bytes of the file; pixels are normalised by the scale of its integer input."""
    tensors = [quantized.get_layer(range_name(name)).input for name in graph.inputs]
    pixels = _pixels(quantized, graph)
    outputs = {name: graph.nodes[node].output for name, node in graph.outputs.items()}
    body = keras.Model(tensors if pixels else quantized.inputs, outputs, name=graph.name)
    round_biases(quantized)
    try:
        with _marked(quantized):
            return convert(body, weights="int8", integer_input=pixels, names=_input_names(graph))
    except ModelError as error:
        raise ModelError(re.sub(rf"{re.escape(MARK)}(?=[,:])", "", str(error))) from None


def _input_names(graph: Graph) -> list[str]:
    """Names of the inputs in the file."""
    return [INPUT] if len(graph.inputs) == 1 else list(graph.inputs)


MARK = "."
"""Behind a layer's name: Keras numbers the scopes of layers, and `relu._1` is `relu`, while `relu_1` may be another."""


@contextmanager
def _marked(model: keras.Model) -> Iterator[None]:
    """Layers under names by which the operations of the file can be told apart."""
    names = {id(layer): layer.name for layer in model.layers}
    try:
        for layer in model.layers:
            layer.name += MARK
        yield
    finally:
        for layer in model.layers:
            layer.name = names[id(layer)]


def _pixels(quantized: keras.Model, graph: Graph) -> bool:
    """Whether every input is one of pixels, so that a grey level is a step of the integers."""
    found = []
    for name in graph.inputs:
        layer = quantized.get_layer(range_name(name))
        source = layer.input._keras_history.operation
        low, high = layer.limits()
        if isinstance(source, keras.layers.Rescaling):
            low, high = ((limit - source.offset) / source.scale for limit in (low, high))
        found.append(len(layer.input.shape) == 4 and abs(high - low - PIXELS[1]) < 1e-3 and abs(low) < 1)
    return all(found)


def _inspect(file: TFLiteFile, graph: Graph, floats: dict[str, str]) -> None:
    if found := custom_ops(file):
        raise ArtifactError(f"{found[0].kind} is no builtin operation of LiteRT: keep the layer out of the model")
    meant = {*floats, *(node.name for node in graph.nodes.values() if is_border(node.layer))}
    marked = {node.layer.name + MARK for node in graph.nodes.values() if not isinstance(node.layer, FakeQuantize)}
    for op in float_ops(file):
        layers = [name.removesuffix(MARK) for name in layers_of(file, op, marked)]
        unmeant = [name for name in layers if name not in meant]
        if unmeant and meant.isdisjoint(layers):
            raise ArtifactError(
                f"layer {', '.join(unmeant)} computes in floats in the file ({op.kind}), against the plan: name it in "
                "keep_float if that is all right"
            )


def _compare(quantized: keras.Model, graph: Graph, path: Path, photos: list[np.ndarray]) -> dict[str, OutputAgreement]:
    runner = FileRunner(path, threads=1)
    got = runner.predict(dict(zip(_input_names(graph), photos, strict=True)))
    named = keras.Model(quantized.inputs, {n: graph.nodes[node].output for n, node in graph.outputs.items()})
    fake, moved = _outputs(named, photos), None
    found = {}
    for name, values in fake.items():
        found[name] = near = agreement(values, got[name])
        if near.snr_db >= LEAST_DECIBELS or near.largest <= STEPS * _step(graph, name):
            continue
        moved = moved or _outputs(named, [_moved(array) for array in photos])
        if near.snr_db < (least := min(LEAST_DECIBELS, agreement(values, moved[name]).snr_db - MARGIN_DECIBELS)):
            raise ArtifactError(
                f"output {name!r} of the file is not that of the quantized model: {near.snr_db:.1f} dB signal-to-noise "
                f"of at least {least:.1f}, largest difference {near.largest:.3g}: fit the model for longer or "
                "calibrate with more photos"
            )
    return found


def _outputs(model: keras.Model, photos: list[np.ndarray]) -> dict[str, np.ndarray]:
    found = model.predict(photos if len(photos) > 1 else photos[0], batch_size=8, verbose=0)
    return {name: np.asarray(values) for name, values in found.items()}


def _moved(values: np.ndarray) -> np.ndarray:
    """Values of which each has moved by up to a step of 8 bits."""
    step = (float(values.max()) - float(values.min())) / 255
    noise = np.random.default_rng(0).uniform(-step, step, values.shape)
    return np.clip(values + noise, values.min(), values.max()).astype("float32")


def _step(graph: Graph, output: str) -> float:
    """Step of an integer output; 0 for one in floats."""
    layer = graph.nodes[graph.outputs[output]].layer
    if not isinstance(layer, FakeQuantize):
        return 0.0
    low, high = layer.limits()
    return (high - low) / 255


def agreement(expected: np.ndarray, got: np.ndarray) -> OutputAgreement:
    """How near values are to those that were expected."""
    expected, got = expected.astype("float64"), got.reshape(expected.shape).astype("float64")
    noise, signal = float(np.sum((got - expected) ** 2)), float(np.sum(expected**2))
    decibels = float("inf") if noise == 0 else 10 * float(np.log10(max(signal, 1e-30) / noise))
    several = expected.ndim > 1 and expected.shape[-1] > 1
    top1 = float(np.mean(got.argmax(-1) == expected.argmax(-1))) if several else None
    return OutputAgreement(decibels, float(np.abs(got - expected).max()), top1)
