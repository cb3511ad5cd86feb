"""MTB-DNN's graph against Fig. 2 of the slides, the MLP's widths, and raw columns in and out."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.tabular_dnn import TABULAR_NETS, Standardisation, tabular_model

FEATURES = 15


def standardisation() -> Standardisation:
    rng = np.random.default_rng(0)
    return Standardisation.of(rng.normal(50, 9, (100, FEATURES)), rng.normal(4, 0.5, 100))


def net(name: str, **options: object) -> keras.Model:
    return tabular_model(name, standardisation(), seed=1, **options)


def fed_by(layer: layers.Layer) -> list[str]:
    """Names of the layers whose outputs a layer reads."""
    return [tensor._keras_history.operation.name for tensor in layer._inbound_nodes[0].input_tensors]


def test_every_branch_is_fed_by_the_last_shared_layer() -> None:
    model = net("mtb_dnn", shared=[7, 6, 5], branches=4, branch_units=[3, 2])
    assert fed_by(model.get_layer("shared2")) == ["shared1"]
    assert fed_by(model.get_layer("shared3")) == ["shared2"]
    for number in range(1, 5):
        assert fed_by(model.get_layer(f"branch{number}_1")) == ["shared3"]
        assert fed_by(model.get_layer(f"branch{number}_2")) == [f"branch{number}_1"]


def test_one_neuron_reads_all_branches() -> None:
    model = net("mtb_dnn", shared=[7], branches=3, branch_units=[4])
    assert fed_by(model.get_layer("joined")) == ["branch1_1", "branch2_1", "branch3_1"]
    assert fed_by(model.get_layer("output")) == ["joined"]
    assert model.get_layer("output").kernel.shape == (12, 1)
    # 15·7+7 shared, 3 branches of 7·4+4, 12+1 in the output.
    assert model.count_params() == 112 + 3 * 32 + 13


def test_a_single_branch_needs_no_joint() -> None:
    assert fed_by(net("mtb_dnn", shared=[7], branches=1, branch_units=[4]).get_layer("output")) == ["branch1_1"]


def test_all_branches_start_apart_and_learn_jointly() -> None:
    model = net("mtb_dnn", shared=[8], branches=2, branch_units=[4])
    names = ("shared1", "branch1_1", "branch2_1", "output")
    before = {name: np.asarray(model.get_layer(name).kernel) for name in names}
    assert not np.allclose(before["branch1_1"], before["branch2_1"])
    rng = np.random.default_rng(1)
    model.compile("adam", loss="mse")
    model.fit(rng.normal(50, 9, (64, FEATURES)), rng.normal(4, 0.5, (64, 1)), verbose=0)
    for name in names:
        assert not np.allclose(before[name], np.asarray(model.get_layer(name).kernel)), name


def test_the_mlp_is_15_16_8_8_1() -> None:
    model = net("mlp")
    dense = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    assert [model.input_shape[1], *(layer.units for layer in dense)] == [15, 16, 8, 8, 1]
    assert [layer.activation.__name__ for layer in dense] == ["relu", "relu", "relu", "linear"]


@pytest.mark.parametrize("name", TABULAR_NETS)
def test_raw_columns_are_standardised_and_the_target_given_back_inside(name: str) -> None:
    model, scale = net(name), standardisation()
    raw = np.random.default_rng(2).normal(50, 9, (6, FEATURES)).astype("float32")
    inner = keras.Model(model.get_layer("standardise").output, model.get_layer("output").output)
    by_hand = np.asarray(inner(((raw - scale.means) / scale.stds).astype("float32")))
    expected = by_hand * scale.target_std + scale.target_mean
    np.testing.assert_allclose(np.asarray(model(raw)), expected, rtol=1e-4)


@pytest.mark.parametrize("name", TABULAR_NETS)
def test_the_seed_alone_decides_names_and_initial_weights(name: str) -> None:
    first, second = net(name), net(name)
    assert [w.path for w in first.weights] == [w.path for w in second.weights]
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = tabular_model(name, standardisation(), seed=2)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


@pytest.mark.parametrize("name", TABULAR_NETS)
def test_a_saved_net_predicts_the_same_from_raw_columns(name: str, tmp_path: Path) -> None:
    model = net(name)
    model.save(tmp_path / "model.keras")
    raw = np.random.default_rng(3).normal(50, 9, (5, FEATURES)).astype("float32")
    np.testing.assert_array_equal(np.asarray(load_model(tmp_path / "model.keras")(raw)), np.asarray(model(raw)))


def test_a_column_that_is_constant_in_the_training_rows_does_not_explode_in_others() -> None:
    columns = np.column_stack([np.full(10, 5.0), np.arange(10.0)])
    scale = Standardisation.of(columns, np.full(10, 3.0))
    assert scale.stds[0] == 1.0
    assert scale.stds[1] == pytest.approx(np.sqrt(8.25))
    assert (scale.target_mean, scale.target_std) == (3.0, 1.0)


def test_an_unknown_net_lists_the_valid_ones() -> None:
    with pytest.raises(ModelError, match="unknown net 'mtbdnn'; did you mean 'mtb_dnn'"):
        net("mtbdnn")
