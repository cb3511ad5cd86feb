"""The reader of `.tflite` files agrees with the runtime on good files and refuses all others in one line."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from converters import converter_of
from small import frameworks_after

from keras_faceattr.artifact.cost import cost_of, custom_ops, float_ops, layers_of, op_table
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.errors import ArtifactError

SIDE = 32


def branching_net() -> keras.Model:
    """Convolution and depthwise convolution, joined by Add and Concatenate, with two outputs."""
    photo = keras.Input((SIDE, SIDE, 3), batch_size=1, name="photo")
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(photo)
    x = keras.layers.ReLU(name="relu")(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = keras.layers.ReLU(6.0, name="relu6")(y)
    z = keras.layers.Concatenate(name="join")([keras.layers.Add(name="sum")([x, y]), x])
    z = keras.layers.Dense(5, name="logits")(keras.layers.GlobalAveragePooling2D(name="pool")(z))
    outputs = {
        "distribution": keras.layers.Softmax(name="softmax")(z),
        "value": keras.layers.Dense(1, name="expectation")(z),
    }
    model = keras.Model(photo, outputs, name="net")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def photos() -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for _ in range(4):
        yield {"photo": rng.uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)}


def converted(function: Callable[..., Any], shape: tuple[int, ...], flex: bool = False) -> bytes:
    spec = tf.TensorSpec(shape, tf.float32, name="x")
    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return bytes(converter.convert())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same net as float, float16 and int8 with a uint8 input."""
    folder = tmp_path_factory.mktemp("files")
    model = branching_net()
    paths = {}
    for recipe in ("float", "float16", "int8"):
        paths[recipe] = folder / f"{recipe}.tflite"
        paths[recipe].write_bytes(converter_of(model, recipe, photos).convert())
    return paths


