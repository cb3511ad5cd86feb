"""Fine-tuning as a run: it trains, freezes, goes on after a kill, and keeps the calibrated net if that is better."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from integer_nets import draw_photos, randomise
from keras import layers

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.evaluation.evaluate_run import evaluate_run
from keras_faceattr.models import MODELS, Architecture, shared
from keras_faceattr.models.layers import conv_block, normalise
from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization import fine_tune as module
from keras_faceattr.quantization.biases import round_biases
from keras_faceattr.quantization.calibrate import calibrate
from keras_faceattr.quantization.fine_tune import fine_tune, fine_tuning_experiment
from keras_faceattr.quantization.folding import fold_batch_norm
from keras_faceattr.quantization.quantize import QuantizedNetwork, quantize_network
from keras_faceattr.run import Run
from keras_faceattr.tasks import age_task
from keras_faceattr.training.fit import network_of, save_model

SMALL = [
    "data.sources.0.options.count=60", "data.sources.0.options.size=40", "data.crop.size=32",
    "training.batch_size=8", "evaluation.bootstrap_samples=20", "model.name=shallow_net", "training.epochs=2",
]  # fmt: skip


def shallow(pixels: Any, pooling: str = "hybrid") -> Any:
    """Two convolutions, so that a step compiles in a second."""
    x = layers.MaxPooling2D(4, name="pool")(conv_block(normalise(pixels), 8, "first"))
    return layers.GlobalAveragePooling2D(name="features")(conv_block(x, 16, "second"))


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "shallow_net", Architecture(shared(shallow), {}, {"age": (age_task(), None)}))
        yield


@pytest.fixture(scope="module")
def data(registered: None) -> PreparedData:
    return prepare(load_experiment("quickstart", SMALL), ("train", "val"))


@dataclass
class Recorder:
    """Keeps each epoch's row and ranges; dies after an epoch if told to."""

    quantized: QuantizedNetwork
    die_after: int = 99
    rows: list[dict[str, Any]] = field(default_factory=list)
    ranges: list[dict[str, tuple[float, float]]] = field(default_factory=list)

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        assert np.isfinite(loss)

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        self.rows.append(row)
        self.ranges.append(limits(self.quantized))
        if row["epoch"] == self.die_after:
            raise KeyboardInterrupt


def limits(quantized: QuantizedNetwork) -> dict[str, tuple[float, float]]:
    return {name: layer.limits() for name, layer in quantized.ranges().items()}


def tuning(*overrides: str, epochs: int = 3) -> Experiment:
    base = load_experiment("quickstart", [*SMALL, *overrides])
    return fine_tuning_experiment(base, "tuned", epochs, 2e-3)


def calibrated(experiment: Experiment, data: PreparedData, **options: Any) -> QuantizedNetwork:
    folded = fold_batch_norm(randomise(network_of(experiment, data.tasks).inference))
    quantized = quantize_network(folded, data.tasks, **options)
    part = data.parts["train"]
    calibrate(quantized, folded, [part.crops.take(part.rows[:16]).astype("float32")])
    return quantized


def tuned(
    folder: Path, data: PreparedData, quantized: QuantizedNetwork, experiment: Experiment, die_after: int = 99
) -> tuple[bool, Recorder]:
    recorder = Recorder(quantized, die_after)
    helped = fine_tune(
        quantized.network, experiment, data, Run(folder), recorder,
        ranges=quantized.ranges().values(), frozen_epochs=1, range_rate=0.2,
    )  # fmt: skip
    return helped, recorder


@dataclass
class Tuned:
    run: Run
    quantized: QuantizedNetwork
    start: dict[str, tuple[float, float]]
    helped: bool
    recorder: Recorder


