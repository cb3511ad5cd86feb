"""The fused attribute network: joined maps of several nets, and a small net for each group of attributes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest

from keras_faceattr.data.vocabulary import ATTRIBUTE_GROUPS, ATTRIBUTES, attributes_task
from keras_faceattr.errors import ModelError
from keras_faceattr.models.network import Network, build_network
from keras_faceattr.models.profile import profile_model
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.tasks import MultilabelTask, Task, age_task

# Groups are neither in the order of the attributes nor of their members.
WORN = MultilabelTask(
    "worn",
    ("hat", "beard", "scarf", "glasses", "tie", "smile"),
    {"neck": ("tie", "scarf"), "face": ("smile", "beard", "glasses"), "head": ("hat",)},
)
PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def attribute_net(task: Task = WORN, size: int = 32, **options: Any) -> Network:
    return build_network("attribute_net_mobile", {task.name: (task, None)}, size=size, seed=0, **options)


@pytest.fixture(scope="module")
def network() -> Network:
    return attribute_net()


def predicted(network: Network) -> np.ndarray:
    return np.asarray(network.inference(PIXELS, training=False)["worn"])


def prefixes(model: keras.Model) -> set[str]:
    return {layer.name.removesuffix("conv1_conv") for layer in model.layers if layer.name.endswith("conv1_conv")}


@pytest.mark.parametrize(
    "nets", [["identity"], ["age", "race"], ["race", "identity", "age"], ["net0"], ["identity", "age", "race", "net0"]]
)
def test_any_nets_are_joined_along_channels_in_their_order(nets: list[str]) -> None:
    model = attribute_net(nets=nets).trainable
    assert prefixes(model) == {f"{name}_" for name in nets}
    maps = [model.get_layer(f"{name}_conv5_pool").output for name in nets]
    (source,) = read_graph(model).nodes["worn_neck_conv"].inputs
    fused = model.get_layer(source).output
    *parts, joined = (np.asarray(x) for x in keras.Model(model.input, [*maps, fused])(PIXELS, training=False))
    assert joined.shape == (3, 2, 2, 64 * len(nets))
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=-1))
    for one, other in pairwise(parts):
        assert not np.array_equal(one, other)


def test_the_usual_nets_are_those_of_identity_age_and_race(network: Network) -> None:
    assert prefixes(network.trainable) == {"identity_", "age_", "race_"}


def test_a_net_has_the_layers_of_the_face_net_that_it_can_start_from(network: Network) -> None:
    face = build_network("age_net_mobile", {"age": (age_task(), "mse")}, size=32).trainable
    weights = {w.path: tuple(w.shape) for w in face.weights if not w.path.startswith("age_raw")}
    own = {w.path: tuple(w.shape) for w in network.trainable.weights}
    assert weights
    for path, shape in weights.items():
        assert own[f"identity_{path}"] == shape


@pytest.mark.parametrize("group", WORN.groups)
def test_the_features_of_a_group_decide_on_its_attributes_alone(network: Network, group: str) -> None:
    dense = network.trainable.get_layer(f"worn_{group}_dense")
    weights, before = dense.get_weights(), predicted(network)
    dense.set_weights([np.random.default_rng(1).normal(0, 1, w.shape) for w in weights])
    after = predicted(network)
    dense.set_weights(weights)
    changed = {name for name, column in zip(WORN.attributes, (after != before).T, strict=True) if column.any()}
    assert changed == set(WORN.groups[group])


def test_every_output_stands_where_the_task_lists_its_attribute() -> None:
    network = attribute_net()
    values = {name: -2.0 + i for i, name in enumerate(sorted(WORN.attributes))}
    for group, names in WORN.groups.items():
        head = network.trainable.get_layer(f"worn_raw_{group}")
        head.set_weights([np.zeros(head.kernel.shape), np.array([values[name] for name in names])])
    expected = np.array([values[name] for name in WORN.attributes])
    raw = np.asarray(network.trainable(PIXELS, training=False)["worn"])
    np.testing.assert_allclose(raw, np.tile(expected, (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(predicted(network)[0], 1 / (1 + np.exp(-expected)), rtol=1e-5)


def test_celebas_attributes_are_in_nine_groups_each_with_layers_of_its_own() -> None:
    network = attribute_net(attributes_task())
    names = {layer.name for layer in network.trainable.layers}
    assert {f"attributes_{group}_dense" for group in ATTRIBUTE_GROUPS} <= names
    assert {name for name in names if name.startswith("attributes_raw_")} == {
        f"attributes_raw_{group}"
        for group in ("hair", "eye", "ear", "nose", "mouth", "beard", "cheek", "neck", "global")
    }
    assert network.inference.output["attributes"].shape == (None, 40)
    assert profile_model(network.inference).parameters < 1.5e6


def test_the_table_of_groups_covers_celebas_attributes_exactly_once() -> None:
    # The header of CelebA's list_attr_celeba.txt.
    celeba = [
        "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
        "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
        "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
        "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
        "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
        "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
    ]  # fmt: skip
    assert len(celeba) == 40
    grouped = [name for names in ATTRIBUTE_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(celeba)
    assert len(ATTRIBUTE_GROUPS) == 9
    assert set(ATTRIBUTES) == set(celeba)
    assert len(ATTRIBUTES) == 40


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "tasks.worn.groups: a, b, c is in no group; each attribute needs one group"),
        ({"x": ["a"], "y": ["c"]}, "tasks.worn.groups: b is in no group; each attribute needs one group"),
        ({"x": ["a", "b"], "y": ["b", "c"]}, "tasks.worn.groups: b is in two groups; each attribute needs one group"),
    ],
)
def test_an_attribute_in_no_group_or_in_two_is_refused_by_name(groups: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as error:
        attribute_net(MultilabelTask("worn", ("a", "b", "c"), groups))
    assert str(error.value) == message


def test_another_kind_of_task_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError) as error:
        attribute_net(age_task())
    assert str(error.value) == "attribute_net learns attributes; task 'age' is scalar: leave it out"


@pytest.mark.parametrize("nets", [[], ["age", "age"], "age", None])
def test_nets_must_be_one_or_more_different_names(nets: Any) -> None:
    with pytest.raises(
        ModelError, match="model.nets: needs a list of one or more different names of letters, digits and _, not "
    ):
        attribute_net(nets=nets)


def test_too_small_a_side_is_refused() -> None:
    with pytest.raises(ModelError, match="at least 32 pixels, not 31"):
        attribute_net(size=31)
