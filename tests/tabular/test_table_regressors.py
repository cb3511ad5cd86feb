"""The rows of the comparison: each learns, in the target's own unit, without a look at the test rows."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from keras_faceattr.errors import ConfigError, TrainingError
from keras_faceattr.models.tabular_dnn import Standardisation
from keras_faceattr.tabular import regressors
from keras_faceattr.tabular.experiment import TableExperiment
from keras_faceattr.tabular.nets import fit_net
from keras_faceattr.tabular.regressors import TABLE_REGRESSORS, table_regressor
from keras_faceattr.tabular.splits import Part, Split, SplitTable

EXPERIMENT = TableExperiment(kind="table", name="test", training={"epochs": 40, "batch_size": 16})


def part(rng: np.random.Generator, rows: int) -> Part:
    """Columns of very different size, and a target that is a plane over them plus a little noise."""
    standard = rng.normal(size=(rows, 3))
    target = 3000 + 400 * standard[:, 0] - 200 * standard[:, 1] + rng.normal(0, 20, rows)
    return Part(standard * [1000, 0.01, 1] + [5000, 0, -3], target)


@pytest.fixture
def table() -> SplitTable:
    rng = np.random.default_rng(0)
    parts = [part(rng, rows) for rows in (120, 40, 60)]
    split = Split(1, 7, np.arange(120), np.arange(120, 160), np.arange(160, 220))
    return SplitTable(split, *parts, Standardisation.of(parts[0].columns, parts[0].target))


@pytest.mark.parametrize("name", TABLE_REGRESSORS)
def test_every_regressor_learns_a_plane_in_the_targets_unit(name: str, table: SplitTable) -> None:
    predictions = table_regressor(name).fit(table, EXPERIMENT).predict(table.test.columns)
    assert predictions.shape == (60,)
    spread = table.test.target.std()
    assert 400 < spread < 500
    assert np.abs(predictions - table.test.target).mean() < 0.5 * spread


@pytest.mark.parametrize("name", ["ridge", "mlp", "mtb_dnn"])
def test_the_test_rows_take_no_part(name: str, table: SplitTable) -> None:
    quick = EXPERIMENT.model_copy(update={"training": EXPERIMENT.training.model_copy(update={"epochs": 2})})
    other = dataclasses.replace(table, test=Part(table.test.columns * 9, table.test.target * 0))
    first, second = (table_regressor(name).fit(t, quick).predict(table.test.columns) for t in (table, other))
    np.testing.assert_array_equal(first, second)


def test_ridge_equals_the_closed_form(table: SplitTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of standardised train and validation rows, with one penalty to choose from."""
    only = dataclasses.replace(TABLE_REGRESSORS["ridge"], grid={"alpha": [10.0]})
    monkeypatch.setitem(regressors.TABLE_REGRESSORS, "ridge", only)
    x = np.concatenate([table.train.columns, table.validation.columns])
    y = np.concatenate([table.train.target, table.validation.target])
    means, stds = table.train.columns.mean(axis=0), table.train.columns.std(axis=0)
    z = (x - means) / stds
    centred = z - z.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + 10 * np.eye(3), centred.T @ (y - y.mean()))
    expected = y.mean() + ((table.test.columns - means) / stds - z.mean(axis=0)) @ weights
    fitted = table_regressor("ridge").fit(table, EXPERIMENT)
    np.testing.assert_allclose(fitted.predict(table.test.columns), expected, rtol=1e-9)
    assert fitted.settings == "alpha=10.0"


def test_a_net_keeps_the_epoch_with_the_least_validation_mae(
    table: SplitTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories, fit = [], keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda *a, **k: histories.append(fit(*a, **k)) or histories[-1])
    training = EXPERIMENT.training.model_copy(update={"early_stop_epochs": 3, "learning_rate": 0.3})
    model, epoch = fit_net("mlp", {}, table, training)
    curve = histories[0].history["val_mae"]
    assert epoch == 1 + curve.index(min(curve)) == len(curve) - 3 < training.epochs - 3
    errors = np.asarray(model(table.validation.columns.astype("float32")))[:, 0] - table.validation.target
    assert np.abs(errors).mean() == pytest.approx(min(curve), rel=1e-4)


def test_a_loss_that_explodes_names_net_split_and_mend(table: SplitTable) -> None:
    huge = Part(table.train.columns, np.where(np.arange(120) == 5, 1e38, table.train.target))
    broken = dataclasses.replace(table, train=huge)
    training = EXPERIMENT.training.model_copy(update={"loss": "mse"})
    with pytest.raises(TrainingError, match=r"^mlp, split 1: the loss .* lower training.learning_rate"):
        fit_net("mlp", {}, broken, training)


def test_an_unknown_regressor_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match="unknown regressor 'rigde' in baselines; did you mean 'ridge'") as error:
        table_regressor("rigde")
    for name in TABLE_REGRESSORS:
        assert name in str(error.value)
