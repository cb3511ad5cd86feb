"""Small graphs of every shape: folded, quantized and converted, the file computes what the Keras model foretells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from integer_nets import Exported, draw_photos, export, randomise
from keras import layers

from keras_faceattr.artifact.cost import float_ops
from keras_faceattr.errors import ModelError
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.quantize import IMAGE_RANGE, quantize_network

KerasTensor = Any
Body = Callable[[KerasTensor], KerasTensor]

TIES = 1e-3
"""Share of values that may be rounded the other way: Keras sums in float32, the file exactly, and a sum that lies
within float32's error of the middle between two integers may fall to either side (measured: 1 in 100,000 at each
layer, before it spreads to the nine neighbours of the next convolution)."""


def conv(x: KerasTensor, name: str, channels: int = 8, **options: Any) -> KerasTensor:
    options = {"padding": "same", "kernel_initializer": "he_normal", **options}
    return layers.Conv2D(channels, 3, name=name, **options)(x)


def depthwise(x: KerasTensor, **options: Any) -> KerasTensor:
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="he_normal", name="second", **options)(x)
    return layers.ReLU(name="relu")(norm(x))


def norm(x: KerasTensor, name: str = "norm") -> KerasTensor:
    return layers.BatchNormalization(name=name)(x)


def block(x: KerasTensor, name: str, channels: int = 8, **options: Any) -> KerasTensor:
    x = norm(conv(x, name, channels, use_bias=False, **options), f"{name}_norm")
    return layers.ReLU(name=f"{name}_relu")(x)


def squeeze_and_excite(x: KerasTensor) -> KerasTensor:
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Activation("sigmoid", name="gate")(layers.Conv2D(8, 1, name="excite")(gate))
    return layers.Multiply(name="multiply")([x, gate])


def residual(x: KerasTensor) -> KerasTensor:
    y = norm(conv(x, "second", use_bias=False))
    return layers.ReLU(name="sum_relu")(layers.Add(name="add")([x, y]))


def inception(x: KerasTensor) -> KerasTensor:
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(x)
    return layers.Concatenate(name="concatenate")([block(x, "wide", 4), conv(x, "linear", 6), pooled])


def two_readers(x: KerasTensor) -> KerasTensor:
    """A convolution whose batch norm cannot be folded, because another layer reads it as well."""
    y = conv(x, "shared")
    return layers.Add(name="add")([layers.ReLU(name="normed_relu")(norm(y)), y])


def dense_body(x: KerasTensor) -> KerasTensor:
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(8, name="coarse")(x))
    x = layers.Dense(12, use_bias=False, kernel_initializer="he_normal", name="hidden")(x)
    return layers.ReLU(name="hidden_relu")(norm(x))


def moved(x: KerasTensor) -> KerasTensor:
    x = layers.Reshape((8, 32, 8), name="reshape")(layers.Cropping2D(((0, 0), (0, 0)), name="crop")(conv(x, "second")))
    return layers.Permute((2, 1, 3), name="permute")(layers.Dropout(0.5, name="drop")(x))


def merge(kind: type[layers.Layer]) -> Body:
    return lambda x: kind(name="merge")([conv(x, "one"), conv(x, "another")])


def limited_and_grown(x: KerasTensor) -> KerasTensor:
    x = layers.ReLU(0.5, name="relu_half")(conv(x, "second"))
    return layers.Dense(4, name="mapped")(layers.UpSampling2D(2, name="grown")(x))


def operators(x: KerasTensor) -> KerasTensor:
    one, another = conv(x, "one"), conv(x, "another")
    return layers.Add(name="all3")([0.5 * (one + x), another * x, -x])


BODIES: dict[str, Body] = {
    "conv with its own bias, norm": lambda x: norm(conv(x, "second")),
    "strides and dilation": lambda x: block(block(x, "second", dilation_rate=2), "third", strides=2),
    "relu inside the convolution": lambda x: conv(x, "second", activation="relu"),
    "relu6": lambda x: layers.ReLU(6.0, name="relu6")(conv(x, "second")),
    "depthwise": lambda x: depthwise(x, use_bias=False),
    "depthwise with multiplier 2": lambda x: depthwise(x, depth_multiplier=2, strides=2),
    "norm after a pooling": lambda x: norm(layers.MaxPooling2D(name="pool")(x)),
    "residual": residual,
    "inception": inception,
    "squeeze and excite": squeeze_and_excite,
    "convolution with two readers": two_readers,
    "zero padding of negative numbers": lambda x: conv(
        layers.ZeroPadding2D(((0, 1), (0, 2)), name="pad")(conv(x, "second")), "third", padding="valid"
    ),
    "reshape, permute, dropout, cropping": moved,
    "dense body": dense_body,
    "global maximum": lambda x: layers.GlobalMaxPooling2D(name="top")(conv(x, "second")),
    "subtract": merge(layers.Subtract),
    "multiply": merge(layers.Multiply),
    "average": merge(layers.Average),
    "average of three": lambda x: layers.Average(name="average")(
        [layers.ReLU(name=f"{name}_relu")(conv(x, name)) for name in ("left", "middle", "right")]
    ),
    "maximum": merge(layers.Maximum),
    "relu with a limit, nearest pixels, dense on a map": limited_and_grown,
    "factor and summand": lambda x: layers.Rescaling(0.5, 1.0, name="shifted")(conv(x, "second")),
    "operators and a sum of three": operators,
    "separable": lambda x: layers.SeparableConv2D(6, 3, padding="same", name="apart")(x),
    "transposed": lambda x: layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu", name="up")(x),
    "factor": lambda x: layers.Rescaling(-0.3, name="scaled")(conv(x, "second")),
}

OWN_ROUNDING: dict[str, tuple[Body, float, int]] = {
    # An average of four integers lies in the middle between two for one in four: Keras rounds up there, LiteRT to even.
    "average pooling": (lambda x: layers.AveragePooling2D(2, name="pool")(conv(x, "second")), 0.25, 1),
    # These kernels multiply by a slope that is rounded itself; a step of the input is up to 1.7 of the output.
    "leaky relu": (lambda x: layers.LeakyReLU(0.2, name="leaky")(conv(x, "second")), 0.25, 2),
    "parametric relu": (lambda x: layers.PReLU(shared_axes=[1, 2], name="prelu")(conv(x, "second")), 0.05, 2),
    "bilinear": (lambda x: layers.UpSampling2D(2, interpolation="bilinear", name="grown")(conv(x, "second")), 0.25, 1),
    "hard swish": (lambda x: conv(x, "swish", activation="hard_silu"), 0.05, 2),
    "silu": (lambda x: conv(x, "swish", activation="silu"), 0.05, 2),
    "hard sigmoid": (lambda x: conv(x, "gate", activation="hard_sigmoid"), 0.05, 2),
    "gelu": (lambda x: conv(x, "gelu", activation="gelu"), 0.05, 2),
    # A step of the input, 0.027, is 3.4 steps of 1/128 where the slope of tanh is 1.
    "tanh": (lambda x: layers.Activation("tanh", name="tanh")(conv(x, "second")), TIES, 4),
}
"""Bodies whose kernel rounds in its own way or enlarges a step: the share of values concerned, and the most steps."""


def build(body: Body) -> keras.Model:
    """A block, the body, and a dense layer; what the body gives is an output too."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    return with_outputs(image, body(block(x, "first", strides=2)))