@pytest.fixture(scope="module")
def whole(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """An uninterrupted call."""
    folder, experiment = tmp_path_factory.mktemp("whole"), tuning()
    quantized = calibrated(experiment, data)
    run = Run(folder)
    run.write_config(experiment, data.tasks)
    start = limits(quantized)
    helped, recorder = tuned(folder, data, quantized, experiment)
    return Tuned(run, quantized, start, helped, recorder)


def test_it_trains_and_leaves_a_history(whole: Tuned) -> None:
    history = pd.read_csv(whole.run.history_path)
    assert list(history["epoch"]) == [1, 2, 3]
    assert history["loss"].iloc[-1] < 0.97 * history["loss"].iloc[0]
    assert whole.helped
    assert {"val_age_mae", "val_attractiveness_mae", "val_gender_accuracy"} <= set(history)


def test_ranges_move_until_the_frozen_epochs(whole: Tuned) -> None:
    first, second, third = whole.recorder.ranges
    moving = [name for name, layer in whole.quantized.ranges().items() if layer.fixed is None]
    assert moving
    for name in moving:
        assert first[name] != whole.start[name]
        assert second[name] != first[name]
    assert third == second
    assert first["image_range"] == third["image_range"] == whole.start["image_range"]


def test_the_run_folder_can_be_read_and_evaluated(whole: Tuned, data: PreparedData) -> None:
    assert whole.run.experiment().name == "tuned"
    assert whole.run.tasks() == data.tasks
    save_model(whole.run.experiment(), data.tasks, whole.quantized.network, whole.run)
    measured = evaluate_run(whole.run, "val", tta="none")
    part = data.parts["val"]
    photos = part.crops.take(part.rows).astype("float32")
    ages = np.asarray(whole.quantized.network.inference(photos)["age"])
    error = float(np.abs(ages - part.labels["age"][:, 0]).mean())
    assert measured.results["tasks"]["age"]["metrics"]["mae"]["value"] == pytest.approx(error, rel=1e-4)


def test_a_killed_call_goes_on_to_the_same_result(whole: Tuned, data: PreparedData, tmp_path: Path) -> None:
    experiment = tuning()
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path, data, calibrated(experiment, data), experiment, die_after=1)
    again = calibrated(experiment, data)
    helped, recorder = tuned(tmp_path, data, again, experiment)
    assert helped == whole.helped
    assert [row["epoch"] for row in recorder.rows] == [2, 3]
    expected = {v.path: np.asarray(v) for v in whole.quantized.network.inference.weights}
    for variable in again.network.inference.weights:
        np.testing.assert_allclose(variable, expected[variable.path], rtol=1e-3, atol=1e-4, err_msg=variable.path)


@pytest.mark.parametrize(("mae", "kept"), [(10.05, True), (10.2, False)])
def test_the_calibrated_weights_come_back_when_a_task_becomes_worse(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mae: float, kept: bool
) -> None:
    """All other tasks stay as they were, so that a better sum does not hide it."""
    experiment = tuning("training.steps_per_epoch=1", epochs=2)
    quantized = calibrated(experiment, data)
    before = quantized.network.inference.get_weights()
    found = iter([10.0, mae])

    def measured(_: object, data: PreparedData, __: object, row: dict[str, float]) -> float:
        row |= {f"val_{task}_{metric}": 0.9 for task in data.tasks for metric in ("mae", "accuracy")}
        row["val_age_mae"] = next(found)
        return 0.0

    monkeypatch.setattr(module, "validation_score", measured)
    helped, _ = tuned(tmp_path, data, quantized, experiment)
    assert helped is kept
    after = quantized.network.inference.get_weights()
    same = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert same is not kept


def test_learned_ranges_are_trained(data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "validation_score", lambda *_: 1e9)
    experiment = tuning("training.steps_per_epoch=2", epochs=1)
    quantized = calibrated(experiment, data, learned_ranges=True)
    # Gradients come from the values that a range clips.
    for layer in quantized.ranges().values():
        if layer.learned:
            layer.set_range(*(limit / 2 for limit in layer.limits()))
    before = limits(quantized)
    tuned(tmp_path, data, quantized, experiment)
    after = limits(quantized)
    moved = [name for name, layer in quantized.ranges().items() if layer.learned and before[name] != after[name]]
    assert moved == [name for name, layer in quantized.ranges().items() if layer.learned] != []


def test_the_experiment_is_the_runs_own_with_a_short_low_schedule() -> None:
    base = load_experiment("quickstart", [*SMALL, "training.first_stage_epochs=1", "training.early_stop_epochs=2"])
    made = fine_tuning_experiment(base, "name", 4, 1e-4)
    assert (made.name, made.training.epochs, made.training.weight_average) == ("name", 4, 0.0)
    assert made.training.optimizer == base.training.optimizer.model_copy(update={"learning_rate": 1e-4})
    assert (made.training.first_stage_epochs, made.training.early_stop_epochs) == (0, None)
    assert (made.tasks, made.model, made.seed) == (base.tasks, base.model, base.seed)
    assert made.data.sources == base.data.sources


