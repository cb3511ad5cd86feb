"""The loop: learning, stages, averages, early stop, and stopping at what is not a number."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import load_experiment
from keras_faceattr.data.pipeline import BatchPlan, batch_feed
from keras_faceattr.data.prepare import PreparedData, prepare
from keras_faceattr.errors import TrainingError
from keras_faceattr.methods import METHODS
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.run import Run
from keras_faceattr.training import callbacks
from keras_faceattr.training.callbacks import LoopState, StepWatch
from keras_faceattr.training.fit import network_of
from keras_faceattr.training.loop import compile_model, make_losses, train

BASE = [
    "data.sources.0.options.count=120", "data.sources.0.options.size=40", "data.crop.size=32",
    "training.batch_size=16", "data.augmentation=null", "model.name=two_blocks",
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("small_net")


class Recorder:
    """Keeps what the loop says."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rows: list[dict[str, Any]] = []

    def on_step(self, epoch: int, step: int, steps: int, loss: float, images_per_s: float, wait_share: float) -> None:
        assert images_per_s > 0 and 0 <= wait_share <= 1
        self.losses.append(loss)

    def on_epoch(self, row: dict[str, Any], best: bool) -> None:
        self.rows.append(row)


def experiment(*overrides: str) -> Experiment:
    return load_experiment("quickstart", [*BASE, *overrides])


@pytest.fixture(scope="module")
def data(small_net: str) -> PreparedData:
    return prepare(experiment(), ("train", "val"))


def config_overrides(config: Experiment) -> list[str]:
    training = config.training
    return [f"training.epochs={training.epochs}", "training.weight_average=0", "training.schedule.name=constant"]


def trained(folder: Path, data: PreparedData, *overrides: str) -> tuple[LoopState, Recorder, Any]:
    config, recorder = experiment(*overrides), Recorder()
    network = network_of(config, data.tasks)
    state = train(config, data, network, Run(folder), recorder)
    return state, recorder, network


def test_the_loss_falls_and_the_best_weights_come_back(tmp_path: Path, data: PreparedData) -> None:
    state, recorder, network = trained(
        tmp_path, data, "training.epochs=15", "training.weight_average=0", "training.schedule.name=constant"
    )
    assert recorder.rows[-1]["loss"] < 0.8 * recorder.rows[0]["loss"]
    assert 1 <= state.best_epoch <= 15
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history["epoch"]) == list(range(1, 16))
    assert {"val_attractiveness_mae", "val_age_pc", "val_gender_accuracy", "wait_share"} <= set(history)
    from keras_faceattr.training.checkpoint import load_checkpoint

    now = {v.path: np.array(v) for v in network.trainable.variables}
    load_checkpoint(Run(tmp_path).best_path(state.best_epoch), network.trainable, with_optimizer=False)
    for variable in network.trainable.variables:
        np.testing.assert_array_equal(now[variable.path], np.asarray(variable))