@pytest.fixture(scope="module")
def exported_body(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """The net of a body's name in all its forms, made once."""
    return cache(lambda name: export(build(BODIES[name]), tmp_path_factory.mktemp("body")))


def with_outputs(image: KerasTensor, x: KerasTensor) -> keras.Model:
    vector = x if len(x.shape) == 2 else layers.GlobalAveragePooling2D(name="vector")(x)
    raw = layers.Dense(5, kernel_initializer="he_normal", name="t_raw")(vector)
    return randomise(keras.Model(image, {"body": x, "t": raw}, name="net"))


def check_integer_and_folded(model: keras.Model, exported: Exported, pixels: np.ndarray) -> None:
    assert not float_ops(exported.file)
    kinds = [op.kind for op in exported.file.ops]
    assert "DEQUANTIZE" not in kinds
    assert not [layer for layer in exported.folded.layers if isinstance(layer, layers.BatchNormalization)]
    before, after = model(pixels, training=False), exported.folded(pixels, training=False)
    for name in before:
        scale = np.abs(np.asarray(before[name])).max()
        np.testing.assert_allclose(after[name], before[name], atol=1e-5 * scale, rtol=0)
    # Nothing degenerates: every integer of the body is reached by some, and no output stands still.
    assert np.asarray(exported.quantized.network.inference(pixels)["t"]).std() > 0.05


SLOW = frozenset(list(BODIES)[-6:-1]) | {"bilinear", "hard swish", "silu", "hard sigmoid", "gelu"}
"""Bodies of layers that are quantized as those of the others are, or taken apart into them."""


def quick_and_slow(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


@pytest.mark.parametrize("body", quick_and_slow(BODIES))
def test_the_file_computes_what_the_fake_quantized_model_foretells(
    body: str, exported_body: Callable[[str], Exported]
) -> None:
    exported, pixels = exported_body(body), draw_photos(6, 9)
    check_integer_and_folded(build(BODIES[body]), exported, pixels)
    steps = exported.steps_apart(pixels)
    assert steps["body"].max() <= 1
    assert (steps["body"] > 0).mean() <= TIES
    assert steps["t"].max() <= 1


@pytest.mark.parametrize("body", quick_and_slow(OWN_ROUNDING))
def test_kernels_that_round_in_their_own_way_stay_within_a_few_steps(body: str, tmp_path: Path) -> None:
    function, share, most = OWN_ROUNDING[body]
    model, pixels = build(function), draw_photos(6, 9)
    exported = export(model, tmp_path)
    check_integer_and_folded(model, exported, pixels)
    steps = exported.steps_apart(pixels)
    assert steps["body"].max() <= most
    assert (steps["body"] > 0).mean() <= share
    assert steps["t"].max() <= 2


def pixel_net(body: Body) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    return with_outputs(image, body(image))


def normalised(x: KerasTensor, scale: float = 1 / 127.5, offset: float = -1.0) -> KerasTensor:
    return layers.Rescaling(scale, offset, name="normalise")(x)


def normalised_for_two(x: KerasTensor) -> KerasTensor:
    x = normalised(x)
    return layers.Add(name="add")([conv(x, "one"), conv(x, "another")])


@pytest.mark.parametrize(
    ("body", "scale", "zero_point"),
    [
        (lambda x: conv(x, "raw"), 1.0, 0),
        (lambda x: conv(normalised(x, 1 / 255, 0.0), "first"), 1 / 255, 0),
        # 127.5 is no grey level; its even neighbour stands for 0.
        (normalised_for_two, 1 / 127.5, 128),
    ],
    ids=["raw pixels", "0 to 1", "−1 to 1, for two layers"],
)
def test_every_grey_level_is_one_step_of_the_integer_input(
    body: Body, scale: float, zero_point: int, tmp_path: Path
) -> None:
    exported = export(pixel_net(body), tmp_path)
    (found,) = [exported.file.tensors[index] for index in exported.file.inputs]
    assert found.dtype == "uint8"
    assert found.scale[0] == pytest.approx(scale, rel=1e-6)
    assert found.zero_point == (zero_point,)
    low, high = exported.quantized.ranges()[IMAGE_RANGE].limits()
    assert (low, high) == pytest.approx((-zero_point * scale, (255 - zero_point) * scale), rel=1e-6)
    steps = exported.steps_apart(draw_photos(4, 9))
    assert steps["body"].max() <= 1
    assert (steps["body"] > 0).mean() <= TIES


def test_inputs_and_output_of_a_concatenation_have_one_scale(exported_body: Callable[[str], Exported]) -> None:
    exported = exported_body("inception")
    (op,) = [op for op in exported.file.ops if op.kind == "CONCATENATION"]
    tensors = [exported.file.tensors[index] for index in (*op.inputs, *op.outputs)]
    assert len(tensors) == 4
    assert len({(tensor.scale, tensor.zero_point) for tensor in tensors}) == 1


def test_a_max_pool_passes_the_range_through(exported_body: Callable[[str], Exported]) -> None:
    exported = exported_body("dense body")
    (op,) = [op for op in exported.file.ops if op.kind == "MAX_POOL_2D"]
    source, result = exported.file.tensors[op.inputs[0]], exported.file.tensors[op.outputs[0]]
    assert (source.scale, source.zero_point) == (result.scale, result.zero_point)


def test_relu_is_fused_into_its_convolution_and_into_a_sum(exported_body: Callable[[str], Exported]) -> None:
    exported = exported_body("residual")
    kinds = {op.kind: op.fused_activation for op in exported.file.ops if op.kind in ("ADD", "CONV_2D", "RELU")}
    assert kinds["ADD"] == "RELU"
    assert "RELU" not in kinds


def test_an_average_of_tensors_that_cancel_is_not_clipped(tmp_path: Path) -> None:
    """Of w, w and −1.9w the first sum is 2w, and the mean w / 30: twenty times as narrow as three times that."""

    def body(x: KerasTensor) -> KerasTensor:
        return layers.Average(name="average")([conv(x, name) for name in ("one", "two", "three")])

    model = build(body)
    weights = model.get_layer("one").get_weights()
    for name, factor in (("two", 1.0), ("three", -1.9)):
        model.get_layer(name).set_weights([factor * value for value in weights])
    exported, pixels = export(model, tmp_path), draw_photos(6, 9)
    exact, fake = (np.asarray(net(pixels)["body"]) for net in (model, exported.quantized.network.inference))
    # The tensors that are rounded on the way have steps of up to 1/127 of their largest value, 60 times the mean's.
    assert np.abs(fake - exact).max() < 0.25 * np.abs(exact).max()
    assert np.corrcoef(fake.ravel(), exact.ravel())[0, 1] > 0.99
    steps = exported.steps_apart(pixels)["body"]
    # Where the first sum falls to the other side of a tie, its step is some twenty of the mean's.
    assert steps.max() <= 25
    assert (steps > 0).mean() <= TIES


def test_a_dead_channel_keeps_its_bias(tmp_path: Path) -> None:
    """Its bias is stored as a multiple of the kernel's scale: one of 1e-12 would overflow 32 bits."""
    model = build(lambda x: conv(x, "second"))
    layer = model.get_layer("second")
    kernel, bias = layer.get_weights()
    kernel[..., 2], bias[2] = 0.0, 0.7
    layer.set_weights([kernel, bias])
    exported = export(model, tmp_path)
    pixels = draw_photos(2, 9)
    got = exported.runtime.predict(pixels)["body"][..., 2]
    step = exported.runtime.outputs["body"]["quantization"][0]
    np.testing.assert_allclose(got, 0.7, atol=step / 2 + 1e-6)
    assert exported.steps_apart(pixels)["body"].max() <= 1


@pytest.mark.parametrize("dead", [("first",), ("second",), ("first", "second")])
def test_behind_dead_layers_the_file_still_computes_the_biases(dead: tuple[str, ...], tmp_path: Path) -> None:
    """The tensor behind `first` is all zero then: a range without a width has a scale of 0, and 0.7 / 0 no multiple."""
    model = build(lambda x: conv(x, "second"))
    model.get_layer("first_norm").beta.assign(np.full(8, -1.0))
    model.get_layer("first_norm").moving_mean.assign(np.zeros(8))
    for name in dead:
        layer = model.get_layer(name)
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    biases = np.linspace(-0.7, 1.4, 8)
    model.get_layer("second").bias.assign(biases)
    exported, pixels = export(model, tmp_path), draw_photos(2, 9)
    if "first" in dead:
        assert not np.asarray(keras.Model(model.input, model.get_layer("first_relu").output)(pixels)).any()
    step = exported.runtime.outputs["body"]["quantization"][0]
    got = exported.runtime.predict(pixels)["body"]
    np.testing.assert_allclose(got, np.broadcast_to(biases, got.shape), atol=step / 2 + 1e-6)
    assert all(steps.max() == 0 for steps in exported.steps_apart(pixels).values())


def test_the_folded_model_stays_as_it_is() -> None:
    folded = fold_batch_norm(build(residual))
    before = [w.copy() for w in folded.get_weights()]
    quantized = quantize_network(folded, ["t"])
    quantized.network.inference.set_weights([0 * w for w in quantized.network.inference.get_weights()])
    for now, then in zip(folded.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_training_and_inference_share_every_weight() -> None:
    quantized = quantize_network(fold_batch_norm(build(residual)), ["t"])
    trained = {id(v) for v in quantized.network.trainable.variables}
    assert trained == {id(v) for v in quantized.network.inference.variables}
    assert {id(v) for v in quantized.body.variables} <= trained


def refused(body: Body, match: str, of_pixels: bool = False) -> None:
    folded = fold_batch_norm(pixel_net(body) if of_pixels else build(body))
    with pytest.raises(ModelError, match=match) as caught:
        quantize_network(folded, ["t"], all_integer=True)
    assert "\n" not in str(caught.value)


def concatenate(*kinds: str) -> Body:
    def body(x: KerasTensor) -> KerasTensor:
        parts = [conv(x, f"part{i}") for i in range(len(kinds))]
        made = [
            layers.Activation(kind, name=f"as{i}")(part)
            for i, (kind, part) in enumerate(zip(kinds, parts, strict=True))
        ]
        return layers.Concatenate(name="joined")(made)

    return body


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (lambda x: layers.LayerNormalization(name="layernorm")(x), r"'layernorm' \(LayerNormalization\) has no int8"),
        (lambda x: layers.Activation("elu", name="elu")(x), r"'elu' \(Activation\) is not supported yet"),
        (lambda x: layers.ReLU(threshold=1.0, name="late")(x), r"'late' \(ReLU\) has no int8 kernel"),
        (concatenate("sigmoid", "relu"), r"'as1' is joined with one whose range is fixed at \(0\.0, 0\.99"),
    ],
)  # fmt: skip
def test_what_has_no_integer_kernel_is_refused_by_name(body: Body, match: str) -> None:
    refused(body, match)


def test_two_sigmoids_may_be_joined(tmp_path: Path) -> None:
    exported = export(build(concatenate("sigmoid", "sigmoid")), tmp_path)
    assert exported.runtime.outputs["body"]["quantization"][0] == pytest.approx(1 / 256)
    assert exported.steps_apart(draw_photos(4, 9))["body"].max() <= 1


def test_pixels_joined_with_features_are_refused() -> None:
    def body(x: KerasTensor) -> KerasTensor:
        x = normalised(x)
        return layers.Concatenate(name="joined")([x, conv(x, "first")])

    refused(body, "'joined' joins pixels and features in one range: put a 1×1 convolution", True)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.5), (1 / 255, -2.0), (-1 / 255, 1.0)])
