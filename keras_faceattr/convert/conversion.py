"""From a Keras model to the bytes of a `.tflite` file: fixed batch, builtin operations, named inputs and outputs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_faceattr.backend import silent_native_output
from keras_faceattr.errors import ModelError

SIGNATURE = "serving_default"
INPUT = "image"
OPERATIONS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS,
    "int16": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
"""Operations that a file may have, by the type of its activations."""


def convert(
    model: keras.Model,
    *,
    batch: int = 1,
    weights: str = "float32",
    activations: str = "int8",
    integer_input: bool = False,
    integer_output: bool = False,
    representative: Iterable[np.ndarray] | None = None,
    names: Sequence[str] = (INPUT,),
) -> bytes:
    """Converts a functional model with outputs by name.

    Args:
        batch: fixed size of the batch.
        weights: `float32`, `float16`, or `int8`: what the optimising converter stores; in a model with fake
            quantization or with `representative` photos, `int8` makes the operations integer. `int4` stores each
            kernel in the bits that its fake quantization has.
        activations: `int8` or `int16`, of the converter's own quantization with `representative` photos.
        integer_input: uint8 in, instead of float32.
        integer_output: uint8 out, instead of float32.
        representative: inputs (1, side, side, 3) from which the converter's own calibration takes ranges.
        names: of the inputs in the file.

    Raises:
        ModelError: an operation is no builtin of LiteRT; it is named.
    """
    signature = _frozen(model, batch, names)
    # The converter prints a hundred lines to both streams, whatever the log level.
    with tempfile.TemporaryDirectory() as folder, silent_native_output(stdout=True):
        module = tf.Module()
        module.signature = signature
        tf.saved_model.save(module, folder, signatures={SIGNATURE: signature})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _configure(converter, weights, activations, integer_input, integer_output, representative)
        try:
            return bytes(converter.convert())
        except ConverterError as error:
            raise ModelError(_reason(str(error), model)) from None


def _frozen(model: keras.Model, batch: int, names: Sequence[str]) -> Any:
    """A function of constants: the converter recognises ranges of fake quantization only as such."""
    specifications = [
        tf.TensorSpec((batch, *tensor.shape[1:]), tf.float32, name=name)
        for tensor, name in zip(model.inputs, names, strict=True)
    ]
    one = len(names) == 1
    concrete = tf.function(
        lambda *values: model(values[0] if one else list(values), training=False), input_signature=specifications
    )
    concrete = concrete.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    # TensorFlow flattens a mapping by sorted key, in whatever order the model has its outputs.
    outputs = sorted(concrete.structured_outputs)

    def signature(*values: Any) -> dict[str, Any]:
        given = dict(zip((tensor.name for tensor in frozen.inputs), values, strict=True))
        found = tf.graph_util.import_graph_def(graph, given, [output.name for output in frozen.outputs], name="")
        return dict(zip(outputs, found, strict=True))

    return tf.function(signature, input_signature=specifications)


def _configure(
    converter: Any,
    weights: str,
    activations: str,
    integer_input: bool,
    integer_output: bool,
    representative: Iterable[np.ndarray] | None,
) -> None:
    converter.target_spec.supported_ops = [OPERATIONS[activations]]
    # Else the converter takes every fake quantization for one of 8 bits. Its makers gave this switch no public name.
    converter._experimental_low_bit_qat = weights == "int4"
    if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if representative is not None:
        converter.representative_dataset = _dataset(representative)
    converter.inference_input_type = tf.uint8 if integer_input else tf.float32
    converter.inference_output_type = tf.uint8 if integer_output else tf.float32


def _dataset(images: Iterable[np.ndarray]) -> Callable[[], Iterable[list[np.ndarray]]]:
    return lambda: ([image] for image in images)


def _reason(message: str, model: keras.Model) -> str:
    """What the converter could not do, and in which layers, in one line."""
    operations = sorted(set(re.findall(r"\bFlex(\w+)|'(?:tf|tfl)\.(\w+)' op", message)))
    names = ", ".join(name for pair in operations for name in pair if name)
    layers = [layer.name for layer in model.layers if re.search(rf"[/\"]{re.escape(layer.name)}(_\d+)?/", message)]
    where = f" in layer {', '.join(layers)}" if layers else ""
    return f"cannot be converted{where}: {names or message.strip().splitlines()[-1][:200]} is no builtin of LiteRT"