def test_rounded_biases_are_whole_multiples_of_input_scale_times_kernel_scale() -> None:
    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU(name="relu")(layers.Conv2D(6, 3, name="conv")(normalise(image)))
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    raw = layers.Dense(3, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(x))
    model = randomise(keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net"))
    quantized = quantize_network(model, ["t"], all_integer=True)
    calibrate(quantized, model, [draw_photos(8, 1)])
    # Features that are all above 0 move the lower end past it, where it does not count.
    for name, low, high in (("relu_range", 0.4, 3.0), ("depthwise_range", -2.5, 2.0)):
        quantized.ranges()[name].minimum.assign(low)
        quantized.ranges()[name].maximum.assign(high)
    before = {name: np.asarray(quantized.network.inference.get_layer(name).bias) for name in ("conv", "t_raw")}
    round_biases(quantized.network.inference)
    low, high = quantized.ranges()["features_range"].limits()
    inputs = {"conv": 1 / 127.5, "depthwise": 3.0 / 255, "t_raw": (high - low) / 255}
    for name, input_scale in inputs.items():
        layer = quantized.network.inference.get_layer(name)
        kernel = np.abs(np.asarray(layer.kernel, "float64"))
        flat = kernel.reshape(9, -1) if name == "depthwise" else kernel.reshape(-1, kernel.shape[-1])
        scale = input_scale * (flat.max() if name == "t_raw" else flat.max(axis=0)) / 127
        steps = np.asarray(layer.bias, "float64") / scale
        assert np.abs(steps).max() > 50
        np.testing.assert_allclose(steps, np.round(steps), atol=np.abs(steps).max() * 1e-6)
        if name in before:
            assert (np.abs(np.asarray(layer.bias) - before[name]) <= 0.51 * scale).all()


def test_a_range_that_tensors_share_holds_all_of_them_after_a_training_step(tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    image = keras.Input((32, 32, 3), name="image")
    x = normalise(image)
    wide = layers.Rescaling(10.0, name="wide")(layers.Conv2D(4, 3, name="one")(x))
    joined = layers.Concatenate(name="joined")([wide, layers.Conv2D(4, 3, name="narrow")(x)])
    raw = layers.Dense(2, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(joined))
    model = randomise(keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net"))
    quantized, pixels = quantize_network(model, ["t"]), draw_photos(4, 1)
    calibrate(quantized, model, [pixels / 2])
    shared = quantized.plan.ranges["joined"]
    assert shared == quantized.plan.ranges["wide"] == quantized.plan.ranges["narrow"]
    quantized.network.inference.save(tmp_path / "net.keras")
    for net in (quantized.network.inference, load_model(tmp_path / "net.keras")):
        layer = net.get_layer(shared)
        # At this rate the range becomes that of the batch. What stands before the joint is not rounded but by kernels.
        layer.set_rate(1.0)
        probe = keras.Model(net.input, [net.get_layer(name).output for name in ("wide", "narrow")])
        before = [np.asarray(values) for values in probe(pixels)]
        net(pixels, training=True)
        lowest, highest = min(v.min() for v in before), max(v.max() for v in before)
        assert highest > 3 * before[1].max()
        assert layer.limits() == pytest.approx((lowest, highest), rel=1e-5)


ON_JAX = """
import sys
from pathlib import Path
import keras, numpy as np
from keras_faceattr.models.loading import load_model
from keras_faceattr.quantization.layers import FakeQuantize

assert keras.backend.backend() == "jax"
folder = Path(sys.argv[1])
model = load_model(folder / "net.keras")
pixels = np.load(folder / "pixels.npy")
before = np.asarray(model(pixels)["t"])
ranges = [layer for layer in model.layers if isinstance(layer, FakeQuantize) and layer.fixed is None]
limits, kernel = [layer.limits() for layer in ranges], np.asarray(model.get_layer("conv").kernel)
for layer in ranges:
    layer.set_rate(0.5)
model.compile(keras.optimizers.SGD(0.1), loss={"t": "mse"})
loss = model.train_on_batch(pixels, {"t": np.tile([1.0, 0, 0], (len(pixels), 1))})
assert np.isfinite(loss)
assert not np.array_equal(kernel, model.get_layer("conv").kernel)
moved = [a != layer.limits() for a, layer in zip(limits, ranges)]
assert len(moved) == 4 and all(moved), moved
np.save(folder / "jax.npy", before)
"""


@pytest.mark.slow
def test_jax_computes_the_same_and_trains_a_step(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    keras.utils.set_random_seed(5)
    image = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU(name="relu")(layers.Conv2D(6, 3, strides=2, name="conv")(normalise(image)))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    raw = layers.Dense(3, name="t_raw")(layers.GlobalAveragePooling2D(name="features")(x))
    model = randomise(keras.Model(image, {"t": layers.Softmax(name="t")(raw)}, name="net"))
    quantized = quantize_network(model, ["t"], all_integer=True)
    pixels = draw_photos(6, 1)
    calibrate(quantized, model, [pixels])
    quantized.network.inference.save(tmp_path / "net.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    here = np.asarray(quantized.network.inference(pixels)["t"])
    # At most one step of the output, where a sum lies in the middle between two steps.
    np.testing.assert_allclose(np.load(tmp_path / "jax.npy"), here, atol=1.01 / 256)
