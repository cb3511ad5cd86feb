"""A file's parameters, multiply-accumulates and bytes are those that a hand would count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from converters import converter_of

from keras_faceattr.artifact.cost import (
    cost_of,
    custom_ops,
    float_ops,
    layers_of,
    op_counts,
    op_table,
    type_counts,
)
from keras_faceattr.artifact.flatbuffer import Op, Tensor, TFLiteFile, read_tflite
from keras_faceattr.errors import ArtifactError

LAYERS = ["rescaling", "conv", "norm", "relu", "depthwise", "relu6", "sum", "join", "pool", "logits", "softmax", "ev"]


def branching_net() -> keras.Model:
    """Every layer but the rescaling has a weight or an activation of its own."""
    photo = keras.Input((32, 32, 3), batch_size=1, name="photo")
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescaling")(photo)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv")(x)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = keras.layers.ReLU(6.0, name="relu6")(y)
    z = keras.layers.Concatenate(name="join")([keras.layers.Add(name="sum")([x, y]), x])
    z = keras.layers.Dense(5, name="logits")(keras.layers.GlobalAveragePooling2D(name="pool")(z))
    distribution = keras.layers.Softmax(name="softmax")(z)
    outputs = {"distribution": distribution, "value": keras.layers.Dense(1, name="ev")(distribution)}
    return keras.Model(photo, outputs, name="net")


KERNELS = 3 * 3 * 3 * 8 + 3 * 3 * 8 + 16 * 5 + 5 * 1
BIASES = 8 + 8 + 5 + 1
"""The batch norm is folded into the convolution's kernel and a bias."""
RESCALING = 2
MACS = 16 * 16 * 8 * (3 * 3 * 3) + 16 * 16 * 8 * (3 * 3) + 16 * 5 + 5 * 1
POOLING_AXES = 2
"""int32, no parameters but constant data."""


def convert(model: keras.Model, path: Path, recipe: str = "float") -> TFLiteFile:
    rng = np.random.default_rng(0)
    # All different: the converter merges equal constants.
    model.set_weights([rng.uniform(0.1, 1.0, weight.shape) for weight in model.get_weights()])

    def photos() -> Iterator[list[np.ndarray]]:
        for _ in range(4):
            yield [rng.uniform(0, 255, model.input_shape).astype(np.float32)]

    path.write_bytes(converter_of(model, recipe, photos).convert())
    return read_tflite(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TFLiteFile]:
    folder = tmp_path_factory.mktemp("files")
    return {r: convert(branching_net(), folder / f"{r}.tflite", r) for r in ("float", "float16", "int8")}


@pytest.mark.parametrize("recipe", ["float", "float16", "int8"])
def test_parameters_and_macs_do_not_depend_on_the_recipe(files: dict[str, TFLiteFile], recipe: str) -> None:
    cost = cost_of(files[recipe])
    assert cost.parameters == KERNELS + BIASES + RESCALING
    assert cost.macs == MACS


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("float", 4 * (KERNELS + BIASES + RESCALING + POOLING_AXES)),
        ("float16", 2 * (KERNELS + BIASES + RESCALING) + 4 * POOLING_AXES),
        ("int8", KERNELS + RESCALING + 4 * BIASES + 4 * POOLING_AXES),
    ],
)
def test_weight_bytes_follow_the_types(files: dict[str, TFLiteFile], recipe: str, expected: int) -> None:
    assert cost_of(files[recipe]).weight_bytes == expected


def test_transposed_convolution_and_prelu(tmp_path: Path) -> None:
    photo = keras.Input((8, 8, 4), batch_size=1)
    x = keras.layers.Conv2DTranspose(6, 3, strides=2, padding="same")(photo)
    model = keras.Model(photo, keras.layers.PReLU(shared_axes=[1, 2])(x))
    cost = cost_of(convert(model, tmp_path / "file.tflite"))
    assert cost.parameters == (3 * 3 * 4 * 6 + 6) + 6
    assert cost.macs == (8 * 8 * 4) * (3 * 3 * 6)


CHAIN_VALUES = (8 * 8 * 2, 8 * 8 * 4, 4 * 4 * 12, 4 * 4 * 2)
"""Values of the input and of three convolutions, each of which needs its own input only."""


def test_the_peak_of_a_chain_is_its_largest_pair(tmp_path: Path) -> None:
    photo = keras.Input((8, 8, 2), batch_size=1)
    x = keras.layers.Conv2D(4, 3, padding="same")(photo)
    x = keras.layers.Conv2D(12, 3, strides=2, padding="same")(x)
    model = keras.Model(photo, keras.layers.Conv2D(2, 1)(x))
    pairs = [sum(pair) for pair in pairwise(CHAIN_VALUES)]
    assert pairs == [384, 448, 224]
    for recipe in ("float", "float16"):
        file = convert(model, tmp_path / f"{recipe}.tflite", recipe)
        assert cost_of(file).peak_activation_bytes == 4 * 448


