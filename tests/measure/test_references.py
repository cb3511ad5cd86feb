"""Reference nets: built once in a child process, kept whole or not at all, found again without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_faceattr.artifact.cost import custom_ops, float_ops
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.errors import BenchmarkError, ConfigError
from keras_faceattr.measure import references
from keras_faceattr.measure.references import REFERENCE_NETS, reference_net, reference_path

NAME, SIDE = "mobilenet_v3_small", 32


@pytest.fixture(scope="module", params=[pytest.param("float32", marks=pytest.mark.slow), "int8"])
def built(request: pytest.FixtureRequest) -> Path:
    """A real net in the session's cache."""
    return reference_net(NAME, request.param, SIDE)


def test_a_net_takes_one_photo_and_knows_a_thousand_classes(built: Path) -> None:
    precision = built.name.removeprefix(f"{NAME}_").split("_")[0]
    file = read_tflite(built)
    taken, given = file.tensors[file.inputs[0]], file.tensors[file.outputs[0]]
    assert taken.shape == (1, SIDE, SIDE, 3)
    assert taken.dtype == {"float32": "float32", "int8": "uint8"}[precision]
    assert given.shape == (1, 1000)
    assert not custom_ops(file)
    assert (float_ops(file) == []) is (precision == "int8")
    # The published number is 2.5 million.
    weights = [tensor for tensor in file.tensors if tensor.is_constant and tensor.elements > 100]
    assert 2.3e6 < sum(tensor.elements for tensor in weights) < 2.7e6


def test_activations_do_not_fade_out(built: Path) -> None:
    # Random weights shrink them from layer to layer, down to ranges of 1e-6.
    file = read_tflite(built)
    ranges = [255 * t.scale[0] for t in file.tensors if t.dtype == "int8" and t.scale and not t.is_constant]
    assert all(reach > 0.01 for reach in ranges), sorted(ranges)[:5]
    weights = [tensor for tensor in file.tensors if tensor.is_constant and tensor.elements > 100]
    kernels = np.frombuffer(built.read_bytes(), np.int8)
    assert len(weights) > 50 and (kernels != 0).mean() > 0.9


def test_a_built_net_is_found_again_without_tensorflow_or_a_child(built: Path) -> None:
    precision, before = built.name.split("_")[3], built.stat().st_ino
    code = (
        "import subprocess, sys; subprocess.run = None; from keras_faceattr.measure.references import reference_net;"
        f"print(reference_net('{NAME}', '{precision}', {SIDE}));"
        "print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [str(built), "[]"], done.stderr
    assert built.stat().st_ino == before


Child = Callable[[list[str]], subprocess.CompletedProcess[str]]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Callable[[Child], list[list[str]]]:
    """Replaces the child process by a function of its arguments (name, precision, side, folder, file)."""

    def replace(work: Child) -> list[list[str]]:
        calls: list[list[str]] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            calls.append(command[3:])
            return work(command[3:])

        monkeypatch.setattr(references.subprocess, "run", run)
        return calls

    return replace


def ended(code: int, stderr: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, "", stderr)


def test_a_damaged_net_in_the_cache_is_built_anew(built: Path, child: Callable[[Child], list[list[str]]]) -> None:
    def write(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        Path(arguments[4]).write_bytes(built.read_bytes())
        return ended(0)

    calls = child(write)
    path = reference_path(NAME, "int8", SIDE)
    path.parent.mkdir(parents=True)
    path.write_bytes(built.read_bytes()[: built.stat().st_size // 2])
    assert reference_net(NAME, "int8", SIDE) == path
    assert path.read_bytes() == built.read_bytes()
    assert [call[:3] for call in calls] == [[NAME, "int8", str(SIDE)]]
    assert reference_net(NAME, "int8", SIDE) == path
    assert len(calls) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ended(1, "Traceback:\n  File x\nValueError: no such op\n\n"), "ValueError: no such op"),
        (ended(-9), "killed by signal 9; free memory"),
        (ended(1, "tensorflow...: RESOURCE: /x; No space left on device\nX: failed\n"), "the disk is full: free space"),
        (ended(1, "MemoryError\n"), "not enough memory"),
        (ended(1, "ModuleNotFoundError: No module named 'tensorflow'\n"), "TensorFlow is not installed: pip install"),
        (ended(0), "wrote no file"),
        (ended(1), "wrote no file"),
    ],
)
def test_a_child_that_fails_gives_one_line_and_leaves_nothing(
    child: Callable[[Child], list[list[str]]], answer: subprocess.CompletedProcess[str], message: str, own_cache: Path
) -> None:
    def fail(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        Path(arguments[4]).write_bytes(b"half")
        assert Path(arguments[3]).is_dir()
        return answer

    child(fail)
    with pytest.raises(BenchmarkError, match=message) as error:
        reference_net("vgg16", "float32", 224)
    assert str(error.value).startswith("the reference net vgg16 (float32, 224 × 224) cannot be built: ")
    assert "\n" not in str(error.value)
    assert not list((own_cache / "references").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet", "int8", 64), "did you mean 'resnet50'.*mobilenet_v2, mobilenet_v3_small, resnet50, vgg16"),
        (("vgg16", "int4", 64), "did you mean 'int8'"),
        (("vgg16", "int8", 16), "32 to 1024 pixels, not 16"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(
    child: Callable[[Child], list[list[str]]], arguments: tuple[str, str, int], message: str
) -> None:
    calls = child(lambda _: ended(1))
    with pytest.raises(ConfigError, match=message):
        reference_net(*arguments)
    assert not calls


def test_another_tensorflow_gives_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    now = reference_path(NAME, "int8", SIDE)
    assert now == reference_path(NAME, "int8", SIDE)
    monkeypatch.setattr(references.metadata, "version", lambda name: "99.0" if name == "tensorflow" else "3.15")
    assert reference_path(NAME, "int8", SIDE) != now


def test_every_name_stands_for_a_net_of_keras() -> None:
    import keras

    assert all(callable(getattr(keras.applications, name)) for name in REFERENCE_NETS.values())
