"""CRNet: a branch for the value, one for its class, and what tells the classes apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from keras import layers

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import ModelError
from keras_faceattr.methods.task_loss import TaskLoss
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.models.profile import profile_model
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task, attractiveness_task

GENDER = CategoricalTask("gender", ("female", "male"))
TASKS: dict[str, tuple[Task, str | None]] = {
    "attractiveness": (attractiveness_task(), "crnet"),
    "gender": (GENDER, None),
}
PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
MOBILE = ["crnet_mobile", "crnet_thin_vgg"]


def crnet(name: str = "crnet_mobile", **options: Any) -> Network:
    return build_network(name, TASKS, size=32, seed=0, **options)


@pytest.fixture(scope="module", params=MOBILE)
def network(request: pytest.FixtureRequest) -> Network:
    return crnet(request.param)


def raw_of(network: Network) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in network.trainable(PIXELS, training=False).items()}


@pytest.mark.parametrize(("branch", "own"), [("value", slice(0, 1)), ("classes", slice(1, 6))])
def test_each_branch_gives_its_own_outputs_and_no_other(network: Network, branch: str, own: slice) -> None:
    dense = network.trainable.get_layer(f"attractiveness_{branch}_dense1")
    weights, before = dense.get_weights(), raw_of(network)
    dense.set_weights([np.random.default_rng(1).normal(0, 1, w.shape) for w in weights])
    after = raw_of(network)
    dense.set_weights(weights)
    changed = np.abs(after["attractiveness"] - before["attractiveness"]).max(axis=0) > 1e-4
    assert before["attractiveness"].shape == (3, 6)
    assert changed[own].all()
    assert changed.sum() == len(changed[own])
    np.testing.assert_array_equal(after["gender"], before["gender"])


def test_other_tasks_read_the_backbone_itself(network: Network) -> None:
    nodes = read_graph(network.inference).nodes
    assert nodes["gender_raw"].inputs == ("features",)
    for branch in ("value", "classes"):
        assert nodes[f"attractiveness_{branch}_dense1"].inputs == ("features",)


def test_the_outputs_are_the_value_in_its_range_and_the_probabilities_of_its_classes(network: Network) -> None:
    raw = raw_of(network)["attractiveness"]
    outputs = {name: np.asarray(value) for name, value in network.inference(PIXELS, training=False).items()}
    # −1 to 1 stand for 1 to 5 points.
    np.testing.assert_allclose(outputs["attractiveness"], np.clip(3 + 2 * raw[:, 0], 1, 5), rtol=1e-5)
    np.testing.assert_allclose(outputs["attractiveness_classes"], scipy.special.softmax(raw[:, 1:], axis=1), rtol=1e-4)


@pytest.mark.parametrize(("dropout", "count"), [(0.5, 4), (0.2, 4), (0.0, 0)])
def test_a_share_is_dropped_behind_each_dense_layer_of_a_branch(dropout: float, count: int) -> None:
    found = [x for x in crnet(branch_dropout=dropout).trainable.layers if isinstance(x, layers.Dropout)]
    assert len(found) == count
    assert all(layer.rate == dropout for layer in found)


def class_of(score: float, task: ScalarTask) -> int:
    """Which logit a label's loss asks for: the one whose growth lowers it."""
    loss = TaskLoss(task, "crnet", MethodSettings(class_weight=1.0, value_weight=0.0))
    count = len(task.class_names)
    labels = np.full((1, 2), [score, 0.5], "float32")
    losses = [float(loss(labels, 5 * np.eye(count + 1, dtype="float32")[i : i + 1])) for i in range(1, count + 1)]
    assert np.sum(np.array(losses) < 1) == 1
    return int(np.argmin(losses))


@pytest.mark.parametrize("score", [1.0, 1.4, 1.6, 2.2, 2.97, 3.49, 3.51, 4.4, 4.6, 5.0])
def test_the_class_of_a_score_is_the_score_rounded(score: float) -> None:
    assert class_of(score, attractiveness_task()) == round(score) - 1


@pytest.mark.parametrize(("score", "expected"), [(1.0, 0), (2.0, 0), (2.1, 1), (2.5, 1), (3.9, 1), (4.0, 2), (5.0, 2)])
def test_cut_points_say_where_the_next_class_begins(score: float, expected: int) -> None:
    task = ScalarTask("attractiveness", 1.0, 5.0, 0.1, cut_points=(2.1, 4.0))
    assert class_of(score, task) == expected
    assert task.class_names == ("1 to 2.1", "2.1 to 4", "4 to 5")


def test_cut_points_decide_how_many_classes_the_net_has() -> None:
    task = ScalarTask("attractiveness", 1.0, 5.0, 0.1, cut_points=(2.1, 4.0))
    network = build_network("crnet_mobile", {"attractiveness": (task, "crnet")}, size=32)
    assert network.trainable.output["attractiveness"].shape == (None, 4)
    assert network.inference.output["attractiveness_classes"].shape == (None, 3)


def test_the_loss_is_the_weighted_sum_of_both_branches() -> None:
    raw = np.array([[0.2, 1.0, -1.0, 0.5, 2.0, 0.0]], "float32")
    of_class = -scipy.special.log_softmax(raw[0, 1:])[3]
    of_value = (3 + 2 * 0.2 - 4.2) ** 2
    loss = TaskLoss(attractiveness_task(), "crnet")
    assert float(loss(np.array([[4.2, 0.5]]), raw)) == pytest.approx(0.4 * of_class + 0.6 * of_value, rel=1e-5)


@pytest.mark.parametrize("method", [None, "dldl_v2", "mse"])
def test_another_method_than_crnet_is_refused_in_one_line(method: str | None) -> None:
    with pytest.raises(ModelError, match="task 'attractiveness' .* the net gives value, classes") as error:
        build_network("crnet_mobile", {"attractiveness": (attractiveness_task(), method)}, size=32)
    assert "\n" not in str(error.value)


def test_the_mobile_variants_stay_below_one_and_a_half_million_parameters(network: Network) -> None:
    assert profile_model(network.inference).parameters < 1.5e6