def test_the_peak_of_a_branch_holds_what_is_used_later(files: dict[str, TFLiteFile]) -> None:
    # At Concatenate live the sum, the joined values, and the first convolution's output, which has waited for it.
    photo, block, joined = 32 * 32 * 3, 16 * 16 * 8, 16 * 16 * 16
    values = max(photo + photo, photo + block, block + block, block + block + block, block + block + joined)
    assert values == 8192
    assert cost_of(files["float"]).peak_activation_bytes == 4 * values
    assert cost_of(files["int8"]).peak_activation_bytes == values


def tensor(index: int, shape: tuple[int, ...], dtype: str = "int8", constant: bool = False, **other: Any) -> Tensor:
    values: dict[str, Any] = {
        "name": "",
        "scale": (0.5,) if dtype == "int8" else (),
        "zero_point": (0,) if dtype == "int8" else (),
        "quantized_dimension": 0,
        "constant_bytes": 0,
        "buffer": index,
        "is_dynamic": False,
    }
    made = Tensor(index=index, shape=shape, dtype=dtype, **(values | other))
    return tensor(index, shape, dtype, **other, constant_bytes=made.value_bytes) if constant else made


def file_of(tensors: list[Tensor], ops: list[tuple[str, list[int], list[int]]], outputs: list[int]) -> TFLiteFile:
    """A graph whose only input is tensor 0."""
    made = tuple(Op(i, kind, tuple(ins), tuple(outs), "", False) for i, (kind, ins, outs) in enumerate(ops))
    return TFLiteFile(tuple(tensors), made, (0,), tuple(outputs), {}, {}, "", 1000)


def test_a_graph_output_stays_alive_to_the_end() -> None:
    tensors = [tensor(0, (10,)), tensor(1, (500,)), tensor(2, (30,)), tensor(3, (600,)), tensor(4, (1,))]
    ops = [("ABS", [0], [1]), ("ABS", [1], [2]), ("ABS", [2], [3]), ("ABS", [3], [4])]
    assert cost_of(file_of(tensors, ops, [4])).peak_activation_bytes == 30 + 600
    assert cost_of(file_of(tensors, ops, [1, 4])).peak_activation_bytes == 500 + 30 + 600


def test_a_graph_input_is_alive_until_its_last_use() -> None:
    tensors = [tensor(0, (100,)), tensor(1, (20,)), tensor(2, (300,)), tensor(3, (400,)), tensor(4, (7,))]
    ops = [("ABS", [0], [1]), ("ABS", [1], [2]), ("ADD", [2, 0], [3]), ("ABS", [3], [4])]
    assert cost_of(file_of(tensors, ops, [4])).peak_activation_bytes == 300 + 100 + 400


def test_a_state_is_alive_all_the_time() -> None:
    tensors = [tensor(0, (100,)), tensor(1, (20,)), tensor(2, (300,)), tensor(3, (5,))]
    ops = [("ADD", [0, 3], [1]), ("ADD", [1, 3], [2]), ("ABS", [2], [2])]
    assert cost_of(file_of(tensors, ops, [2])).peak_activation_bytes == 20 + 300 + 5


def test_packed_weights_behind_dequantize_count_once_and_as_no_activation() -> None:
    tensors = [
        tensor(0, (1, 4), "float32"),
        tensor(1, (3, 4), constant=True),
        tensor(2, (3, 4), "float32"),
        tensor(3, (1, 3), "float32"),
        tensor(4, (1, 3), "float32"),
    ]
    ops = [("DEQUANTIZE", [1], [2]), ("FULLY_CONNECTED", [0, 2, -1], [3]), ("FULLY_CONNECTED", [3, 2, -1], [4])]
    cost = cost_of(file_of(tensors, ops, [4]))
    assert (cost.parameters, cost.weight_bytes) == (12, 12)
    assert cost.peak_activation_bytes == 4 * (4 + 3)


def test_shapes_axes_and_paddings_are_no_parameters() -> None:
    tensors = [
        tensor(0, (1, 4)),
        tensor(1, (2,), "int32", constant=True, scale=(0.5,)),
        tensor(2, (4, 1)),
        tensor(3, (), constant=True),
        tensor(4, (8, 1)),
        tensor(5, (8, 1), constant=True),
        tensor(6, (8, 1)),
    ]
    ops = [("RESHAPE", [0, 1], [2]), ("PADV2", [2, 1, 3], [4]), ("MUL", [4, 5], [6])]
    assert cost_of(file_of(tensors, ops, [6])).parameters == 8


