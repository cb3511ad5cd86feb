"""The TFMOT engine runs in a child process, from the folded net to the file, and says clearly when it cannot."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.artifact.cost import float_ops, layers_of
from keras_faceattr.artifact.flatbuffer import TFLiteFile, read_tflite
from keras_faceattr.artifact.runtime import LiteRTModel
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.prepare import prepare
from keras_faceattr.errors import ModelError, TrainingError
from keras_faceattr.evaluation.predictions import predict_split
from keras_faceattr.models.heads import HEADS, raw_outputs
from keras_faceattr.quantization import tfmot
from keras_faceattr.quantization.fine_tune import fine_tuning_experiment
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.tfmot import TfmotResult, fine_tune_with_tfmot
from keras_faceattr.run import Run
from keras_faceattr.tasks import Task
from keras_faceattr.training.fit import network_of

missing = any(importlib.util.find_spec(package) is None for package in tfmot.PACKAGES)


def needs_extra(test: Callable[..., None]) -> Callable[..., None]:
    """Slow too: the engine trains in a child process of its own."""
    skip = pytest.mark.skipif(missing, reason="the extra is not installed: pip install 'keras-faceattr[tfmot]'")
    return pytest.mark.slow(skip(test))


LEGACY = {"tf_keras", "tensorflow_model_optimization"}


@dataclass(frozen=True)
class Case:
    """A net to quantize, and where."""

    folded: keras.Model
    experiment: Experiment
    run: Run
    tasks: dict[str, Task]


@dataclass(frozen=True)
class Done:
    """What the engine made of a case."""

    case: Case
    result: TfmotResult
    path: Path
    file: TFLiteFile
    lines: list[str]


def branching_net(task: Task) -> keras.Model:
    """Every kind of layer that the engine knows, most behind a ReLU whose many readers cannot fuse with it."""
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image)
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.ReLU(6.0, name="relu6")(layers.Conv2D(8, 3, strides=2, name="conv")(x))
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    y = layers.Add(name="add")([x, y])
    y = layers.Activation("relu", name="add_relu")(y)
    y = layers.Add(name="second_add")([x, y])
    y = layers.Add(name="third_add")([layers.ReLU(name="read_twice_relu")(y), y])
    gate = layers.Conv2D(8, 1, name="gate_conv")(layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y))
    y = layers.Multiply(name="multiply")([y, layers.Activation("sigmoid", name="gate")(gate)])
    y = layers.Average(name="average")([x, y])
    y = layers.Concatenate(name="concatenate")(
        [layers.MaxPooling2D(2, name="maximum")(y), layers.AveragePooling2D(2, name="mean")(x)]
    )
    y = layers.Reshape((4, 16, 16), name="reshape")(y)
    y = layers.GlobalMaxPooling2D(name="largest")(y)
    y = layers.Flatten(name="flatten")(y)
    y = layers.ReLU(name="dense_relu")(layers.Dense(12, name="dense")(y))
    raw = raw_outputs(layers.Dropout(0.1, name="dropout", seed=0)(y), task, "distribution")
    return keras.Model(image, HEADS["distribution"].decode(task, raw), name="branching")


def make_case(
    folder: Path, tasks: list[str], net: Callable[[Task], keras.Model] | None = None, **settings: Any
) -> Case:
    """40 drawn faces of 32 pixels and an untrained net."""
    given = {
        "name": "tiny",
        "data": {"sources": [{"reader": "synthetic", "options": {"count": 40, "size": 40}}], "crop": {"size": 32}},
        "tasks": dict.fromkeys(tasks, settings),
        "training": {"batch_size": 8},
    }
    experiment = parse_experiment(given, "test")
    data = prepare(experiment, ("train",))
    model = net(data.tasks[tasks[0]]) if net else network_of(experiment, data.tasks).inference
    run = Run(folder)
    run.write_config(experiment, data.tasks)
    return Case(fold_batch_norm(model), fine_tuning_experiment(experiment, "tuned", 1, 1e-4), run, data.tasks)


def finish(case: Case, folder: Path) -> Done:
    """Runs the engine and reads its file."""
    lines: list[str] = []
    result = fine_tune_with_tfmot(case.folded, case.experiment, case.run, 16, lines.append)
    path = folder / "model.tflite"
    path.write_bytes(result.tflite)
    return Done(case, result, path, read_tflite(path), lines)


@pytest.fixture(scope="module")
def thin_vgg(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("thin_vgg")
    # Names that are not in alphabetical order: a file's outputs must not be mixed up.
    return finish(make_case(folder / "run", ["attractiveness", "age", "gender"]), folder)


@pytest.fixture(scope="module")
def branching(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("branching")
    keras.utils.set_random_seed(0)
    return finish(make_case(folder / "run", ["attractiveness"], branching_net), folder)


def feature_step(file: TFLiteFile) -> float:
    """The unit of the last integer tensor, which the heads read."""
    (last,) = [op for op in file.ops if op.kind == "DEQUANTIZE"]
    return file.tensors[last.inputs[0]].scale[0]


@needs_extra
def test_all_convolutions_are_integer(thin_vgg: Done) -> None:
    kernels = [op for op in thin_vgg.file.ops if op.kind == "CONV_2D"]
    assert len(kernels) == 13
    for op in kernels:
        assert [thin_vgg.file.tensors[index].dtype for index in (*op.inputs, *op.outputs)] == [
            "int8", "int8", "int32", "int8",
        ]  # fmt: skip
    assert [thin_vgg.file.tensors[index].dtype for index in thin_vgg.file.inputs] == ["uint8"]


@needs_extra
@pytest.mark.parametrize("case", ["thin_vgg", "branching"])
def test_only_the_heads_compute_in_floats(case: str, request: pytest.FixtureRequest) -> None:
    done: Done = request.getfixturevalue(case)
    names = [layer.name for layer in done.case.folded.layers]
    decoding = {f"{task}{end}" for task in done.case.tasks for end in ("", "_raw", "_distribution", "_expectation")}
    head = decoding | {"features", "dropout"}
    found = {name for op in float_ops(done.file) for name in layers_of(done.file, op, names)}
    assert found
    assert found <= head


@needs_extra
@pytest.mark.parametrize("case", ["thin_vgg", "branching"])
def test_the_file_computes_what_the_fake_quantized_model_computes(case: str, request: pytest.FixtureRequest) -> None:
    done: Done = request.getfixturevalue(case)
    part = prepare(done.case.experiment, ("test",)).parts["test"]
    outputs = predict_split(LiteRTModel(done.path).predict, part)
    assert outputs.keys() == done.result.outputs.keys() == set(done.case.folded.output_names)
    for name, task in ((f"{name}{end}", t) for name, t in done.case.tasks.items() for end in ("", "_distribution")):
        if name not in outputs:
            continue
        # A sum that lies between two steps may fall on either side, and that spreads: after the 13 convolutions of
        # this untrained net a third of the features differ by one to three steps, 0.7 in the root mean square. With
        # random signs a raw output moves by that × the L2 norm of its weights; two steps are three such moves. A
        # probability moves by less than a raw output, a value by less than that share of its range.
        kernel = np.asarray(done.case.folded.get_layer(f"{task.name}_raw").kernel)
        moved = 2 * feature_step(done.file) * np.sqrt((kernel**2).sum(axis=0).max())
        unit = task.maximum - task.minimum if hasattr(task, "maximum") and name == task.name else 1.0
        np.testing.assert_allclose(outputs[name], done.result.outputs[name], rtol=0, atol=moved * unit, err_msg=name)


@needs_extra
def test_every_kernel_outside_the_heads_is_rounded_in_training(branching: Done, tmp_path: Path) -> None:
    # TFMOT's own rule for a convolution with a ReLU layer behind it leaves the kernel in float until the conversion.
    code = (
        "import sys; from pathlib import Path; from keras_faceattr.quantization import tfmot_child as child;"
        "folded = child.load_model(Path(sys.argv[1])); tasks = ['attractiveness'];"
        "model, _ = child.build(folded, tasks, child.quantize_network(folded, tasks));"
        "print(*(x.name for x in model.body.layers if any('kernel_min' in w.name for w in x.weights)))"
    )
    branching.case.folded.save(tmp_path / "folded.keras")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "folded.keras")],
        env={**os.environ, **tfmot.ENVIRONMENT},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert set(done.stdout.split()) == {"conv", "depthwise", "gate_conv", "dense"}


@needs_extra
def test_epochs_versions_and_lines_are_reported(thin_vgg: Done) -> None:
    (row,) = thin_vgg.result.epochs
    assert row["epoch"] == 1
    assert np.isfinite(row["loss"])
    assert {"val_age_mae", "val_gender_accuracy"} <= row.keys()
    assert set(thin_vgg.result.versions) == {"tensorflow", "tf_keras", "tensorflow-model-optimization"}
    assert "calibrating on 16 photos" in thin_vgg.lines[0]
    assert [line for line in thin_vgg.lines if line.startswith("epoch 1/1: loss ")]
    # Whatever the libraries print is not the user's.
    assert all(line.startswith(("engine tfmot: ", "epoch 1/1: ")) for line in thin_vgg.lines)


@needs_extra
def test_photos_count_by_their_class_weights(tmp_path: Path) -> None:
    case = make_case(tmp_path / "run", ["gender"], class_weights={"female": 0.0, "male": 0.0})
    assert finish(case, tmp_path).result.epochs[0]["loss"] == 0.0


@needs_extra
def test_this_process_stays_free_of_legacy_keras(thin_vgg: Done) -> None:
    assert not LEGACY & set(sys.modules)
    assert keras.__version__.startswith("3.")


@needs_extra
def test_a_layer_without_a_form_is_named(tmp_path: Path) -> None:
    def net(task: Task) -> keras.Model:
        image = keras.Input((32, 32, 3), name="image")
        x = layers.Conv2D(4, 3, name="conv")(layers.Rescaling(1 / 127.5, -1.0, name="normalise")(image))
        x = layers.GlobalAveragePooling2D(name="features")(layers.LeakyReLU(name="leaky")(x))
        return keras.Model(
            image, HEADS["distribution"].decode(task, raw_outputs(x, task, "distribution")), name="leaky_net"
        )

    case = make_case(tmp_path, ["age"], net)
    with pytest.raises(ModelError, match=r"layer 'leaky' \(LeakyReLU\) has no form in engine tfmot"):
        fine_tune_with_tfmot(case.folded, case.experiment, case.run, 16, print)


def test_a_missing_extra_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    nothing: Any = None
    with pytest.raises(ModelError, match=r"pip install 'keras-faceattr\[tfmot\]'"):
        fine_tune_with_tfmot(nothing, nothing, Run(tmp_path), 16, print)


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the engine with a child that executes some lines instead; its temporary files go to `tmp_path/temporary`."""
    case = make_case(tmp_path / "run", ["age"])

    def run(code: str, say: Callable[[str], None] = print) -> None:
        (tmp_path / "stand_in_child.py").write_text(code)
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        monkeypatch.setattr(tfmot, "CHILD", "stand_in_child")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        fine_tune_with_tfmot(case.folded, case.experiment, case.run, 16, say)

    return run


