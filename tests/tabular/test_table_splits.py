"""Repeated splits: parts that share no row, and statistics of the training rows alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_faceattr.errors import DataError
from keras_faceattr.tabular.data import load_table
from keras_faceattr.tabular.experiment import RepeatedSplits, TableSource
from keras_faceattr.tabular.splits import make_splits, split_table


def test_parts_are_disjoint_and_hold_all_rows_in_their_shares() -> None:
    for split in make_splits(200, RepeatedSplits(repeats=3, test=0.2, validation=0.25), 0):
        assert (len(split.train), len(split.validation), len(split.test)) == (120, 40, 40)
        together = np.concatenate([split.train, split.validation, split.test])
        assert sorted(together) == list(range(200))


def test_splits_differ_follow_the_seed_and_do_not_depend_on_how_many_there_are() -> None:
    three = make_splits(200, RepeatedSplits(repeats=3), 5)
    two, other = make_splits(200, RepeatedSplits(repeats=2), 5), make_splits(200, RepeatedSplits(repeats=2), 6)
    assert [split.number for split in three] == [1, 2, 3]
    np.testing.assert_array_equal(three[1].test, two[1].test)
    assert three[1].seed == two[1].seed
    assert len({split.seed for split in three}) == 3
    assert set(three[0].test) != set(three[1].test)
    assert set(two[0].test) != set(other[0].test)


def test_standardisation_uses_only_training_rows() -> None:
    table = load_table(TableSource(options={"count": 300}))
    split = make_splits(300, RepeatedSplits(repeats=2), 0)[0]
    before = split_table(table, split).standardisation
    rows = table.values[split.train]
    np.testing.assert_allclose(before.means, rows.sum(axis=0) / len(rows))
    np.testing.assert_allclose(before.stds, np.sqrt(((rows - rows.mean(axis=0)) ** 2).mean(axis=0)))
    values, target = table.values.copy(), table.target_values.copy()
    for other in (split.validation, split.test):
        values[other] *= 100
        target[other] += 7
    changed = dataclasses.replace(table, values=values, target_values=target)
    after = split_table(changed, split).standardisation
    np.testing.assert_array_equal(after.means, before.means)
    np.testing.assert_array_equal(after.stds, before.stds)
    assert (after.target_mean, after.target_std) == (before.target_mean, before.target_std)


def test_too_few_rows_say_how_many_each_part_would_have() -> None:
    with pytest.raises(DataError, match="50 usable rows give 36 train, 4 validation and 10 test rows"):
        make_splits(50, RepeatedSplits(), 0)
    with pytest.raises(DataError, match="4 validation"):
        make_splits(100, RepeatedSplits(validation=0.05), 0)
