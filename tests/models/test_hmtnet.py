"""HMTNet: which depth each task reads, how maps are joined, and what is refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_faceattr.errors import ModelError
from keras_faceattr.models import architecture
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.models.profile import profile_model
from keras_faceattr.quantization.graph import read_graph

TASKS = architecture("hmtnet_mobile").tasks
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
DEPTHS = ("block3", "block4", "block5")


def hmtnet(name: str = "hmtnet_mobile", size: int = 32, **options: Any) -> Network:
    return build_network(name, architecture(name).tasks, size=size, seed=0, **options)


@pytest.fixture(scope="module")
def network() -> Network:
    return hmtnet()


def layers_behind(network: Network, task: str) -> set[str]:
    """Names of all layers that a task's output depends on."""
    graph = read_graph(network.inference)
    found: set[str] = set()
    waiting = [graph.outputs[task]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph.nodes[name].inputs
    return found


def reads(network: Network, task: str) -> set[str]:
    """Blocks of the trunk with convolutions, and `aggregate`, that a task depends on."""
    stems = {name.split("_")[0] for name in layers_behind(network, task) if not name.endswith("_pool")}
    return {stem for stem in stems if stem.startswith(("block", "aggregate"))}


def blocks(last: int) -> set[str]:
    return {f"block{i}" for i in range(1, last + 1)}


def predicted(network: Network) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in network.trainable(PIXELS, training=False).items()}


def maps_of(model: keras.Model, names: list[str]) -> list[np.ndarray]:
    parts = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [np.asarray(x) for x in parts(PIXELS, training=False)]


def shaped(model: keras.Model, name: str, x: np.ndarray, side: int) -> np.ndarray:
    """A map by NumPy at the shape of the last: maximum of squares, 1×1 convolution, batch norm, ReLU."""
    factor = x.shape[1] // side
    x = x.reshape(len(x), side, factor, side, factor, x.shape[-1]).max(axis=(2, 4))
    x = x @ np.asarray(model.get_layer(f"aggregate_{name}_conv").kernel)[0, 0]
    norm = model.get_layer(f"aggregate_{name}_norm")
    gamma, beta, mean, variance = (np.asarray(w) for w in norm.get_weights())
    return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0.0)


def test_gender_leaves_at_the_lowest_map_and_all_others_behind_the_aggregator(network: Network) -> None:
    assert reads(network, "gender") == blocks(3)
    for task in ("attractiveness", "race"):
        assert reads(network, task) == blocks(5) | {"aggregate"}


def test_in_the_net_of_many_tasks_gender_leaves_after_the_fourth_block() -> None:
    network = hmtnet("all_in_one")
    assert reads(network, "gender") == blocks(4)
    for task in architecture("all_in_one").tasks.keys() - {"gender"}:
        assert reads(network, task) == blocks(5) | {"aggregate"}


def test_each_task_has_a_branch_of_its_own(network: Network) -> None:
    for task in TASKS:
        own = {name for name in layers_behind(network, task) if name.startswith(tuple(TASKS))}
        assert own
        assert all(name.startswith(task) for name in own)


@pytest.mark.parametrize("layer", ["block4_1_conv", "block5_3_conv", "aggregate_block3_conv"])
def test_other_weights_of_deeper_layers_change_all_outputs_but_gender(network: Network, layer: str) -> None:
    weights, before = network.trainable.get_weights(), predicted(network)
    kernel = network.trainable.get_layer(layer).kernel
    kernel.assign(np.random.default_rng(1).normal(0, 1, kernel.shape))
    after = predicted(network)
    network.trainable.set_weights(weights)
    np.testing.assert_array_equal(after["gender"], before["gender"])
    for task in ("attractiveness", "race"):
        assert np.abs(after[task] - before[task]).max() > 1e-3


def test_the_branches_option_moves_a_task_and_no_other() -> None:
    network = hmtnet(branches={"race": "block4"})
    assert reads(network, "race") == blocks(4)
    assert reads(network, "gender") == blocks(3)
    assert reads(network, "attractiveness") == blocks(5) | {"aggregate"}
    assert reads(hmtnet(branches={"gender": "aggregate"}), "gender") == blocks(5) | {"aggregate"}


