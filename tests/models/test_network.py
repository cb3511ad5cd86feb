"""A backbone with a head for each task: outputs of every kind and method, shared weights, seeds and precisions."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.methods import METHODS, methods_for
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    MultilabelTask,
    ScalarTask,
    Task,
    age_task,
    attractiveness_task,
)

SCALARS = {name: ScalarTask(f"by_{name}", 1.0, 5.0, 0.5) for name in methods_for("scalar")}
OTHERS = [BinaryTask("smile"), CategoricalTask("mood", ("a", "b", "c")), MultilabelTask("worn", ("hat", "scarf"))]
TASKS: dict[str, tuple[Task, str | None]] = {task.name: (task, method) for method, task in SCALARS.items()} | {
    task.name: (task, None) for task in OTHERS
}
RAW_UNITS = {"distribution": 9, "ranking": 8, "regression": 1, "linear": 1, "class_and_value": 6}
AGE: dict[str, tuple[Task, str | None]] = {"age": (age_task(), None)}


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network("tiny_att_net", TASKS, size=32, seed=1)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def run(model: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(pixels, training=False).items()}


def test_the_trainable_model_gives_the_raw_outputs_of_each_task(network: Network, pixels: np.ndarray) -> None:
    shapes = {name: value.shape for name, value in run(network.trainable, pixels).items()}
    expected = {
        f"by_{name}": (3, RAW_UNITS[method.head]) for name, method in METHODS.items() if "scalar" in method.kinds
    }
    assert shapes == expected | {"smile": (3, 1), "mood": (3, 3), "worn": (3, 2)}


def test_the_inference_model_gives_values_and_distributions_by_name(network: Network, pixels: np.ndarray) -> None:
    shapes = {name: value.shape for name, value in run(network.inference, pixels).items()}
    expected: dict[str, tuple[int, ...]] = {"smile": (3, 1), "mood": (3, 3), "worn": (3, 2)}
    for name in SCALARS:
        expected[f"by_{name}"], head = (3,), METHODS[name].head
        if head == "class_and_value":
            expected[f"by_{name}_classes"] = (3, 5)
        elif head not in ("regression", "linear"):
            expected[f"by_{name}_distribution"] = (3, 9)
    assert shapes == expected


def test_inference_stays_within_each_tasks_range(network: Network, pixels: np.ndarray) -> None:
    outputs = run(network.inference, np.concatenate([pixels, np.zeros_like(pixels), np.full_like(pixels, 255)]))
    for task in SCALARS.values():
        assert outputs[task.name].min() >= 1.0 - 1e-5
        assert outputs[task.name].max() <= 5.0 + 1e-5
    for name, value in outputs.items():
        if name.endswith("_distribution") or name == "mood":
            np.testing.assert_allclose(value.sum(axis=1), 1.0, rtol=1e-5)
        if name in ("smile", "worn"):
            assert ((value > 0) & (value < 1)).all()


def test_different_photos_get_different_outputs(network: Network, pixels: np.ndarray) -> None:
    for name, value in run(network.trainable, pixels).items():
        assert np.ptp(value, axis=0).max() > 0, name


def test_training_the_one_changes_the_other(pixels: np.ndarray) -> None:
    network = build_network("tiny_age_net", AGE, size=32, seed=2)
    shared = [id(v) for v in network.trainable.variables]
    assert [id(v) for v in network.inference.variables if id(v) in shared] == shared
    before = run(network.inference, pixels)["age"]
    raw = network.trainable.get_layer("age_raw")
    raw.bias.assign(np.eye(101)[70] * 1000.0)
    after = run(network.inference, pixels)["age"]
    np.testing.assert_allclose(after, 70.0, atol=1e-3)
    assert (np.abs(before - 70.0) > 1).all()


def test_the_input_is_raw_pixels_normalised_by_the_first_layer(network: Network) -> None:
    for model in (network.trainable, network.inference):
        assert model.input.name == "image"
        assert model.input_shape == (None, 32, 32, 3)
        assert keras.backend.standardize_dtype(model.input.dtype) == "float32"
        assert [type(layer) for layer in model.layers[:2]] == [layers.InputLayer, layers.Rescaling]


def weights(seed: int | None) -> np.ndarray:
    network = build_network("tiny_age_net", AGE, size=32, seed=seed)
    return np.concatenate([np.asarray(w).ravel() for w in network.trainable.trainable_weights])


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    first = weights(7)
    np.testing.assert_array_equal(weights(7), first)
    assert not np.array_equal(weights(8), first)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_heads_are_float32_over_a_half_precision_backbone(precision: str, pixels: np.ndarray) -> None:
    network = build_network("tiny_age_net", TASKS, size=32, precision=precision, seed=3)
    half = precision.removeprefix("mixed_")
    assert network.inference.get_layer("block3_1_conv").compute_dtype == half
    assert network.inference.get_layer("features").compute_dtype == half
    for model in (network.trainable, network.inference):
        for name, value in run(model, pixels).items():
            assert value.dtype == np.float32, name
            assert np.isfinite(value).all(), name
    assert {keras.backend.standardize_dtype(w.dtype) for w in network.trainable.weights} == {"float32"}


def test_the_precision_of_one_net_is_not_that_of_the_next() -> None:
    before = keras.config.dtype_policy()
    build_network("tiny_age_net", AGE, size=32, precision="mixed_bfloat16")
    assert keras.config.dtype_policy() == before
    with pytest.raises(ModelError):
        build_network("tiny_age_net", AGE, size=16, precision="mixed_bfloat16")
    assert keras.config.dtype_policy() == before


def test_dropout_acts_on_the_features_in_training_only(pixels: np.ndarray) -> None:
    model = build_network("tiny_age_net", AGE, size=32, dropout=0.5, seed=4).trainable
    dropout = model.get_layer("dropout")
    assert dropout.rate == 0.5
    assert model.layers[model.layers.index(dropout) - 1].name == "features"
    np.testing.assert_array_equal(run(model, pixels)["age"], run(model, pixels)["age"])
    features = np.ones((4, 128), "float32")
    dropped = np.asarray(dropout(features, training=True))
    assert 0.2 < (dropped == 0).mean() < 0.8


def kept(model: keras.Model, count: int) -> dict[str, np.ndarray]:
    """Which of `count` features the first draw of each dropout keeps."""
    found = [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
    return {layer.name: np.asarray(layer(np.ones((8, count), "float32"), training=True)) > 0 for layer in found}


def test_features_of_each_task_are_dropped_apart_and_the_same_for_a_seed() -> None:
    tasks: dict[str, tuple[Task, str | None]] = {task.name: (task, None) for task in OTHERS}

    def masks(seed: int) -> dict[str, np.ndarray]:
        network = build_network("hmtnet_mobile", tasks, size=32, dropout=0.5, seed=seed, branches={"smile": "block3"})
        return kept(network.trainable, 64)

    first, again, other = masks(1), masks(1), masks(2)
    assert sorted(first) == ["mood_dropout", "smile_dropout", "worn_dropout"]
    # Independent masks of one half agree on one half.
    for one, two in itertools.combinations(first, 2):
        assert (first[one] == first[two]).mean() == pytest.approx(0.5, abs=0.1)
    for name, mask in first.items():
        np.testing.assert_array_equal(mask, again[name])
        assert (mask == other[name]).mean() == pytest.approx(0.5, abs=0.1)


def test_without_dropout_there_is_no_such_layer(network: Network) -> None:
    assert not any(isinstance(layer, layers.Dropout) for layer in network.trainable.layers)


def test_options_reach_the_backbone() -> None:
    network = build_network("tiny_age_net", AGE, size=32, pooling="max")
    assert isinstance(network.inference.get_layer("features"), layers.GlobalMaxPooling2D)


def test_an_unknown_name_a_small_side_and_an_unknown_method_are_refused() -> None:
    with pytest.raises(ModelError, match="unknown model 'resnet'; .*crnet, .*full_age_net, full_att_net"):
        build_network("resnet", AGE)
    with pytest.raises(ModelError, match="at least 32 pixels, not 31"):
        build_network("tiny_age_net", AGE, size=31)
    with pytest.raises(ConfigError, match="unknown method 'mae'; .*dex, dldl"):
        build_network("tiny_att_net", {"attractiveness": (attractiveness_task(), "mae")}, size=32)
