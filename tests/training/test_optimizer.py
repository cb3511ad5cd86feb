"""The learning rate at the steps where it should change."""

import math

import numpy as np
import pytest

from keras_faceattr.config import OptimizerConfig, ScheduleConfig, TrainingConfig
from keras_faceattr.config_files import load_experiment
from keras_faceattr.errors import ConfigError
from keras_faceattr.training.checks import check_experiment
from keras_faceattr.training.optimizer import make_optimizer, make_schedule


def rate_at(schedule: object, step: int) -> float:
    return float(np.asarray(schedule(step)))  # type: ignore[operator]


def test_the_papers_schedule_drops_tenfold_at_the_first_step_of_epoch_31() -> None:
    schedule = make_schedule(TrainingConfig(), steps_per_epoch=26)
    assert rate_at(schedule, 0) == pytest.approx(1e-3)
    assert rate_at(schedule, 30 * 26 - 1) == pytest.approx(1e-3)
    assert rate_at(schedule, 30 * 26) == pytest.approx(1e-4)
    assert rate_at(schedule, 60 * 26 - 1) == pytest.approx(1e-4)


def test_cosine_warms_up_linearly_and_ends_at_its_share() -> None:
    training = TrainingConfig(
        epochs=10,
        optimizer=OptimizerConfig(learning_rate=2e-3),
        schedule=ScheduleConfig(name="cosine", warmup_epochs=2, final_share=0.1),
    )
    schedule = make_schedule(training, steps_per_epoch=10)
    assert rate_at(schedule, 10) == pytest.approx((2e-5 + 2e-3) / 2, rel=1e-4)
    assert rate_at(schedule, 20) == pytest.approx(2e-3, rel=1e-4)
    half = 0.1 * 2e-3 + 0.9 * 2e-3 * 0.5 * (1 + math.cos(math.pi / 2))
    assert rate_at(schedule, 60) == pytest.approx(half, rel=1e-4)
    assert rate_at(schedule, 100) == pytest.approx(2e-4, rel=1e-4)


def test_a_constant_rate_stays() -> None:
    assert make_schedule(TrainingConfig(schedule=ScheduleConfig(name="constant")), 5) == pytest.approx(1e-3)


def test_the_papers_optimizer_has_its_betas_and_epsilon() -> None:
    optimizer = make_optimizer(TrainingConfig(), 10)
    config = optimizer.get_config()
    assert (config["beta_1"], config["beta_2"], config["epsilon"]) == (0.9, 0.999, 1e-8)
    assert not optimizer.use_ema


def test_adam_decays_no_weights_and_says_who_does() -> None:
    experiment = load_experiment("quickstart", ["training.optimizer={name: adam, weight_decay: 0.05}"])
    for refused in (lambda: check_experiment(experiment), lambda: make_optimizer(experiment.training, 1)):
        with pytest.raises(ConfigError, match="adam decays no weights, and weight_decay is 0.05: write name: adamw"):
            refused()
    assert make_optimizer(TrainingConfig(), 1).weight_decay is None


def test_weight_decay_spares_biases_and_batch_norms() -> None:
    import keras

    layers = [keras.layers.Dense(2, name="a"), keras.layers.BatchNormalization(name="b")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    training = TrainingConfig(
        optimizer=OptimizerConfig(name="adamw", weight_decay=0.5, learning_rate=0.1),
        schedule=ScheduleConfig(name="constant"),
    )
    optimizer = make_optimizer(training, 1)
    optimizer.build(model.trainable_variables)
    model.get_layer("b").gamma.assign(np.full(2, 3.0))
    kernel = np.array(model.get_layer("a").kernel)
    optimizer.apply([keras.ops.zeros_like(v) for v in model.trainable_variables])
    np.testing.assert_allclose(np.array(model.get_layer("a").kernel), kernel * (1 - 0.5 * 0.1), rtol=1e-5)
    np.testing.assert_allclose(np.array(model.get_layer("b").gamma), 3.0)


def test_the_average_remembers_a_ninth_of_the_steps_and_at_most_its_momentum() -> None:
    import keras

    training = TrainingConfig(
        weight_average=0.9,
        optimizer=OptimizerConfig(learning_rate=0.1),
        schedule=ScheduleConfig(name="constant"),
    )
    variable = keras.Variable(np.full(3, 5.0, "float32"))
    optimizer = make_optimizer(training, 1)
    optimizer.build([variable])
    expected = np.zeros(3)
    for step in range(200):
        optimizer.apply([keras.ops.convert_to_tensor(np.sin(step + np.arange(3.0)).astype("float32"))])
        decay = min(0.9, step / (step + 9))
        expected = decay * expected + (1 - decay) * np.array(variable)
        (average,) = (np.array(v) for v in optimizer._model_variables_moving_average)
        np.testing.assert_allclose(average, expected, rtol=1e-4)
