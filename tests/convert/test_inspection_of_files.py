"""Inspection of a converted file: what a phone cannot run, or would compute in floats, is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_faceattr.artifact.cost import integer_share
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.convert.conversion import convert
from keras_faceattr.convert.inspection import check_operations
from keras_faceattr.convert.source import Source
from keras_faceattr.errors import ArtifactError
from keras_faceattr.models.layers import normalise
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.plan import make_plan
from keras_faceattr.quantization.quantize import quantize_network


class MatrixDeterminant(layers.Layer):
    """An operation that LiteRT has only with TensorFlow beside it."""

    def call(self, inputs: Any) -> Any:
        return inputs * tf.linalg.det(inputs[..., 0])[:, None, None, None]


def refused(file: TFLiteFile, names: list[str], float_layers: list[str] | None) -> str:
    with pytest.raises(ArtifactError) as error:
        check_operations(file, names, float_layers)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def names(source: Source) -> list[str]:
    return [layer.name for layer in source.folded.layers]


def test_what_was_exported_passes(exported: dict[str, Artifact], source: Source, names: list[str]) -> None:
    head = make_plan(read_graph(source.folded)).float_nodes
    for recipe, float_layers in (("float32", None), ("int8_qat", head), ("int8_full", frozenset())):
        check_operations(read_tflite(exported[recipe].path), names, float_layers)


def test_floats_inside_the_integer_graph_are_refused_with_their_layers(
    exported: dict[str, Artifact], names: list[str]
) -> None:
    line = refused(read_tflite(exported["int8_qat"].path), names, [])
    assert line.startswith("floats inside the integer graph: ")
    assert "FULLY_CONNECTED (age_raw)" in line
    line = refused(read_tflite(exported["float32"].path), names, ["age_raw"])
    assert "CONV_2D (" in line and "age_raw" not in line and line.endswith(" …")


def test_an_operation_of_no_known_layer_is_refused_too(exported: dict[str, Artifact]) -> None:
    assert "layer not known" in refused(read_tflite(exported["float32"].path), [], ["conv"])


def test_a_flex_operation_is_refused_with_its_layer(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    x = MatrixDeterminant(name="strange")(layers.Conv2D(2, 3, name="conv")(image))
    model = keras.Model(image, {"out": layers.GlobalAveragePooling2D(name="pool")(x)})
    function = tf.function(lambda image: model(image), input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (tmp_path / "flex.tflite").write_bytes(converter.convert())
    line = refused(read_tflite(tmp_path / "flex.tflite"), [layer.name for layer in model.layers], None)
    assert line == "no builtin operations of LiteRT: FlexMatrixDeterminant (strange)"


def test_a_batch_that_is_not_fixed_is_refused(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, {"out": layers.GlobalAveragePooling2D(name="pool")(image)})
    (tmp_path / "dynamic.tflite").write_bytes(convert(model, batch=None))  # type: ignore[arg-type]
    assert "shapes that are not fixed: " in refused(read_tflite(tmp_path / "dynamic.tflite"), ["pool"], None)


def test_heads_that_were_to_stay_in_float_and_are_integer_are_refused(
    exported: dict[str, Artifact], source: Source, names: list[str]
) -> None:
    head = make_plan(read_graph(source.folded)).float_nodes
    check_operations(read_tflite(exported["int8_qat"].path), names, head, exact_layers=head)
    with pytest.raises(
        ArtifactError, match=r"^integers inside layers that are to stay in float: .*SOFTMAX \(age_distribution\)"
    ):
        check_operations(read_tflite(exported["int8_full"].path), names, head, exact_layers=head)


def small_net() -> keras.Model:
    """Two convolutions, a depthwise one between them, and a head."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.ReLU(name="first_relu")(layers.Conv2D(8, 3, padding="same", name="first")(normalise(image)))
    x = layers.ReLU(name="second_relu")(layers.DepthwiseConv2D(3, padding="same", name="second")(x))
    x = layers.Add(name="sum")([x, layers.Conv2D(8, 3, padding="same", name="third")(x)])
    raw = layers.Dense(5, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(x))
    return keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net")


PHOTOS = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype("float32")


def types(file: TFLiteFile, kind: str) -> list[list[str]]:
    """Types of the inputs and of the output of each operation of a kind."""
    ops = [op for op in file.ops if op.kind == kind]
    return [[file.tensors[index].dtype for index in (*op.inputs, *op.outputs)] for op in ops]


