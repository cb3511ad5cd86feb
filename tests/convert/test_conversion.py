"""Conversion: fixed batch, builtin operations, named inputs and outputs, weights as asked, and silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_faceattr.artifact.cost import custom_ops, op_counts
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.convert.conversion import convert
from keras_faceattr.errors import ModelError

SIDE = 16
# Neither in alphabetical order nor of one width, so that mixed up outputs show.
WIDTHS = {"smile": 1, "age": 5, "beauty": 3}


class Erfinv(layers.Layer):
    """An operation that LiteRT does not have."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.erfinv(keras.ops.tanh(inputs))


class MatrixDeterminant(layers.Layer):
    """An operation that LiteRT has only with TensorFlow beside it (Flex)."""

    def call(self, inputs: Any) -> Any:
        return inputs * tf.linalg.det(inputs[..., 0])[:, None, None, None]


def net(layer: layers.Layer | None = None) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(x)
    x = layer(x) if layer else x
    # Large enough that its weights are worth storing in 8 bits: the converter leaves small ones as they are.
    x = layers.Conv2D(64, 3, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, {name: layers.Dense(n, name=f"{name}_raw")(x) for name, n in WIDTHS.items()}, name="net")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return net()


@pytest.fixture
def read(tmp_path: Path, model: keras.Model) -> Callable[..., TFLiteFile]:
    """Converts the net and reads the file's own bytes."""

    def converted(**options: Any) -> TFLiteFile:
        path = tmp_path / "net.tflite"
        path.write_bytes(convert(model, **options))
        return read_tflite(path)

    return converted


@pytest.fixture(scope="module")
def plain(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> TFLiteFile:
    """The net as it is converted by default."""
    path = tmp_path_factory.mktemp("plain") / "net.tflite"
    path.write_bytes(convert(model))
    return read_tflite(path)


def dtypes(file: TFLiteFile) -> dict[str, str]:
    """Type of each kernel."""
    kernels = [op.inputs[1] for op in file.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")]
    stored = [file.unpacked_constants.get(index, index) for index in kernels]
    return {file.tensors[index].name: file.tensors[index].dtype for index in stored}


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_is_fixed_and_inputs_and_outputs_have_their_names(
    read: Callable[..., TFLiteFile], plain: TFLiteFile, batch: int
) -> None:
    file = plain if batch == 1 else read(batch=batch)
    assert not any(tensor.is_dynamic for tensor in file.tensors)
    ((name, index),) = file.signature_inputs.items()
    assert (name, file.tensors[index].shape, file.tensors[index].dtype) == ("image", (batch, SIDE, SIDE, 3), "float32")
    shapes = {name: file.tensors[index].shape for name, index in file.signature_outputs.items()}
    assert shapes == {name: (batch, width) for name, width in WIDTHS.items()}


def test_a_float32_file_stores_float32_and_nothing_else(plain: TFLiteFile) -> None:
    assert set(dtypes(plain).values()) == {"float32"}
    assert not {"QUANTIZE", "DEQUANTIZE"} & op_counts(plain).keys()


def test_float16_and_int8_weights_are_stored_so_and_computed_in_floats(
    read: Callable[..., TFLiteFile], plain: TFLiteFile
) -> None:
    whole = plain.file_bytes
    half, byte = read(weights="float16"), read(weights="int8")
    assert set(dtypes(half).values()) == {"float16"}
    assert "int8" in dtypes(byte).values()
    assert byte.file_bytes < half.file_bytes < whole
    for file in (half, byte):
        assert {file.tensors[i].dtype for i in (*file.inputs, *file.outputs)} == {"float32"}
        convolutions = [op for op in file.ops if op.kind == "CONV_2D"]
        assert {file.tensors[op.inputs[0]].dtype for op in convolutions} == {"float32"}


@pytest.mark.parametrize("integer_output", [False, True])
def test_with_photos_the_converter_computes_in_integers(read: Callable[..., TFLiteFile], integer_output: bool) -> None:
    photos = np.random.default_rng(0).uniform(0, 255, (8, 1, SIDE, SIDE, 3)).astype("float32")
    file = read(weights="int8", representative=list(photos), integer_input=True, integer_output=integer_output)
    assert file.tensors[file.inputs[0]].dtype == "uint8"
    assert {file.tensors[i].dtype for i in file.outputs} == {"uint8" if integer_output else "float32"}
    convolutions = [op for op in file.ops if op.kind == "CONV_2D"]
    assert {file.tensors[op.inputs[0]].dtype for op in convolutions} == {"int8"}


@pytest.mark.parametrize("kind", [Erfinv, MatrixDeterminant])
def test_an_operation_that_litert_lacks_is_refused_by_its_name_and_its_layers(
    kind: type[layers.Layer], capfd: pytest.CaptureFixture[str]
) -> None:
    strange = net(kind(name="strange"))
    capfd.readouterr()
    with pytest.raises(ModelError) as error:
        convert(strange)
    assert str(error.value) == f"cannot be converted in layer strange: {kind.__name__} is no builtin of LiteRT"
    assert capfd.readouterr() == ("", "")


def test_no_custom_operation_is_ever_used(plain: TFLiteFile) -> None:
    assert custom_ops(plain) == []


def test_converting_prints_nothing_and_leaves_the_model_as_it_was(
    model: keras.Model, capfd: pytest.CaptureFixture[str]
) -> None:
    before = [weight.copy() for weight in model.get_weights()]
    capfd.readouterr()
    convert(model, weights="int8")
    assert capfd.readouterr() == ("", "")
    assert model.input_shape == (None, SIDE, SIDE, 3)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