def edited(path: Path, change: Callable[[Any], None]) -> bytes:
    """The file after a change to its unpacked model."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def refusal(path: Path, data: bytes) -> str:
    """The one line that refuses a file."""
    path.write_bytes(data)
    with pytest.raises(ArtifactError) as error:
        read_tflite(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("recipe", ["float", "float16", "int8"])
def test_tensors_agree_with_the_runtime(files: dict[str, Path], recipe: str) -> None:
    file = read_tflite(files[recipe])
    runtime = Interpreter(
        str(files[recipe]), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    details = {detail["index"]: detail for detail in runtime.get_tensor_details()}
    assert len(file.tensors) == len(details)
    for tensor in file.tensors:
        detail = details[tensor.index]
        quantization = detail["quantization_parameters"]
        assert (tensor.name, tensor.dtype) == (detail["name"], np.dtype(detail["dtype"]).name)
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.scale == tuple(quantization["scales"].tolist())
        assert tensor.zero_point == tuple(quantization["zero_points"].tolist())
        assert tensor.quantized_dimension == quantization["quantized_dimension"]
    assert list(file.inputs) == [detail["index"] for detail in runtime.get_input_details()]
    assert list(file.outputs) == [detail["index"] for detail in runtime.get_output_details()]


@pytest.mark.parametrize("recipe", ["float", "float16", "int8"])
def test_ops_agree_with_the_runtime(files: dict[str, Path], recipe: str) -> None:
    file = read_tflite(files[recipe])
    runtime = Interpreter(
        str(files[recipe]), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    expected = [
        (detail["index"], detail["op_name"], tuple(detail["inputs"]), tuple(detail["outputs"]))
        for detail in runtime._get_ops_details()
    ]
    assert [(op.index, op.kind, op.inputs, op.outputs) for op in file.ops] == expected
    assert not any(op.is_custom for op in file.ops)


def test_fused_activations_are_named(files: dict[str, Path]) -> None:
    file = read_tflite(files["int8"])
    activations = {op.kind: op.fused_activation for op in file.ops}
    assert activations["CONV_2D"] == "RELU"
    assert activations["DEPTHWISE_CONV_2D"] == "RELU6"
    assert {activations[kind] for kind in ("ADD", "CONCATENATION", "SOFTMAX", "FULLY_CONNECTED")} == {""}


def test_a_signature_names_inputs_and_outputs(files: dict[str, Path]) -> None:
    file = read_tflite(files["float"])
    runtime = Interpreter(str(files["float"])).get_signature_runner()
    assert file.signature_inputs == {name: d["index"] for name, d in runtime.get_input_details().items()}
    assert file.signature_outputs == {name: d["index"] for name, d in runtime.get_output_details().items()}
    assert file.signature_inputs.keys() == {"photo"}
    assert [file.tensors[file.signature_outputs[name]].shape for name in ("distribution", "value")] == [(1, 5), (1, 1)]


def test_a_file_without_a_signature_has_no_names(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "file.tflite"
    path.write_bytes(edited(files["float"], lambda model: setattr(model, "signatureDefs", None)))
    file = read_tflite(path)
    assert (file.signature_inputs, file.signature_outputs) == ({}, {})
    assert file.inputs == read_tflite(files["float"]).inputs


def test_a_uint8_input_tells_its_scale(files: dict[str, Path]) -> None:
    file = read_tflite(files["int8"])
    photo = file.tensors[file.signature_inputs["photo"]]
    assert (photo.dtype, photo.shape, photo.is_constant) == ("uint8", (1, SIDE, SIDE, 3), False)
    # The representative photos fill 0–255, so that a step of the input is a grey level.
    assert photo.scale[0] == pytest.approx(1.0, abs=0.01)
    assert photo.zero_point == (0,)


def test_kernels_are_quantized_by_channel(files: dict[str, Path]) -> None:
    file = read_tflite(files["int8"])
    kernels = {op.kind: file.tensors[op.inputs[1]] for op in file.ops if "CONV" in op.kind}
    assert {kind: (len(k.scale), k.quantized_dimension) for kind, k in kernels.items()} == {
        "CONV_2D": (8, 0),
        "DEPTHWISE_CONV_2D": (8, 3),
    }
    assert {kind: k.constant_bytes for kind, k in kernels.items()} == {
        "CONV_2D": 8 * 3 * 3 * 3,
        "DEPTHWISE_CONV_2D": 3 * 3 * 8,
    }


def test_a_changing_batch_is_noticed(tmp_path: Path) -> None:
    photo = keras.Input((4,))
    model = keras.Model(photo, keras.layers.Dense(2)(photo))
    path = tmp_path / "file.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    file = read_tflite(path)
    assert file.tensors[file.inputs[0]].shape == (1, 4)
    assert file.tensors[file.inputs[0]].is_dynamic


def test_a_fixed_batch_is_fixed(files: dict[str, Path]) -> None:
    assert not any(tensor.is_dynamic for tensor in read_tflite(files["float"]).tensors)


def test_flex_ops_are_found_under_their_tensorflow_name(tmp_path: Path) -> None:
    path = tmp_path / "flex.tflite"
    path.write_bytes(converted(lambda x: tf.linalg.det(x) + 1.0, (1, 4, 4), flex=True))
    assert [op.kind for op in custom_ops(read_tflite(path))] == ["FlexMatrixDeterminant"]


def test_control_flow_is_refused(tmp_path: Path) -> None:
    data = converted(lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 9.0, lambda y: (y + 1.0,), (x,))[0], (1, 4))
    assert "control flow is not supported" in refusal(tmp_path / "loop.tflite", data)


def move_weights_out(model: Any) -> bytes:
    """Weights behind the flatbuffer, as in files of more than 2 GB; returns them."""
    outside = b""
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.offset, buffer.size = len(outside), len(buffer.data)
            outside += bytes(buffer.data)
            buffer.data = None
    return outside


def with_weights_outside(path: Path, gap: int = 0) -> tuple[bytes, int, bytes]:
    """A flatbuffer, the place of its weights, and the weights."""
    place = len(edited(path, move_weights_out)) + 4096 + gap
    weights = b""

    def change(model: Any) -> None:
        nonlocal weights
        weights = move_weights_out(model)
        for buffer in model.buffers:
            buffer.offset += place if buffer.size else 0

    return edited(path, change), place, weights


def without_buffers(file: TFLiteFile) -> list[tuple[Any, ...]]:
    return [(t.name, t.shape, t.dtype, t.scale, t.constant_bytes) for t in file.tensors]


def test_weights_behind_the_flatbuffer_are_read_and_missing_ones_noticed(
    files: dict[str, Path], tmp_path: Path
) -> None:
    head, place, weights = with_weights_outside(files["int8"])
    whole = head.ljust(place, b"\0") + weights
    path = tmp_path / "outside.tflite"
    path.write_bytes(whole)
    assert without_buffers(read_tflite(path)) == without_buffers(read_tflite(files["int8"]))
    # The last bytes belong to the converter's notes; the weights end before them.
    assert "reach beyond the end" in refusal(path, whole[: place + 100])


def test_weights_that_reach_beyond_the_end_are_noticed(files: dict[str, Path], tmp_path: Path) -> None:
    marker, size = b"these are twenty-six bytes", 1_000_000

    def change(model: Any) -> None:
        kernel = next(t for t in graph(model).tensors if t.name.endswith(b"conv_1/convolution"))
        kernel.shape = [size]
        model.buffers[kernel.buffer].data = np.frombuffer(marker, np.uint8)

    data = edited(files["int8"], change)
    # The length of a list stands in front of it.
    grown = data.replace(len(marker).to_bytes(4, "little") + marker, size.to_bytes(4, "little") + marker)
    assert grown != data
    assert "points outside itself" in refusal(tmp_path / "grown.tflite", grown)


def test_a_file_of_550_mb_is_read_in_a_moment(files: dict[str, Path], tmp_path: Path) -> None:
    head, place, weights = with_weights_outside(files["float"], gap=550_000_000)
    path = tmp_path / "huge.tflite"
    with path.open("wb") as handle:
        handle.write(head)
        handle.seek(place)
        handle.write(weights)
    start = time.perf_counter()
    file = read_tflite(path)
    assert time.perf_counter() - start < 2.0
    assert file.file_bytes > 550_000_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"TFL3", "not a TFLite file"),
        (b"<html><body>404 Not Found</body></html>", "not a TFLite file"),
        (bytes(1000), "not a TFLite file"),
        (b"\x20\0\0\0TFL3", "damaged or truncated"),
        (b"\xff\xff\xff\xffTFL3" + bytes(100), "damaged or truncated"),
        (b"\x10\0\0\0TFL3" + b"\xff" * 1000, "damaged or truncated"),
        (b"\0\0\0\0TFL3" + bytes(1000), "damaged or truncated"),
        (b"\x10\0\0\0TFL3" + random.Random(0).randbytes(1000), "damaged or truncated"),
    ],
)
def test_what_is_no_tflite_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in refusal(tmp_path / "file.tflite", data)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, found in ((tmp_path / "none.tflite", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(ArtifactError, match=f"{found}; give the path of a .tflite file"):
            read_tflite(path)


def graph(model: Any) -> Any:
    return model.subgraphs[0]


DAMAGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "other schema": (lambda m: setattr(m, "version", 2), "schema version 2"),
    "no graph": (lambda m: setattr(m, "subgraphs", []), "it has no graph"),
    "no kinds": (lambda m: setattr(m, "operatorCodes", []), "undeclared kind"),
    "unknown kind": (lambda m: setattr(m.operatorCodes[0], "builtinCode", 9999), "unknown operator: number 9999"),
    "unknown type": (lambda m: setattr(graph(m).tensors[0], "type", 99), "unknown type of tensor 0: number 99"),
    "no buffers": (lambda m: setattr(m, "buffers", []), "names buffer"),
    "buffer out of range": (lambda m: setattr(graph(m).tensors[0], "buffer", 10**6), "names buffer 1000000 of"),
    "weights too short": (lambda m: setattr(m.buffers[2], "data", m.buffers[2].data[:-1]), "bytes instead of"),
    "negative size": (lambda m: setattr(graph(m).tensors[0], "shape", [1, -4]), "impossible shape"),
    "rank of 1000": (lambda m: setattr(graph(m).tensors[0], "shape", [2**31 - 1] * 1000), "impossible shape"),
    "graph input": (lambda m: setattr(graph(m), "inputs", [-1]), "graph's inputs name tensors that do not exist"),
    "graph output": (lambda m: setattr(graph(m), "outputs", [999]), "graph's outputs name tensors"),
    "op input": (lambda m: setattr(graph(m).operators[1], "inputs", [0, -2]), "inputs of op 1 name tensors"),
    "op output": (lambda m: setattr(graph(m).operators[1], "outputs", [-1]), "outputs of op 1 name tensors"),
    "signature": (lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 999), "the signature name tensors"),
    "zero points": (lambda m: setattr(graph(m).tensors[0].quantization, "zeroPoint", [1, 2]), "2 zero points"),
    "endless list": (lambda m: setattr(graph(m), "inputs", np.zeros(6_000_000, np.int32)), "too long"),
    "endless name": (lambda m: setattr(graph(m).tensors[0], "name", "n" * 6_000_000), "too long"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_wrong_entry_is_named(files: dict[str, Path], tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    assert message in refusal(tmp_path / "damaged.tflite", edited(files["int8"], change))


def test_a_name_with_odd_bytes_is_shown_not_refused(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "file.tflite"
    path.write_bytes(edited(files["float"], lambda m: setattr(graph(m).tensors[0], "name", b"\xff\xfe")))
    assert read_tflite(path).tensors[0].name == "\N{REPLACEMENT CHARACTER}" * 2


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("recipe", ["float", "float16", "int8"])
def test_a_truncated_file_is_refused_wherever_it_is_cut(
    files: dict[str, Path], tmp_path: Path, recipe: str, share: float
) -> None:
    data = files[recipe].read_bytes()
    refusal(tmp_path / "cut.tflite", data[: int(share * len(data))])
    refusal(tmp_path / "cut.tflite", data[:-1])


@pytest.mark.parametrize("recipe", ["float", "float16", "int8"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    files: dict[str, Path], tmp_path: Path, recipe: str
) -> None:
    data, path, rng = files[recipe].read_bytes(), tmp_path / "damaged.tflite", random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.randrange(len(data))] = rng.choice([0, 127, 128, 255, rng.randrange(256)])
        path.write_bytes(damaged)
        try:
            file = read_tflite(path)
            float_ops(file), custom_ops(file), op_table(file), [layers_of(file, op, ["conv"]) for op in file.ops]
            cost_of(file)
        except ArtifactError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 0 < refused < 150


def test_reading_needs_neither_tensorflow_nor_keras(files: dict[str, Path]) -> None:
    code = (
        "from pathlib import Path; from keras_faceattr.artifact.cost import cost_of;"
        "from keras_faceattr.artifact.flatbuffer import read_tflite;"
        f"cost_of(read_tflite(Path({str(files['int8'])!r})));"
    )
    assert frameworks_after(code) == "[]"