def test_kernels_of_four_bits_are_those_of_convolutions_and_compute_what_the_model_computes(tmp_path: Path) -> None:
    model, path = small_net(), tmp_path / "four.tflite"
    quantized = quantize_network(model, ["t"], kernel_bits=4)
    calibrate(quantized, model, [PHOTOS])
    round_biases(quantized.network.inference)
    path.write_bytes(convert(quantized.body, weights="int4", integer_input=True))
    file, exact = read_tflite(path), quantized.plan.float_nodes
    check_operations(file, [layer.name for layer in model.layers], exact, exact)
    assert types(file, "CONV_2D") == [["int8", "int4", "int32", "int8"]] * 2
    assert types(file, "DEPTHWISE_CONV_2D") == [["int8", "int8", "int32", "int8"]]
    # Two weights share a byte.
    stored = [file.tensors[op.inputs[1]].constant_bytes for op in file.ops if op.kind == "CONV_2D"]
    assert stored == [3 * 3 * 3 * 8 // 2, 3 * 3 * 8 * 8 // 2]
    said = {
        name: np.asarray(net(PHOTOS)["t"]) for name, net in (("float", model), ("four", quantized.network.inference))
    }
    # LiteRT's own kernel rounds sums twice: one in 2ⁿ lies between two steps after the first, n small for large steps.
    gap = np.abs(LiteRTModel(path).predict(PHOTOS)["t"] - said["four"]).max()
    assert gap < 0.25 * np.abs(said["float"] - said["four"]).max()


def test_activations_of_sixteen_bits_are_symmetric_and_compute_what_the_model_computes(tmp_path: Path) -> None:
    model, path = small_net(), tmp_path / "wide.tflite"
    shown = [photo[None] for photo in PHOTOS]
    path.write_bytes(convert(model, weights="int8", activations="int16", representative=shown))
    file = read_tflite(path)
    check_operations(file, [layer.name for layer in model.layers], frozenset())
    assert types(file, "CONV_2D") == [["int16", "int8", "int64", "int16"]] * 2
    assert types(file, "SOFTMAX") == [["int16", "int16"]]
    assert {tensor.zero_point for tensor in file.tensors if tensor.dtype == "int16"} == {(0,)}
    # A distance that is small next to what tells the photos apart; it comes from the kernels, which have 8 bits.
    said = np.asarray(model(PHOTOS)["t"])
    assert np.abs(LiteRTModel(path).predict(PHOTOS)["t"] - said).mean() < 0.2 * said.std(axis=0).mean()


def test_a_layer_kept_in_float_inside_the_body_is_the_only_one_that_computes_in_floats(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU(name="first_relu")(layers.Conv2D(4, 3, padding="same", name="first")(normalise(image)))
    y = layers.ReLU(name="kept_relu")(layers.Conv2D(4, 3, padding="same", name="kept")(x))
    x = layers.Add(name="sum")([x, layers.Conv2D(4, 1, name="last")(y)])
    raw = layers.Dense(2, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(x))
    model = keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net")
    quantized = quantize_network(model, ["t"], keep_float=["^kept$"])
    photos = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("float32")
    calibrate(quantized, model, [photos])
    path = tmp_path / "kept.tflite"
    path.write_bytes(convert(quantized.body, weights="int8", integer_input=True))
    file, exact = read_tflite(path), quantized.plan.float_nodes
    named = {layer.name for layer in model.layers} | quantized.borders
    check_operations(file, named, exact | quantized.borders, exact)
    with pytest.raises(ArtifactError, match=r"^floats inside the integer graph: .*CONV_2D \(kept_relu, kept\)"):
        check_operations(file, named, exact - {"kept", "kept_relu"})
    # Of each pixel's 3 × 3 × 3 × 4 + 3 × 3 × 4 × 4 + 4 × 4 multiply-adds, the second are in float, and the head's 8.
    assert integer_share(file) == pytest.approx(64 * (108 + 16) / (64 * (108 + 144 + 16) + 8))
    rounded = np.asarray(quantized.network.inference(photos)["t"])
    np.testing.assert_allclose(LiteRTModel(path).predict(photos)["t"], rounded, atol=2e-3)