def test_a_killed_child_gives_one_line_and_leaves_nothing(play: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"child process was killed \(SIGKILL\)") as raised:
        play("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_failing_child_is_quoted_by_its_error_and_not_by_its_chatter(play: Callable[..., None]) -> None:
    goodbye = "import atexit, sys; atexit.register(lambda: print('W0000 bye', file=sys.stderr))"
    code = f"{goodbye}; raise ValueError('odd shape')"
    with pytest.raises(TrainingError, match=r"engine tfmot failed: ValueError: odd shape$"):
        play(code)


def test_an_error_of_ours_keeps_its_kind(play: Callable[..., None]) -> None:
    with pytest.raises(ModelError, match=r"^layer 'x': no$"):
        play("from keras_faceattr.errors import ModelError; raise ModelError(\"layer 'x': no\")")


def test_whoever_interrupts_does_not_leave_the_child_running(play: Callable[..., None], tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        play("import time; print('working', flush=True); time.sleep(60)", interrupt)
    assert time.monotonic() - started < 30
    assert not list((tmp_path / "temporary").iterdir())


def test_the_environment_of_the_child_selects_legacy_keras_and_tensorflow(play: Callable[..., None]) -> None:
    lines: list[str] = []
    with pytest.raises(TrainingError):
        play(
            "import os; print(*(os.environ[k] for k in ('TF_USE_LEGACY_KERAS', 'TF_CPP_MIN_LOG_LEVEL', "
            "'KERAS_BACKEND')), flush=True); raise SystemExit(3)",
            lines.append,
        )
    assert lines == ["1 3 tensorflow"]
