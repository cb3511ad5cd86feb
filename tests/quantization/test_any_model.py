"""`quantize` of any Keras model: what it takes and refuses, that it trains, and that its file computes the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from integer_nets import draw_photos, randomise
from keras import layers

from keras_faceattr.artifact.cost import float_ops
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.convert.any_model import Converted, to_tflite
from keras_faceattr.convert.conversion import _reason
from keras_faceattr.errors import ArtifactError, ConfigError, DataError, ModelError
from keras_faceattr.quantization.any_model import quantize
from keras_faceattr.quantization.layers import FakeQuantize, QuantizedConv2D
from keras_faceattr.quantization.report import quantization_report

PHOTOS = draw_photos(12, 3)


def image() -> Any:
    return keras.Input((32, 32, 3), name="photo")


def body(x: Any, name: str = "") -> Any:
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name=f"{name}conv")(x)
    return layers.ReLU(name=f"{name}relu")(layers.BatchNormalization(name=f"{name}norm")(x))


def sequential() -> keras.Model:
    """An own normalisation, activations inside layers, and a single output without a name."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=2, activation="silu"),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("hard_silu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax", name="classes"),
        ]
    )


def several() -> keras.Model:
    """A shared layer, a nested model, operators, two inputs, a list of outputs."""
    left, right = image(), keras.Input((32, 32, 3), name="other")
    eyes = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(8, 3, strides=4, name="see")], name="eyes")
    one, two = eyes(layers.Rescaling(1 / 255, name="one")(left)), eyes(layers.Rescaling(1 / 255, name="two")(right))
    x = layers.GlobalAveragePooling2D(name="pool")((one + two) * one - 0.5 * two)
    return keras.Model([left, right], [layers.Dense(3, name="sort")(x), layers.Dense(1, name="age")(x)], name="pair")


