"""A graph that no runtime can run is refused in one line before the native code, which crashes on it, sees it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hand_made
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hand_made import ADD, AXES, BIAS, CONV, KERNEL, MAP, MEAN, MEANS, OUTPUT, PHOTO, SHIFT

from keras_faceattr.artifact import runtime
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.measured_file import measured_file
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.errors import ArtifactError, BenchmarkError
from keras_faceattr.faces import embedder
from keras_faceattr.measure import latency

Change = Callable[[Any], object]


def graph(model: Any) -> Any:
    return model.subgraphs[0]


def inputs(op: int, *indices: int) -> Change:
    return lambda m: setattr(graph(m).operators[op], "inputs", list(indices))


def outputs(op: int, *indices: int) -> Change:
    return lambda m: setattr(graph(m).operators[op], "outputs", list(indices))


def quantized(index: int, scale: float, zero_point: int) -> Change:
    def change(model: Any) -> None:
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [scale], [zero_point]
        graph(model).tensors[index].quantization = quantization
        graph(model).tensors[index].type = schema.TensorType.INT8

    return change


def named(which: str, index: int) -> Change:
    return lambda m: setattr(getattr(m.signatureDefs[0], which)[0], "tensorIndex", index)


WRONG: dict[str, tuple[Change, str]] = {
    "a needed input is absent": (inputs(CONV, PHOTO, -1, BIAS), "op 0 (CONV_2D) lacks its input 1"),
    "the pixels are absent": (inputs(MEAN, -1, AXES), "op 1 (MEAN) lacks its input 0"),
    "too few inputs": (inputs(CONV, PHOTO), "op 0 (CONV_2D) has 1 inputs instead of 2"),
    "a constant as input": (lambda m: setattr(graph(m), "inputs", [KERNEL]), "input 1 of the graph is a constant"),
    "an input twice": (lambda m: setattr(graph(m), "inputs", [PHOTO, PHOTO]), "names an input twice"),
    "no input": (lambda m: setattr(graph(m), "inputs", []), "the graph has 0 inputs and 1 outputs"),
    "no output": (lambda m: setattr(graph(m), "outputs", []), "the graph has 1 inputs and 0 outputs"),
    "read before it is written": (inputs(CONV, MAP, KERNEL, BIAS), "op 0 (CONV_2D) reads tensor 3, which no op"),
    "an op is missing": (lambda m: graph(m).operators.pop(MEAN), "op 1 (ADD) reads tensor 5, which no op"),
    "ops in another order": (lambda m: graph(m).operators.reverse(), "op 0 (ADD) reads tensor 5, which no op"),
    "an output that nobody writes": (outputs(ADD, MEANS), "op 2 (ADD) writes tensor 5, which has"),
    "no ops": (lambda m: setattr(graph(m), "operators", []), "output 7 of the graph is written by no op"),
    "a constant is written": (outputs(ADD, SHIFT), "op 2 (ADD) writes tensor 6, which has"),
    "the input is written": (outputs(ADD, PHOTO), "op 2 (ADD) writes tensor 0, which has"),
    "a state is written": (lambda m: setattr(graph(m).tensors[OUTPUT], "isVariable", True), "writes tensor 7"),
    "a scale of 0": (quantized(OUTPUT, 0.0, 0), "tensor 7 has a scale that is no number above 0"),
    "a scale that is no number": (quantized(OUTPUT, float("nan"), 0), "tensor 7 has a scale that is no number above"),
    "a zero point out of range": (quantized(OUTPUT, 1.0, 300), "tensor 7 has a zero point outside of int8"),
    "scales beyond 32 bits": (
        lambda m: (quantized(MEANS, 1e-12, 0)(m), quantized(OUTPUT, 1.0, 0)(m)), "(ADD) joins scales of 1e-12 and 1"
    ),
    "integers without a scale": (
        lambda m: setattr(graph(m).tensors[OUTPUT], "type", schema.TensorType.INT8), "(ADD) needs a scale of tensor 7"
    ),
    "a signature of another graph": (
        lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 1), "a signature names a graph that does not exist"
    ),
    "a signature of no output": (named("outputs", MEANS), "the signature's output 't' is no output of the graph"),
    "a signature of no input": (named("inputs", SHIFT), "the signature's input 'image' is no input of the graph"),
    "more elements than memory": (
        lambda m: setattr(graph(m).tensors[MAP], "shape", [1, 50_000, 50_000, 2]),
        "its activations have 5e+09 elements, the limit is 1.07e+09",
    ),
    "more elements than numbers": (
        lambda m: setattr(graph(m).tensors[MAP], "shape", [2**31 - 1] * 32), "elements, the limit is"
    ),
}  # fmt: skip


@pytest.fixture
def wrong(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    change, words = WRONG[request.param]
    path = tmp_path / "net.tflite"
    path.write_bytes(hand_made.model(change))
    return path, words


def test_the_file_made_by_hand_runs_and_gives_what_numpy_gives(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(hand_made.model())
    photos = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("float32")
    got = LiteRTModel(path, 1).predict(photos)["t"]
    np.testing.assert_allclose(got, [hand_made.expected(photo) for photo in photos], rtol=1e-5)


@pytest.mark.parametrize("wrong", WRONG, indirect=True)
def test_a_graph_that_cannot_be_run_is_refused_wherever_a_file_is_opened(
    wrong: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, words = wrong
    for room in (runtime, latency, embedder):
        monkeypatch.setattr(room, "Interpreter", lambda *_, **__: pytest.fail("the native runtime got a wrong graph"))
    for opened in (read_tflite, LiteRTModel, lambda p: latency.Net(p, 1), embedder.tflite_embedder):
        with pytest.raises(ArtifactError) as error:
            opened(path)
        assert words in str(error.value) and "\n" not in str(error.value)
        assert str(error.value).startswith(f"{path}: ")


def test_a_list_of_fields_before_the_file_is_damage_and_not_read_from_its_end(tmp_path: Path) -> None:
    data = bytearray(hand_made.model())
    root = int.from_bytes(data[:4], "little")
    # Of a flatbuffer's table, the list of its fields lies as far before it as its first four bytes say.
    data[root : root + 4] = (root + 50).to_bytes(4, "little")
    (tmp_path / "net.tflite").write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged or truncated .it points outside itself"):
        read_tflite(tmp_path / "net.tflite")


def test_absent_biases_states_and_empty_shapes_are_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(hand_made.model(inputs(CONV, PHOTO, KERNEL, -1)))
    assert read_tflite(path).ops[CONV].inputs == (PHOTO, KERNEL, -1)

    def add_a_state(model: Any) -> None:
        graph(model).tensors[SHIFT].buffer, graph(model).tensors[SHIFT].isVariable = 0, True

    path.write_bytes(hand_made.model(add_a_state))
    assert read_tflite(path).tensors[SHIFT].is_variable


def test_what_the_runtime_refuses_as_it_runs_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"

    def axes_of_another_type(model: Any) -> None:
        graph(model).tensors[AXES].type = schema.TensorType.FLOAT32

    path.write_bytes(hand_made.model(axes_of_another_type))
    with pytest.raises(ArtifactError, match=r"net\.tflite: the runtime refuses it") as error:
        LiteRTModel(path, 1).predict(np.zeros((1, 4, 4, 3), "float32"))
    assert "\n" not in str(error.value)
    with pytest.raises(BenchmarkError, match=r"net\.tflite: the runtime cannot run it") as refused:
        latency.Net(path, 1)
    assert "\n" not in str(refused.value)


def test_an_output_without_a_row_for_each_photo_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"

    def mean_over_everything(model: Any) -> None:
        model.buffers[graph(model).tensors[AXES].buffer].data = np.frombuffer(np.array([0, 1], "<i4").tobytes(), "u1")
        graph(model).tensors[MEANS].shape = graph(model).tensors[OUTPUT].shape = [3, 2]

    path.write_bytes(hand_made.model(mean_over_everything))
    with pytest.raises(ArtifactError, match=r"its output 't' \(3, 2\) has no row for each photo: export it again"):
        LiteRTModel(path, 1)


def test_pictures_of_a_free_size_are_refused_with_the_way_to_fix_them(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"

    def free(*sizes: int) -> Change:
        return lambda m: setattr(graph(m).tensors[PHOTO], "shapeSignature", list(sizes))

    path.write_bytes(hand_made.model(free(1, -1, -1, 3)))
    for opened in (LiteRTModel, embedder.tflite_embedder, lambda p: measured_file(p, "net", "model", None)):
        with pytest.raises(ArtifactError, match=r"its input 't0' has a free size, 1 × \? × \? × 3: convert") as error:
            opened(path)
        assert str(error.value).endswith("tf.TensorSpec((1, 224, 224, 3), tf.float32)") and "\n" not in str(error.value)
    # A free batch has a size for each photo.
    path.write_bytes(hand_made.model(free(-1, 4, 4, 3)))
    assert measured_file(path, "net", "model", None).side == 4


TORTURE = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from test_soundness import damaged
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.errors import ArtifactError

path, counts = Path(sys.argv[2]), {"runs": 0, "refused": 0}
for seed in range(int(sys.argv[3])):
    print(seed, file=sys.stderr)
    path.write_bytes(damaged(random.Random(seed)))
    try:
        model = LiteRTModel(path, 1)
        model.predict(np.zeros((1, *model.input["shape"][1:]), "float32"))
        counts["runs"] += 1
    except ArtifactError as error:
        assert "\\n" not in str(error)
        counts["refused"] += 1
print(counts["runs"], counts["refused"])
"""