def test_shared_data_are_stored_once() -> None:
    tensors = [tensor(0, (8,)), *(tensor(i, (8,), constant=True, buffer=9) for i in (1, 2)), tensor(3, (8,))]
    cost = cost_of(file_of(tensors, [("ADD", [0, 1], [3]), ("ADD", [3, 2], [3])], [3]))
    assert (cost.parameters, cost.weight_bytes) == (16, 8)


@pytest.mark.parametrize(
    ("left", "right", "product"),
    [((2, 3, 4), (2, 4, 5), (2, 3, 5)), ((2, 4, 3), (2, 4, 5), (2, 3, 5)), ((2, 3, 4), (2, 5, 4), (2, 3, 5))],
    ids=["plain", "left transposed", "right transposed"],
)
def test_a_matrix_product_sums_over_the_shared_dimension(left: Any, right: Any, product: Any) -> None:
    tensors = [tensor(0, left), tensor(1, right, constant=True), tensor(2, product)]
    assert cost_of(file_of(tensors, [("BATCH_MATMUL", [0, 1], [2])], [2])).macs == 2 * 3 * 4 * 5


def test_a_grouped_convolution_counts_the_inputs_of_a_group() -> None:
    tensors = [tensor(0, (1, 9, 9, 8)), tensor(1, (6, 3, 3, 4), constant=True), tensor(2, (1, 7, 7, 6))]
    assert cost_of(file_of(tensors, [("CONV_2D", [0, 1, -1], [2])], [2])).macs == 7 * 7 * 6 * (3 * 3 * 4)


def test_a_batch_costs_its_size() -> None:
    tensors = [tensor(0, (5, 4)), tensor(1, (3, 4), constant=True), tensor(2, (5, 3))]
    assert cost_of(file_of(tensors, [("FULLY_CONNECTED", [0, 1], [2])], [2])).macs == 5 * 4 * 3


def test_a_graph_without_ops_costs_its_input() -> None:
    cost = cost_of(file_of([tensor(0, (5, 4))], [], [0]))
    assert (cost.parameters, cost.macs, cost.weight_bytes, cost.peak_activation_bytes) == (0, 0, 0, 20)


@pytest.mark.parametrize("inputs", [[0], [0, -1], [0, 1]])
def test_a_kernel_of_unknown_shape_is_refused(inputs: list[int]) -> None:
    tensors = [tensor(0, (1, 9, 9, 8)), tensor(1, ()), tensor(2, (1, 7, 7, 6))]
    with pytest.raises(ArtifactError, match=r"op 0 \(CONV_2D\) has a tensor of unknown shape"):
        cost_of(file_of(tensors, [("CONV_2D", inputs, [2])], [2]))


def test_weights_in_variables_are_refused() -> None:
    tensors = [tensor(0, (1, 4)), tensor(1, (), "resource"), tensor(2, (3, 4)), tensor(3, (1, 3))]
    ops = [("VAR_HANDLE", [], [1]), ("READ_VARIABLE", [1], [2]), ("FULLY_CONNECTED", [0, 2, -1], [3])]
    with pytest.raises(ArtifactError, match="weights as variables"):
        cost_of(file_of(tensors, ops, [3]))


def layers_by_kind(file: TFLiteFile) -> list[tuple[str, list[str]]]:
    ops = [op for op in file.ops if op.kind not in ("QUANTIZE", "DEQUANTIZE")]
    return [(op.kind, layers_of(file, op, LAYERS)) for op in ops]