def test_without_aggregator_the_others_read_the_last_map_alone() -> None:
    network = hmtnet(aggregator="none")
    assert reads(network, "gender") == blocks(3)
    for task in ("attractiveness", "race"):
        assert reads(network, task) == blocks(5)
    assert not any(layer.name.startswith("aggregate") for layer in network.trainable.layers)


def test_all_tasks_can_leave_at_the_last_map() -> None:
    network = hmtnet(aggregator="none", branches={"gender": "block5"})
    for task in TASKS:
        assert reads(network, task) == blocks(5)
        (pool,) = (node for name, node in read_graph(network.inference).nodes.items() if name == f"{task}_pool")
        assert pool.inputs == ("block5_3_relu",)


@pytest.mark.parametrize("chosen", [DEPTHS, ("block4", "block5"), ("block2", "block5")])
@pytest.mark.parametrize("aggregator", ["average", "concat"])
def test_the_aggregate_is_the_mean_or_the_row_of_the_maps_at_one_shape(aggregator: str, chosen: tuple) -> None:
    model = hmtnet(aggregator=aggregator, maps=list(chosen)).trainable
    for name in chosen:  # A fresh batch norm would hide which statistics are used.
        norm = model.get_layer(f"aggregate_{name}_norm")
        rng = np.random.default_rng(len(name))
        norm.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in norm.get_weights()])
    last = {"block2": "block2_2_relu"} | {name: f"{name}_3_relu" for name in DEPTHS}
    *found, joined = maps_of(model, [*(last[name] for name in chosen), f"aggregate_{aggregator}"])
    assert [x.shape[1] for x in found] == [32 >> (int(name[-1]) - 1) for name in chosen]
    parts = [shaped(model, name, x, found[-1].shape[1]) for name, x in zip(chosen, found, strict=True)]
    expected = np.mean(parts, axis=0) if aggregator == "average" else np.concatenate(parts, axis=-1)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(joined, expected, rtol=1e-4, atol=1e-4)


def test_one_map_alone_needs_no_joining() -> None:
    network = hmtnet(maps=["block4"])
    assert reads(network, "race") == blocks(4)
    assert not any(layer.name.startswith("aggregate") for layer in network.trainable.layers)


def test_an_unknown_branch_point_lists_the_valid_ones() -> None:
    with pytest.raises(ModelError) as error:
        hmtnet(branches={"race": "block6"})
    message = str(error.value)
    assert message.startswith("model.branches.race: there is no branch point 'block6'; ")
    assert message.endswith("valid: aggregate, block1, block2, block3, block4, block5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": {"age": "block4"}}, "model.branches: there is no task 'age'; .*valid: attractiveness, gender"),
        ({"maps": ["block3", "conv5"]}, "model.maps: the trunk has no map 'conv5'; .*valid: block1, block2"),
        ({"aggregator": "mean"}, "unknown aggregator 'mean'; .*valid: average, concat, none"),
        ({"trunk": "vgg_m"}, "the net has no option 'trunk'"),
    ],
)
def test_a_mistaken_option_is_one_line_with_what_is_valid(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        hmtnet(**options)
    assert "\n" not in str(error.value)


def test_maps_that_do_not_divide_each_other_are_refused_with_their_shapes() -> None:
    # 100 pixels are halved to 50, 25, 12 and 6.
    with pytest.raises(
        ModelError, match=r"block3 \(25, 25, 64\), block4 \(12, 12, 128\), block5 \(6, 6, 128\)"
    ) as error:
        hmtnet(size=100)
    assert "set data.crop.size to a multiple of 32" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["hmtnet_mobile", "hmtnet"])
def test_too_small_a_side_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="at least 32 pixels, not 31"):
        hmtnet(name, size=31)


@pytest.mark.parametrize("name", ["hmtnet_mobile", "all_in_one"])
def test_the_mobile_variants_stay_below_one_and_a_half_million_parameters(name: str) -> None:
    # The convolutions of a thin VGG of a quarter's width alone are 919,368 of them.
    assert 0.9e6 < profile_model(hmtnet(name).inference).parameters < 1.5e6