def damaged(dice: random.Random) -> bytes:
    """The file with one or two indices, shapes or types of its graph at random."""

    def change(model: Any) -> None:
        made = graph(model)
        for _ in range(dice.choice([1, 2])):
            tensor, op = dice.choice(made.tensors), dice.choice(made.operators)
            target, field = dice.choice(
                [(op, "inputs"), (op, "outputs"), (made, "inputs"), (made, "outputs"), (tensor, "shape")]
            )
            values = list(getattr(target, field)) or [0]
            values[dice.randrange(len(values))] = dice.randrange(-1, len(made.tensors))
            kind = dice.randrange(5)
            if kind == 0:
                tensor.type = dice.randrange(18)
            elif kind == 1:
                op.opcodeIndex = dice.randrange(3)
            elif kind == 2:
                values = values[:-1]
            if kind != 3 or field != "shape":
                setattr(target, field, values)

    return hand_made.model(change)


@pytest.mark.slow
def test_six_hundred_wrong_graphs_neither_crash_nor_raise_anything_else(tmp_path: Path) -> None:
    arguments = [str(Path(__file__).parent), str(tmp_path / "net.tflite"), "600"]
    done = subprocess.run(
        [sys.executable, "-c", TORTURE, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(hand_made.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"seed {done.stderr.splitlines()[-1:]}"
    runs, refused = map(int, done.stdout.split())
    assert runs + refused == 600 and runs > 20 and refused > 300