def named() -> keras.Model:
    """Each channel in its own way, a squeeze-and-excite, outputs by name: one a map."""
    start = image()
    x = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[900.0, 1600.0, 2500.0], name="standard")(start)
    x = body(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid", name="excite")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    smile = layers.Dense(1, "sigmoid", name="smile")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(start, {"map": x, "smile": smile}, name="named")


MODELS: dict[str, Callable[[], keras.Model]] = {"sequential": sequential, "several": several, "named": named}


def photos_for(model: keras.Model, count: int = 12) -> Any:
    return PHOTOS[:count] if len(model.inputs) == 1 else [PHOTOS[:count], PHOTOS[:count][::-1]]


@cache
def quantized(name: str) -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(0)
    model = randomise(MODELS[name]())
    return model, quantize(model, photos_for(model))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    folder = tmp_path_factory.mktemp("files")
    return cache(lambda name: to_tflite(quantized(name)[1], folder / f"{name}.tflite"))


def flat(values: Any) -> list[np.ndarray]:
    return [np.asarray(value, "float64") for value in keras.tree.flatten(values)]


@pytest.mark.parametrize("name", MODELS)
def test_the_quantized_model_takes_and_gives_what_the_model_does(name: str) -> None:
    model, q = quantized(name)
    given = photos_for(model)
    before, after = model(given, training=False), q(given, training=False)
    keras.tree.assert_same_structure(before, after)
    for exact, rounded in zip(flat(before), flat(after), strict=True):
        assert rounded.shape == exact.shape
        assert np.abs(rounded - exact).max() < 0.1 * np.abs(exact).max()
        assert np.abs(rounded - exact).max() > 0


@pytest.mark.parametrize(
    "name", ["sequential", *(pytest.param(name, marks=pytest.mark.slow) for name in ("several", "named"))]
)
def test_the_file_computes_what_the_quantized_model_does(name: str, files: Callable[[str], Converted]) -> None:
    found = files(name)
    assert all(near.snr_db > 35 for near in found.outputs.values())
    assert found.integer_share > 0.95
    file = read_tflite(found.path)
    types = {file.tensors[index].dtype for index in file.inputs}
    assert types == {"uint8"}
    assert found.file_bytes == found.path.stat().st_size
    names = {"sequential": {"classes"}, "several": {"sort", "age"}, "named": {"map", "smile"}}
    assert {n.removesuffix("_activation") for n in file.signature_outputs} == names[name]


def test_calls_of_a_shared_layer_keep_one_kernel() -> None:
    _, q = quantized("several")
    assert [layer.name for layer in q.layers if isinstance(layer, QuantizedConv2D)] == ["see"]


def test_the_report_names_every_layer_and_counts_multiply_adds() -> None:
    report = quantization_report(quantized("sequential")[1])
    rows = {row.layer: row for row in report.layers}
    # 15 × 15 places of a 3 × 3 kernel from 3 to 8 channels, 13 × 13 of a depthwise one, and 8 × 4 of the dense layer.
    assert report.macs == 15 * 15 * 27 * 8 + 13 * 13 * 9 * 8 + 32
    assert rows["classes"].decision == "float"
    assert "256 steps" in rows["classes"].reason
    assert report.integer_share == pytest.approx(1 - 32 / report.macs)
    assert "classes" in repr(report)
    assert "multiply-adds integer" in repr(report)


def test_a_plain_fit_trains_it_and_leaves_the_ranges_as_calibrated() -> None:
    keras.utils.set_random_seed(1)
    q = quantize(sequential(), PHOTOS)
    ranges = {layer.name: layer.limits() for layer in q.layers if isinstance(layer, FakeQuantize)}
    labels = (PHOTOS[:, :16].mean((1, 2, 3)) > PHOTOS[:, 16:].mean((1, 2, 3))).astype("int64")
    q.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    history = q.fit(PHOTOS, labels, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    assert {layer.name: layer.limits() for layer in q.layers if isinstance(layer, FakeQuantize)} == ranges


@pytest.mark.slow
def test_a_saved_model_is_loaded_by_one_import_and_still_knows_its_plan(tmp_path: Path) -> None:
    _, q = quantized("several")
    q.save(tmp_path / "q.keras")
    np.save(tmp_path / "photos.npy", np.stack(photos_for(q)))
    script = (
        "import numpy as np, keras_faceattr as kfa\n"
        f"q = kfa.load_model({str(tmp_path / 'q.keras')!r})\n"
        "print(kfa.quantization_report(q).integer_share)\n"
        f"photos = list(np.load({str(tmp_path / 'photos.npy')!r}))\n"
        f"print(kfa.to_tflite(q, {str(tmp_path / 'q.tflite')!r}, photos).outputs['sort'].snr_db)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    share, decibels = (float(line) for line in done.stdout.split()[-2:])
    assert share == pytest.approx(quantization_report(q).integer_share)
    assert decibels > 35


def with_float_inside() -> keras.Model:
    start = image()
    x = body(layers.Rescaling(1 / 127.5, -1.0, name="normalise")(start))
    x = layers.LayerNormalization(name="layernorm")(x)
    x = layers.Conv2D(8, 3, name="after")(x)
    x = layers.Conv2D(8, 3, name="kept", activation="relu")(x)
    x = layers.Conv2D(8, 3, name="last")(x)
    return keras.Model(start, layers.GlobalMaxPooling2D(name="top")(x), name="inside")


@pytest.mark.slow
def test_what_has_no_kernel_and_what_a_pattern_skips_stay_in_float_by_name_and_the_rest_is_integer(
    tmp_path: Path,
) -> None:
    keras.utils.set_random_seed(0)
    q = quantize(with_float_inside(), PHOTOS, keep_float=["^kep"])
    assert quantization_report(q).floats == {
        "layernorm": "has no int8 kernel",
        "kept": "skipped by the pattern '^kep'",
    }
    found = to_tflite(q, tmp_path / "inside.tflite")
    assert found.outputs["top"].snr_db > 35
    file = read_tflite(found.path)
    convolutions = [op for op in file.ops if op.kind == "CONV_2D"]
    assert [file.tensors[op.outputs[0]].dtype for op in convolutions] == ["int8", "int8", "float32", "int8"]
    # 12 × 12 places of 72 weights from 14 × 14, and so on: only `kept` is float.
    macs = {"conv": 16 * 16 * 27 * 8, "after": 14 * 14 * 72 * 8, "kept": 12 * 12 * 72 * 8, "last": 10 * 10 * 72 * 8}
    assert found.integer_share == pytest.approx(1 - macs["kept"] / sum(macs.values()))


@pytest.mark.slow
def test_strict_refuses_by_name_and_makes_the_outputs_integer_too(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^layer 'layernorm' \(LayerNormalization\) has no int8 kernel"):
        quantize(with_float_inside(), PHOTOS, strict=True)
    q = quantize(sequential(), PHOTOS, strict=True)
    assert not quantization_report(q).floats
    found = to_tflite(q, tmp_path / "strict.tflite")
    assert not float_ops(read_tflite(found.path))


class Custom(layers.Layer):  # type: ignore[misc]
    """A layer of the user's own."""

    def call(self, inputs: Any) -> Any:
        return inputs


def of(function: Callable[[Any], Any]) -> keras.Model:
    start = image()
    return keras.Model(start, function(start), name="net")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: of(layers.Lambda(lambda x: x, name="own")), "layer 'own' is a Lambda"),
        (lambda: of(Custom(name="own")), r"layer 'own' \(Custom\) is a custom layer"),
        (lambda: of(layers.Activation(lambda x: x, name="own")), "layer 'own' has an activation of its own"),
        (lambda: keras.Sequential([layers.Dense(2)], name="net"), "'net' .* has no graph"),
        (
            lambda: of(lambda x: layers.Conv2D(2, 3, dtype="mixed_float16", name="half")(x)),
            "layer 'half' has the type float16: build the model in float32",
        ),
        (
            lambda: of(lambda x: layers.BatchNormalization(axis=1, name="own")(layers.Conv2D(32, 1)(x))),
            "'own' normalises along axis 1",
        ),
        (
            lambda: of(lambda x: {"seen": x, "made": layers.Conv2D(2, 3)(x)}),
            "output 'seen' is an input as it is: leave it out",
        ),
        (
            lambda: of(lambda x: [layers.Conv2D(2, 3, name="conv")(x)] * 2),
            "outputs 'conv' and 'conv_2' are one tensor, .* leave one out",
        ),
        (
            lambda: of(lambda x: layers.Conv2DTranspose(2, 3, dilation_rate=2, name="wide")(x)),
            "'wide' is a dilated transposed convolution, which no operation of LiteRT computes",
        ),
        (
            lambda: of(lambda x: layers.UpSampling2D(interpolation="bicubic", name="grown")(x)),
            "'grown' has interpolation='bicubic', .* build it with nearest or bilinear",
        ),
        (
            lambda: keras.Sequential([keras.Input((None, None, 3), name="any"), layers.Conv2D(2, 3)]),
            r"input 'any' has the shape \(None, None, None, 3\), .*needs fixed sides",
        ),
        (lambda: "net.keras", r"of the type str is no keras\.Model: open it with kfa\.load_model first"),
        (lambda: None, r"of the type NoneType is no keras\.Model: give one"),
        (
            lambda: quantize(of(lambda x: layers.Conv2D(2, 3)(x)), PHOTOS[:2]),
            "model 'net' is quantized already: fit it, or write its file with to_tflite",
        ),
        (
            lambda: of(lambda x: layers.Conv2D(2, 3, kernel_initializer=lambda s, dtype: keras.ops.full(s, np.nan))(x)),
            r"weight 'conv2d[_0-9]*/kernel' is not finite",
        ),
    ],
)
def test_a_model_that_cannot_be_quantized_is_refused_in_one_line(model: Callable[[], Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        quantize(model(), PHOTOS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("photos", "words"),
    [
        ([], "no photos to calibrate with"),
        (None, "no photos to calibrate with"),
        (
            PHOTOS[:, :16],
            r"the shape \(12, 16, 32, 3\), and the model takes \(None, 32, 32, 3\): resize them, or build",
        ),
        (PHOTOS[0], r"have the shape \(32, 32, 3\), .*: give a batch, photo\[None\] for a single one"),
        (PHOTOS[..., :1], r"have the shape \(12, 32, 32, 1\), .*: give them the model's channels"),
        (np.full_like(PHOTOS[:1], np.nan), "not finite"),
        ("photos", "no array of numbers"),
        ({"other": PHOTOS}, "photos are given for other, the inputs are photo"),
    ],
)
def test_photos_that_do_not_fit_are_refused_in_one_line(photos: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        quantize(of(lambda x: layers.Conv2D(2, 3)(x)), photos)
    assert "\n" not in str(caught.value)


def test_grey_levels_scaled_to_minus_one_to_one_lie_half_way_between_no_two_steps_and_are_not_clipped() -> None:
    levels = np.arange(256) / 127.5 - 1
    photos = np.broadcast_to(levels[:, None, None, None], (256, 4, 4, 3))
    q = quantize(keras.Sequential([keras.Input((4, 4, 3), name="photo"), layers.Conv2D(2, 3)]), photos)
    low, high = q.get_layer("photo_range").limits()
    steps = levels / ((high - low) / 255)
    # 127 steps on each side of 0: level 127 is at -0.498, and would be at -0.5 if a grey level were a step.
    assert np.abs(np.abs(steps - np.floor(steps)) - 0.5).min() == pytest.approx(0.5 / 255, rel=1e-3)
    assert (low, high) == pytest.approx((-128 / 127, 1))


def test_a_layer_that_cannot_be_converted_is_named_as_the_model_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = quantize(of(lambda x: layers.Conv2D(2, 3, name="strange")(x)), PHOTOS)

    def refuse(body: keras.Model, **_: Any) -> bytes:
        name = next(layer.name for layer in body.layers if layer.name.startswith("strange"))
        raise ModelError(_reason(f'FlexErfinv loc("net/{name}/Erfinv")', body))

    monkeypatch.setattr("keras_faceattr.convert.any_model.convert", refuse)
    with pytest.raises(ModelError, match="^cannot be converted in layer strange: Erfinv is no builtin of LiteRT$"):
        to_tflite(q, tmp_path / "net.tflite")


def test_a_pattern_that_fits_no_layer_and_a_model_that_is_not_quantized_are_refused(tmp_path: Path) -> None:
    model = of(lambda x: layers.Conv2D(2, 3, name="conv")(x))
    with pytest.raises(ConfigError, match="no layer's name matches 'covn'"):
        quantize(model, PHOTOS, keep_float=["covn"])
    with pytest.raises(ModelError, match="'net' is not quantized: call quantize"):
        to_tflite(model, tmp_path / "net.tflite")


@pytest.mark.slow
def test_a_file_that_differs_from_the_model_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, q = quantized("sequential")

    def other(body: keras.Model, **options: Any) -> bytes:
        from keras_faceattr.convert.conversion import convert

        kept = body.get_weights()
        body.set_weights([-w if w.ndim > 1 else w for w in kept])
        try:
            return convert(body, **options)
        finally:
            body.set_weights(kept)

    monkeypatch.setattr("keras_faceattr.convert.any_model.convert", other)
    with pytest.raises(ArtifactError, match="'classes_activation' of the file is not that of the quantized model"):
        to_tflite(q, tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())