def test_a_step_of_several_tasks_is_traced_once(
    tmp_path: Path, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing takes seconds, and most of a short training: every `call` is one of a trace."""
    call, traced = TaskLoss.call, []

    def counted(loss: TaskLoss, y_true: Any, y_pred: Any) -> Any:
        traced.append(loss.task.name)
        return call(loss, y_true, y_pred)

    monkeypatch.setattr(TaskLoss, "call", counted)
    trained(tmp_path, data, "training.epochs=1", "training.steps_per_epoch=2")
    assert sorted(traced) == ["age", "attractiveness", "gender"]


def test_averaged_weights_are_validated_and_training_goes_on_from_the_raw_ones(
    tmp_path: Path, data: PreparedData
) -> None:
    short = ["training.epochs=1", "training.schedule.name=constant"]
    _, _, averaged = trained(tmp_path / "a", data, *short, "training.weight_average=0.9")
    _, _, plain = trained(tmp_path / "b", data, *short, "training.weight_average=0")
    kernels = [np.array(n.trainable.get_layer("age_raw").kernel) for n in (averaged, plain)]
    start = np.array(network_of(experiment(), data.tasks).trainable.get_layer("age_raw").kernel)
    moved = [np.abs(k - start).mean() for k in kernels]
    assert 0 < moved[0] < moved[1]
    with np.load(tmp_path / "a" / "checkpoints" / "last.npz") as last:
        np.testing.assert_allclose(last["model/age_raw/kernel"], kernels[1], atol=1e-4)


def test_without_a_validation_part_the_last_epoch_counts(tmp_path: Path) -> None:
    config = [
        "data.split.method=stratified", "data.split.validation=0", "training.epochs=2", "training.steps_per_epoch=1"
    ]  # fmt: skip
    only_train = prepare(experiment(*config), ("train", "val"))
    assert set(only_train.parts) == {"train"}
    state, _, _ = trained(tmp_path, only_train, *config)
    assert state.best_epoch == 2


def test_early_stop_ends_after_the_epochs_without_progress(
    tmp_path: Path, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.4, 0.6, 0.7, 0.1])
    monkeypatch.setattr(callbacks, "validation_score", lambda *_: next(scores))
    state, _, _ = trained(
        tmp_path, data, "training.epochs=5", "training.early_stop_epochs=2", "training.steps_per_epoch=1"
    )
    assert (state.epoch, state.best_epoch) == (4, 2)


def test_a_loss_that_is_no_number_stops_and_names_the_photos(
    tmp_path: Path, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_number(labels: Any, raw: Any, *_: Any) -> Any:
        return keras.ops.sum(raw, axis=-1) * np.nan

    monkeypatch.setitem(METHODS, "dldl_v2", dataclasses.replace(METHODS["dldl_v2"], loss=no_number))
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1, step \d+; photos of the batch: 000\d+"):
        trained(tmp_path, data)


def test_the_first_of_two_stages_learns_the_distribution_alone(data: PreparedData) -> None:
    config = experiment("training.first_stage_epochs=3")
    labels, raw = np.array([[30.0, 2.0]], "float32"), np.zeros((1, 101), "float32")
    model, losses = network_of(config, data.tasks).trainable, make_losses(config, data.tasks)

    def loss(first_stage: bool) -> float:
        compile_model(model, keras.optimizers.Adam(), config, losses, first_stage)
        return float(losses["age"](labels, raw))

    # An even distribution over 0 to 100 expects 50: the second stage adds λ · |50 − 30|.
    assert loss(False) - loss(True) == pytest.approx(20, abs=1e-3)


def test_two_stages_run_and_the_loss_jumps_when_the_second_begins(tmp_path: Path, data: PreparedData) -> None:
    _, recorder, _ = trained(tmp_path, data, "training.epochs=2", "training.first_stage_epochs=1", "tasks.age.weight=1")
    assert recorder.rows[1]["age_loss"] > recorder.rows[0]["age_loss"]


def test_mixed_precision_trains_and_saves_a_float32_model(tmp_path: Path, data: PreparedData) -> None:
    from keras_faceattr.models.loading import load_model
    from keras_faceattr.training.fit import save_model

    config, run = experiment("training.epochs=1", "training.precision=mixed_bfloat16"), Run(tmp_path)
    network = network_of(config, data.tasks, config.training.precision)
    train(config, data, network, run, Recorder())
    save_model(config, data.tasks, network, run)
    model = load_model(run.model_path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    exact = network_of(config, data.tasks).inference
    exact.set_weights(network.inference.get_weights())
    expected = exact.predict_on_batch(images)
    for name, value in model.predict_on_batch(images).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-5)
    # Rounded to bfloat16, 1 / 127.5 is 0.4 % larger: training would see other pixels than the model that is saved.
    seen = keras.Model(network.inference.input, network.inference.get_layer("normalise").output)(images)
    np.testing.assert_allclose(np.asarray(seen, "float32"), images / 127.5 - 1, atol=1e-6)


@pytest.mark.slow
def test_xla_gives_the_same_loss(tmp_path: Path, data: PreparedData) -> None:
    short = ["training.epochs=1", "training.steps_per_epoch=2"]
    _, plain, _ = trained(tmp_path / "a", data, *short)
    _, compiled, _ = trained(tmp_path / "b", data, *short, "training.xla=true")
    np.testing.assert_allclose(plain.losses, compiled.losses, rtol=1e-3)


@pytest.mark.slow
def test_a_dropout_net_in_bfloat16_saves_its_model_and_goes_on(tmp_path: Path, data: PreparedData) -> None:
    from keras_faceattr.training.fit import save_model

    overrides = ["model.dropout=0.5", "training.precision=mixed_bfloat16", "training.steps_per_epoch=1"]
    config, run = experiment("training.epochs=1", *overrides), Run(tmp_path)
    network = network_of(config, data.tasks, config.training.precision)
    train(config, data, network, run, Recorder())
    save_model(config, data.tasks, network, run)
    assert run.model_path.exists()
    again = network_of(config, data.tasks, config.training.precision)
    longer = experiment("training.epochs=2", *overrides)
    assert train(longer, data, again, run, Recorder(), resume=True).epoch == 2


def test_the_history_holds_the_rate_that_an_epoch_began_with(tmp_path: Path, data: PreparedData) -> None:
    _, recorder, _ = trained(
        tmp_path, data, "training.epochs=2", "training.steps_per_epoch=2", "training.schedule.name=step",
        "training.schedule.step_epochs=1", "training.optimizer.learning_rate=1e-3",
    )  # fmt: skip
    assert [row["learning_rate"] for row in recorder.rows] == pytest.approx([1e-3, 1e-4])


def test_the_loss_of_a_task_in_the_history_is_its_mean_over_the_photos_labelled_for_it(
    tmp_path: Path, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = data.parts["train"]
    labels = {name: array.copy() for name, array in part.labels.items()}
    rare = np.arange(len(part)) % 20 == 0
    labels["age"][~rare, 0] = np.nan
    labels["gender"][:] = np.nan
    partial = dataclasses.replace(data, parts={"train": dataclasses.replace(part, labels=labels)})

    def label_as_loss(labels: Any, raw: Any, *_: Any) -> Any:
        return labels.exact[:, 0] + 0.0 * keras.ops.sum(raw, axis=-1)

    for name in ("dldl_v2", "binary_cross_entropy", "cross_entropy"):
        monkeypatch.setitem(METHODS, name, dataclasses.replace(METHODS[name], loss=label_as_loss))
    config = ["training.epochs=1", "training.batch_size=4", "training.weight_average=0"]
    _, recorder, _ = trained(tmp_path, partial, *config)
    [row] = recorder.rows
    shown = np.concatenate([BatchPlan(part, 4, seed=0).places(0, step) for step in range(len(part) // 4)])
    by_batch = [rare[shown[i : i + 4]].sum() for i in range(0, len(shown), 4)]
    assert min(by_batch) == 0 and max(by_batch) > 1
    for name in ("age", "attractiveness"):
        assert row[f"{name}_loss"] == pytest.approx(np.nanmean(labels[name][shown, 0]), rel=1e-5)
    assert np.isnan(row["gender_loss"])
    assert row["loss"] == pytest.approx(recorder.losses[-1])
    assert pd.read_csv(tmp_path / "history.csv")["gender_loss"].isna().all()


def test_callbacks_of_keras_are_called_and_find_the_validation_metrics(tmp_path: Path, data: PreparedData) -> None:
    config = experiment("training.epochs=4", "training.steps_per_epoch=1")
    seen: list[dict[str, float]] = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    stop = keras.callbacks.EarlyStopping("val_age_mae", patience=0, mode="max", min_delta=1e6)
    state = train(config, data, network_of(config, data.tasks), Run(tmp_path), Recorder(), callbacks=[look, stop])
    # Nothing improves on the first epoch by a million years, so that the second is the last.
    assert state.epoch == len(seen) == 2
    assert {"loss", "age_loss", "val_age_mae", "wait_share"} <= set(seen[0])


def test_a_plain_loop_over_the_same_batches_learns_the_same(tmp_path: Path, data: PreparedData) -> None:
    config = experiment("training.epochs=1", "training.weight_average=0", "training.schedule.name=constant")
    _, recorder, _ = trained(tmp_path, data, *config_overrides(config))
    network, losses = network_of(config, data.tasks), make_losses(config, data.tasks)
    model = network.trainable
    optimizer = keras.optimizers.Adam(config.training.optimizer.learning_rate, epsilon=1e-8)
    compile_model(model, optimizer, config, losses, first_stage=False)
    sums = []
    for images, labels, _ in batch_feed(config, data.parts["train"], data.tasks).batches(0, 1):
        sums.append(float(model.train_on_batch(np.asarray(images), {n: np.asarray(v) for n, v in labels.items()})[0]))
    expected = np.cumsum(sums) / np.arange(1, len(sums) + 1)
    # Adam's first steps move every weight alike, so rounding grows fast from step to step.
    np.testing.assert_allclose(recorder.losses[:3], expected[:3], rtol=1e-3)
    np.testing.assert_allclose(recorder.losses, expected, rtol=0.05)


def test_a_step_waits_for_data_as_long_as_its_batch_is_not_ready(data: PreparedData) -> None:
    """A clock of its own: steps of 10 ms, batches that are ready at once, in time, and 6 ms late."""
    made = {0: (0.0, 0.001), 1: (0.001, 0.008), 2: (0.009, 0.026)}
    feed = SimpleNamespace(
        made=lambda epoch, step: made[step], plan=SimpleNamespace(steps=3, places=lambda e, s: [0] * 4)
    )
    recorder = Recorder()
    watch = StepWatch(feed, data, recorder)
    watch._reset(0)
    watch.started = watch.last_end = 0.0
    watch._begins = {0: 0.001, 1: 0.010, 2: 0.020}
    for step, end in enumerate((0.010, 0.020, 0.036)):
        watch._step(step, 1.0, end)
    assert watch.waited == pytest.approx(0.006)
    assert watch.photos == 12


def test_only_the_weights_of_the_best_epoch_are_kept(tmp_path: Path, data: PreparedData) -> None:
    state, _, _ = trained(tmp_path, data, "training.epochs=3", "training.steps_per_epoch=1")
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == [f"best-{state.best_epoch}.npz", "last.npz"]
