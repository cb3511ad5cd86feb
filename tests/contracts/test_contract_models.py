"""What every registered net keeps to: a new row of `MODELS` is tested by being registered."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from variants import QUICK_NETS, nets

import keras_faceattr.models.layers  # noqa: F401  registers the layers that a stored net names
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.models import MODELS, architecture
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.models.profile import profile_model
from keras_faceattr.tasks import VECTORS, CategoricalTask, IdentityTask, ScalarTask, Task

SIZE = 32
PIXELS = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32")


def build(name: str) -> Network:
    return build_network(name, architecture(name).tasks, size=SIZE, seed=0)


@pytest.fixture(scope="module", params=nets())
def network(request: pytest.FixtureRequest) -> Network:
    return build(request.param)


def test_every_builder_has_a_quick_net() -> None:
    """A builder without one would be tested in `make test-all` alone: add a variant of it to `QUICK_NETS`."""
    builders = {name: inspect.unwrap(entry.net) for name, entry in MODELS.items()}
    # ResNet-18 is the trunk of the quick crnet_mobile.
    assert {builders[name] for name in (*QUICK_NETS, "resnet18")} == set(builders.values())


def outputs(model: keras.Model) -> dict[str, np.ndarray]:
    values: dict[str, Any] = model(PIXELS, training=False)
    return {name: np.asarray(value) for name, value in values.items()}


def test_a_net_predicts_finite_numbers_within_its_tasks_range(network: Network) -> None:
    values = outputs(network.inference)
    for name, value in values.items():
        assert np.isfinite(value).all(), name
    for name, (task, _) in architecture(network.inference.name).tasks.items():
        if isinstance(task, ScalarTask):
            assert values[name].shape == (3,)
            assert (values[name] >= task.minimum).all()
            assert (values[name] <= task.maximum).all()
        elif isinstance(task, VECTORS):
            np.testing.assert_allclose(np.linalg.norm(values[name], axis=1), 1.0, rtol=1e-5)
        else:
            assert (values[name] >= 0).all()
            assert (values[name] <= 1).all()
        for kind in ("", "_distribution", "_classes"):
            if f"{name}{kind}" in values and (kind or isinstance(task, CategoricalTask)):
                np.testing.assert_allclose(values[f"{name}{kind}"].sum(axis=1), 1.0, rtol=1e-5)


def test_every_gradient_of_a_training_step_is_finite_and_every_weight_has_one(network: Network) -> None:
    """On whatever backend: a step of plain descent moves every weight by its gradient."""
    tasks = architecture(network.inference.name).tasks
    model, before = network.trainable, network.trainable.get_weights()
    losses = {name: TaskLoss(task, method) for name, (task, method) in tasks.items()}
    model.compile(keras.optimizers.SGD(1.0), loss=losses, run_eagerly=True)
    labels = {name: some_labels(task) for name, (task, _) in tasks.items()}
    model.train_on_batch(PIXELS, labels)
    for variable, old in zip(model.weights, before, strict=True):
        new = np.asarray(variable)
        assert np.isfinite(new).all(), variable.path
        if variable.trainable:
            assert (new != old).any(), f"{variable.path} stands still"
    model.set_weights(before)


def some_labels(task: Task) -> np.ndarray:
    """(3, width): places of a range, the first and last class, all and nothing.

    Of an odd number of photos: errors of ±1 would else cancel in the gradient of a bias.
    """
    if isinstance(task, ScalarTask):
        values = task.minimum + (task.maximum - task.minimum) * np.array([0.0, 0.7, 0.4])
        return np.stack([values, np.full(3, task.default_std)], axis=1).astype("float32")
    if isinstance(task, CategoricalTask):
        return np.array([[0], [len(task.classes) - 1], [0]], "float32")
    if isinstance(task, IdentityTask):
        return np.array([[0], [task.people - 1], [0]], "float32")
    return np.stack([np.zeros(task.label_width), np.ones(task.label_width), np.zeros(task.label_width)]).astype(
        "float32"
    )


def test_a_stored_net_gives_the_same_outputs(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    network.inference.save(path)
    again = keras.saving.load_model(path, safe_mode=True)
    path.unlink()
    expected, got = outputs(network.inference), outputs(again)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, atol=1e-7)


def test_layer_names_are_unique_and_the_same_in_every_build(network: Network) -> None:
    names = [layer.name for layer in network.inference.layers]
    assert len(set(names)) == len(names)
    # Keras counts unnamed layers in each process, as in `conv2d_3`: a second build shows it.
    assert [layer.name for layer in build(network.inference.name).inference.layers] == names


def test_raw_pixels_go_in(network: Network) -> None:
    assert network.inference.input_shape == (None, SIZE, SIZE, 3)
    first = network.inference.layers[1]
    assert isinstance(first, keras.layers.Rescaling)
    ends = np.stack([np.zeros((1, 1, 3)), np.full((1, 1, 3), 255.0)]).astype("float32")
    np.testing.assert_allclose(np.asarray(first(ends))[:, 0, 0, 0], [-1.0, 1.0], atol=1e-6)


def test_training_and_inference_share_every_weight(network: Network) -> None:
    trained, shipped = ({id(v): v for v in model.variables} for model in (network.trainable, network.inference))
    assert trained
    assert trained.keys() <= shipped.keys()
    # Only the constants of decoders are in the shipped net alone.
    assert not [v.path for key, v in shipped.items() if key not in trained and v.trainable]


def test_a_net_can_be_profiled(network: Network) -> None:
    profile = profile_model(network.inference)
    assert profile.trainable_parameters == sum(int(np.prod(w.shape)) for w in network.trainable.trainable_weights)
    assert profile.macs > profile.trainable_parameters // 2