def test_a_normalisation_without_a_grey_level_for_0_is_refused(scale: float, offset: float) -> None:
    refused(lambda x: conv(normalised(x, scale, offset), "first"), "'normalise' maps no grey level", True)


def small_net(scale: Any, offset: Any) -> keras.Model:
    image = keras.Input((32, 32, 3), name="image")
    x = conv(layers.Rescaling(scale, offset, name="normalise")(image), "conv")
    raw = layers.Dense(2, name="t_raw")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net")


def test_a_scale_by_channel_is_taken_where_it_is_one_number_and_refused_where_not() -> None:
    # 1/127.5 and −1 map the grey level 127.5 to 0, which is rounded to 128.
    expected = (-128 / 127.5, 127 / 127.5)
    for scale, offset in ((1 / 127.5, -1.0), ([1 / 127.5] * 3, [-1.0] * 3)):
        limits = quantize_network(small_net(scale, offset), ["t"]).ranges()[IMAGE_RANGE].limits()
        assert limits == pytest.approx(expected)
    for scale, offset in (([0.1, 0.2, 0.1], 0.0), (1 / 127.5, [-1.0, -0.9, -1.0])):
        with pytest.raises(ModelError, match="'normalise' normalises each channel in its own way.*one scale and one"):
            quantize_network(small_net(scale, offset), ["t"])


@pytest.mark.parametrize(("tasks", "words"), [(["T"], "no task 'T' with a layer T_raw; valid: t"), ([], "no task to")])
def test_a_task_that_the_model_lacks_is_one_line(tasks: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        quantize_network(small_net(1 / 127.5, -1.0), tasks)
