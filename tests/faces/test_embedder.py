"""Features are those that a net's layers give, whatever the crop, and from anybody's file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_faceattr.errors import ArtifactError, ConfigError, DataError, FaceAttrError, ModelError
from keras_faceattr.faces.crop_spec import CropSpec, chosen
from keras_faceattr.faces.detector import Detector
from keras_faceattr.faces.embedder import (
    SCALES,
    fitted,
    tflite_embedder,
)
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.features.layer_features import feature_model, keras_embedder, keras_file_embedder


def crops(n: int, height: int = 8, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def net() -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="low")(pixels)
    x = keras.layers.Conv2D(5, 2, strides=2, name="high")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(pixels, keras.layers.Dense(2, name="out")(x), name="small")


def convolved(images: np.ndarray, layer: keras.layers.Conv2D, stride: int) -> np.ndarray:
    kernel, bias = (np.asarray(weight) for weight in layer.get_weights())
    windows = np.lib.stride_tricks.sliding_window_view(images, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias


def test_maps_of_low_and_high_layers_are_flattened_side_by_side(net: keras.Model) -> None:
    images = crops(3)
    low = np.maximum(convolved(images.astype(np.float64), net.get_layer("low"), 1), 0)
    high = convolved(low, net.get_layer("high"), 2)
    expected = np.concatenate([low.reshape(3, -1), high.reshape(3, -1), high.mean(axis=(1, 2))], axis=1)
    got = keras_embedder(net, ["low", "high", "pooled"])(images)
    assert (got.shape, got.dtype) == ((3, 36 * 4 + 9 * 5 + 5), np.dtype(np.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(keras_embedder(net, ["high", "low"])(images)[:, 45:], got[:, :144], rtol=1e-6)


def test_maps_are_averaged_to_a_grid_first(net: keras.Model) -> None:
    images = crops(2)
    low = keras_embedder(net, ["low"])(images).reshape(2, 6, 6, 4)
    thirds = low.reshape(2, 3, 2, 3, 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(keras_embedder(net, ["low"], grid=3)(images), thirds.reshape(2, -1), rtol=1e-4)
    # Six into four: windows of three pixels, every pixel.
    fourths = [[low[:, i : i + 3, j : j + 3].mean(axis=(1, 2)) for j in range(4)] for i in range(4)]
    expected = np.moveaxis(np.array(fourths), 2, 0).reshape(2, -1)
    np.testing.assert_allclose(keras_embedder(net, ["low"], grid=4)(images), expected, rtol=1e-4)
    assert keras_embedder(net, ["low", "pooled"], grid=1)(images).shape == (2, 4 + 5)


def test_many_crops_are_those_of_one_by_one_and_none_are_none(net: keras.Model) -> None:
    embed, images = keras_embedder(net, ["high"]), crops(70)
    np.testing.assert_allclose(embed(images)[[0, 40, 69]], embed(images[[0, 40, 69]]), rtol=1e-5, atol=1e-4)
    assert embed(images[:0]).shape == (0, 45)


def test_a_keras_file_gives_the_same_features(net: keras.Model, tmp_path: Path) -> None:
    net.save(tmp_path / "net.keras")
    got = keras_file_embedder(tmp_path / "net.keras", ["pooled"])(crops(3))
    np.testing.assert_allclose(got, keras_embedder(net, ["pooled"])(crops(3)), rtol=1e-6)
    with pytest.raises(ModelError, match="no model file"):
        keras_file_embedder(tmp_path / "other.keras", ["pooled"])


@pytest.mark.parametrize(
    ("names", "grid", "error", "line"),
    [
        (["hihg"], None, ConfigError, "model 'small' has no layer 'hihg'; did you mean 'high'"),
        ([], None, ConfigError, "name one layer or more"),
        (["low"], 7, ConfigError, "grid 7 is larger than the 6 × 6 map of layer 'low'"),
        (["low"], 0, ConfigError, "grid 0 is below 1"),
    ],
)
def test_layers_that_are_not_there_are_named(net: keras.Model, names, grid, error, line) -> None:
    with pytest.raises(error, match=line):
        feature_model(net, names, grid)


def test_models_that_take_no_picture_are_refused() -> None:
    table = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="out")])
    with pytest.raises(ModelError, match="must have one input of RGB images"):
        feature_model(table, ["out"])
    with pytest.raises(ModelError, match="must have one input of RGB images, not an unknown one"):
        feature_model(keras.Sequential([keras.layers.Dense(2, name="out")]), ["out"])
    open_ended = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3, name="map")])
    with pytest.raises(ModelError, match="layer 'map' .* no single output of a fixed size"):
        feature_model(open_ended, ["map"])


def test_crops_of_another_size_are_an_error_with_both_sizes(net: keras.Model) -> None:
    with pytest.raises(ModelError, match="takes crops of 8 × 8 pixels, not 12 × 10"):
        keras_embedder(net, ["low"])(crops(1, 10, 12))
    with pytest.raises(DataError, match="uint8, not .* float32"):
        keras_embedder(net, ["low"])(crops(1).astype(np.float32))


def convert(
    path: Path, function, *shapes: tuple[int, ...], dtype: tf.DType = tf.float32, kind: tf.DType | None = None
) -> Path:
    """A file without quantization, or with inputs and outputs of an integer kind."""
    module = tf.Module()
    module.call = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype) for shape in shapes])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    if kind is not None:
        low, high = SCALES_UNDER_TEST[path.stem.removesuffix("_float")]
        samples = [np.full(shapes[0], end, np.float32) for end in (low, high)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        if not path.stem.endswith("_float"):
            converter.inference_input_type = converter.inference_output_type = kind
    path.write_bytes(converter.convert())
    return path


SCALES_UNDER_TEST = {
    name: (-row.shift / row.divisor, (255 - row.shift) / row.divisor) for name, row in SCALES.items()
} | {"odd": (-3.0, 5.0)}


def corners(x: tf.Tensor) -> tf.Tensor:
    """Two of its numbers: the mean of the left column and of the right one."""
    return tf.reduce_mean(tf.concat([x[:, :, :1], x[:, :, -1:]], 2), (1, 3))


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tmp_path_factory.mktemp("tflite") / "float.tflite", corners, (1, 6, 4, 3))


def test_scales_of_black_and_white() -> None:
    ends = {name: (-row.shift / row.divisor, (255 - row.shift) / row.divisor) for name, row in SCALES.items()}
    almost = 127.5 / 128
    expected = {"raw": (0, 255), "zero_one": (0, 1), "minus_one_one": (-1, 1), "mobilefacenet": (-almost, almost)}
    assert ends == expected


@pytest.mark.parametrize("scale", list(SCALES))
def test_a_file_sees_crops_of_its_size_in_the_scale_that_is_named(float_file: Path, scale: str) -> None:
    images = crops(5, 6, 4)
    embed = tflite_embedder(float_file, scale, threads=2)
    expected = (images[:, :, [0, 3]].astype(np.float64).mean(axis=(1, 3)) - SCALES[scale].shift) / SCALES[scale].divisor
    got = embed(images)
    assert (embed.height, embed.width, embed.dimension, embed.scale) == (6, 4, 2, scale)
    assert (got.shape, got.dtype) == ((5, 2), np.dtype(np.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert embed(images[:0]).shape == (0, 2)


def test_other_crops_are_cut_about_their_centre_and_resized(float_file: Path) -> None:
    image = crops(1, 12, 12)[0]
    expected = cv2.resize(image[:, 2:10], (4, 6), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(fitted(image, 6, 4), expected)
    np.testing.assert_array_equal(
        fitted(image[:3, :4], 6, 4), cv2.resize(image[:3, 1:3], (4, 6), interpolation=cv2.INTER_LINEAR)
    )
    np.testing.assert_array_equal(fitted(image[:6], 6, 4), image[:6, 4:8])
    np.testing.assert_array_equal(fitted(image[:, :4], 6, 4), image[3:9, :4])
    embed = tflite_embedder(float_file, "raw")
    np.testing.assert_allclose(embed(image[None]), embed(expected[None]))


@pytest.mark.parametrize("kind", [tf.uint8, tf.int8], ids=["uint8", "int8"])
@pytest.mark.parametrize("scale", list(SCALES))
def test_integer_files_tell_their_scale_and_their_outputs_become_numbers(tmp_path: Path, scale: str, kind) -> None:
    embed = tflite_embedder(convert(tmp_path / f"{scale}.tflite", corners, (1, 6, 4, 3), kind=kind))
    images = crops(4, 6, 4)
    row = SCALES[embed.scale]
    step = 256 / 255 / row.divisor
    # Between the last two rows lies less than a quantization step: calibration cannot always tell them apart.
    assert embed.scale == scale or {embed.scale, scale} == {"minus_one_one", "mobilefacenet"}
    expected = (images[:, :, [0, 3]].astype(np.float64).mean(axis=(1, 3)) - row.shift) / row.divisor
    np.testing.assert_allclose(embed(images), expected, atol=2.5 * step)


def test_a_float_file_that_quantizes_at_once_tells_its_scale(tmp_path: Path) -> None:
    path = convert(tmp_path / "zero_one_float.tflite", corners, (1, 6, 4, 3), kind=tf.int8)
    embed = tflite_embedder(path)
    assert (embed.input["dtype"], embed.scale) == (np.float32, "zero_one")


def test_a_scale_that_the_file_does_not_tell_is_asked_for(float_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not tell how pixels are scaled: give one of raw, zero_one"):
        tflite_embedder(float_file)
    with pytest.raises(ConfigError, match="does not tell"):
        tflite_embedder(convert(tmp_path / "odd.tflite", corners, (1, 6, 4, 3), kind=tf.int8))
    with pytest.raises(ConfigError, match="did you mean 'zero_one'"):
        tflite_embedder(float_file, "zero_on")


def test_files_that_are_no_embedder_are_refused(tmp_path: Path) -> None:
    picture = (1, 6, 4, 3)
    files: list[tuple[str, str]] = []

    def made(name: str, line: str, function, *shapes: tuple[int, ...], dtype: tf.DType = tf.float32) -> None:
        convert(tmp_path / f"{name}.tflite", function, *shapes, dtype=dtype)
        files.append((name, line))

    made("two_inputs", "one input, this file has 2", lambda a, b: corners(a + b), picture, picture)
    made("two_outputs", "one output, this file has 2", lambda a: (corners(a), corners(2 * a)), picture)
    made("table", r"its input \(1, 7\) is no picture", lambda a: 2 * a, (1, 7))
    made("grey", r"its input \(1, 6, 4, 1\) is no picture", corners, (1, 6, 4, 1))
    made("batch", r"its input \(2, 6, 4, 3\) is no picture", corners, (2, 6, 4, 3))
    made("map", r"its output \(1, 6, 4, 3\) is no vector", lambda a: 2 * a, picture)
    made("integers", "its input is int32, not float32 or uint8 or int8", lambda a: 2 * a, picture, dtype=tf.int32)
    for name, line in files:
        with pytest.raises(ModelError, match=line) as raised:
            tflite_embedder(tmp_path / f"{name}.tflite", "raw")
        assert "\n" not in str(raised.value)


def test_damaged_files_are_refused(float_file: Path, tmp_path: Path) -> None:
    data = float_file.read_bytes()
    for content, line in (
        (b"", "the file is empty"),
        (b"PK\x03\x04" + bytes(100), "not a TFLite file"),
        (data[: len(data) // 2], "damaged or truncated"),
        (data[:8] + bytes(range(256)) * 4, "damaged"),
    ):
        (tmp_path / "x.tflite").write_bytes(content)
        with pytest.raises(ArtifactError, match=line) as raised:
            tflite_embedder(tmp_path / "x.tflite", "raw")
        assert "\n" not in str(raised.value)
    for path, found in ((tmp_path / "none.tflite", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(FaceAttrError, match=f"{found}; give the path of a .tflite file"):
            tflite_embedder(path)


def test_crops_must_be_pixels(float_file: Path) -> None:
    with pytest.raises(DataError, match=r"\(n, height, width, 3\) uint8, not \(8, 8, 3\)"):
        tflite_embedder(float_file, "raw")(crops(1)[0])


def test_tflite_files_need_no_tensorflow() -> None:
    code = "import sys, keras_faceattr.faces.embedder; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.realdata
def test_a_public_face_embedder_tells_people_apart() -> None:
    base = os.environ.get("KERAS_FACEATTR_DATA")
    if not base:
        pytest.skip("KERAS_FACEATTR_DATA is not set: no real photos here")
    embed = tflite_embedder(Path(base) / "weights" / "mobilefacenet_int8.tflite")
    assert (embed.scale, embed.dimension) == ("mobilefacenet", 128)
    people = sorted(folder for folder in (Path(base) / "lfw").iterdir() if folder.is_dir())
    rng = np.random.default_rng(0)

    def photo(person: int, number: int) -> Path:
        return sorted(people[person].glob("*.jpg"))[number]

    detector, spec = Detector(), CropSpec(112, "five_points", margin=0.0)

    def aligned(image: np.ndarray) -> np.ndarray:
        faces = detector.detect(image)
        if not len(faces):
            return image
        matrix = spec.matrix(image.shape, points=faces.points[chosen(faces, image.shape, "central")[0]])
        return spec.warp(image, matrix)

    same = [(photo(p, 0), photo(p, 1)) for p in rng.choice(len(people), 300, replace=False)]
    pairs = [rng.choice(len(people), 2, replace=False) for _ in range(300)]
    files = [*same, *((photo(a, 0), photo(b, 1)) for a, b in pairs)]
    # On the photos as they are, with hair and background, the net reaches 93 to 94 %: it was trained on aligned faces.
    first, second = (embed(np.stack([aligned(read_photo(pair[side])) for pair in files])) for side in (0, 1))
    cosine = (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    is_same = np.arange(600) < 300
    assert max(((cosine >= threshold) == is_same).mean() for threshold in cosine) > 0.95