@pytest.mark.parametrize("recipe", ["float", "float16", "int8"])
def test_ops_are_traced_back_to_layers(files: dict[str, TFLiteFile], recipe: str) -> None:
    assert layers_by_kind(files[recipe]) == [
        ("MUL", ["rescaling"]),
        ("ADD", ["rescaling"]),
        ("CONV_2D", ["relu", "norm", "conv"]),
        ("DEPTHWISE_CONV_2D", ["relu6", "depthwise"]),
        ("ADD", ["sum"]),
        ("CONCATENATION", ["join"]),
        ("MEAN", ["pool"]),
        ("FULLY_CONNECTED", ["logits"]),
        # The graph's outputs are renamed: softmax has no weights and goes by its input, the last layer by its kernel.
        ("SOFTMAX", ["logits"]),
        ("FULLY_CONNECTED", ["ev"]),
    ]


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("net/block1_1_relu/Relu;net/block1_1_norm/add;net/block1_1_relu/x", ["block1_1_norm", "block1_1_relu"], None),
        ("functional_1/block1_1_conv_1/convolution", ["block1_1_conv"], ["block1_1_conv"]),
        ("net_1/conv_1/convolution", ["conv", "conv_1"], ["conv_1"]),
        ("net_1/conv_10/convolution", ["conv_1"], []),
        ("net_1/conv_1_1/convolution", ["conv", "conv_1"], ["conv_1"]),
        ("net_1/rescaling_1/add", ["add", "rescaling"], ["rescaling"]),
        ("outer_1/inner_1/conv_1/convolution1", ["conv"], ["conv"]),
        ("conv", ["conv"], ["conv"]),
        ("StatefulPartitionedCall:0", ["conv"], []),
    ],
)
def test_a_tensor_name_tells_its_layers(name: str, known: list[str], expected: list[str] | None) -> None:
    file = file_of([tensor(0, (1,)), tensor(1, (1,), name=name)], [("ABS", [0], [1])], [1])
    in_order_of_the_name = ["block1_1_relu", "block1_1_norm"]
    assert layers_of(file, file.ops[0], known) == (in_order_of_the_name if expected is None else expected)


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_op_with_a_nameless_output_goes_by_its_weights_before_its_inputs(is_packed: bool) -> None:
    tensors = [
        tensor(0, (1, 4), name="net_1/logits_1/MatMul"),
        tensor(1, (3, 4), constant=True, name="net_1/ev_1/MatMul"),
        tensor(2, (3, 4), "float32", name="net_1/ev_1/MatMul1"),
        tensor(3, (1, 3), name="StatefulPartitionedCall:0"),
    ]
    ops = [("DEQUANTIZE", [1], [2]), ("FULLY_CONNECTED", [0, 2 if is_packed else 1, -1], [3])]
    file = file_of(tensors, ops, [3])
    assert layers_of(file, file.ops[1], LAYERS) == ["ev"]


def test_float_ops_are_those_that_compute_on_floats(files: dict[str, TFLiteFile]) -> None:
    assert float_ops(files["int8"]) == []
    for recipe in ("float", "float16"):
        assert [op.kind for op in float_ops(files[recipe])] == [kind for kind, _ in layers_by_kind(files[recipe])]


def test_an_integer_op_with_a_float_constant_is_no_float_op() -> None:
    tensors = [tensor(0, (4,)), tensor(1, (), "float32", constant=True), tensor(2, (4,)), tensor(3, (4,), "float32")]
    file = file_of(tensors, [("ADD", [0, 1], [2]), ("CAST", [2], [3]), ("CAST", [3], [2])], [2])
    assert [op.index for op in float_ops(file)] == [1, 2]


def test_a_file_of_builtin_ops_has_no_custom_ones(files: dict[str, TFLiteFile]) -> None:
    assert custom_ops(files["int8"]) == []


def test_the_table_of_ops_is_plain_data(files: dict[str, TFLiteFile]) -> None:
    rows = op_table(files["int8"])
    assert json.loads(json.dumps(rows)) == rows
    assert [row["index"] for row in rows] == list(range(len(files["int8"].ops)))
    (convolution,) = (row for row in rows if row["kind"] == "CONV_2D")
    assert convolution["input_types"] == ["int8", "int8", "int32"]
    assert convolution["output_types"] == ["int8"]
    assert convolution["output_shape"] == [1, 16, 16, 8]
    assert "net_1/conv_1/convolution" in convolution["output_name"]
    assert rows[0]["input_types"] == ["uint8"]


def test_an_absent_input_has_no_type() -> None:
    tensors = [tensor(0, (1, 4)), tensor(1, (3, 4), constant=True), tensor(2, (1, 3))]
    (row,) = op_table(file_of(tensors, [("FULLY_CONNECTED", [0, 1, -1], [2])], [2]))
    assert row["input_types"] == ["int8", "int8", None]


def test_types_and_ops_are_counted(files: dict[str, TFLiteFile]) -> None:
    assert op_counts(files["float"]) == {
        "ADD": 2,
        "FULLY_CONNECTED": 2,
        "MUL": 1,
        "CONV_2D": 1,
        "DEPTHWISE_CONV_2D": 1,
        "CONCATENATION": 1,
        "MEAN": 1,
        "SOFTMAX": 1,
    }
    # Input, ten results, four kernels, four biases and the two numbers of the rescaling; the axes of the pooling.
    assert type_counts(files["float"]) == {"float32": 1 + 10 + 4 + 4 + 2, "int32": 1}
