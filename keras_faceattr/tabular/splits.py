"""Repeated random splits of a table's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_faceattr.errors import DataError
from keras_faceattr.models.tabular_dnn import Standardisation
from keras_faceattr.tabular.data import Table
from keras_faceattr.tabular.experiment import RepeatedSplits

SMALLEST_TRAIN, SMALLEST_PART = 40, 5
"""Rows that the inner cross-validation of the regressors, and the two other parts, need."""


@dataclass(frozen=True)
class Split:
    """Numbers of rows: disjoint, and together all of them.

    Attributes:
        number: of the split, from 1.
        seed: of all chance within the split.
    """

    number: int
    seed: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Part:
    """Raw columns (rows, features) and target (rows,)."""

    columns: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class SplitTable:
    """A table's rows as one split deals them, and the statistics of its training rows."""

    split: Split
    train: Part
    validation: Part
    test: Part
    standardisation: Standardisation

    @property
    def fitting(self) -> Part:
        """All rows but the test's: for regressors that need none to stop by."""
        parts = (self.train, self.validation)
        return Part(np.concatenate([p.columns for p in parts]), np.concatenate([p.target for p in parts]))


def make_splits(rows: int, splits: RepeatedSplits, seed: int) -> list[Split]:
    """Draws the splits of `rows` rows; a split does not depend on how many there are.

    Raises:
        DataError: too few rows for the parts.
    """
    test = round(rows * splits.test)
    validation = round((rows - test) * splits.validation)
    train = rows - test - validation
    if train < SMALLEST_TRAIN or min(test, validation) < SMALLEST_PART:
        raise DataError(
            f"{rows} usable rows give {train} train, {validation} validation and {test} test rows: at least "
            f"{SMALLEST_TRAIN}, {SMALLEST_PART} and {SMALLEST_PART} are needed; add rows or change the section splits"
        )
    found = []
    for number in range(1, splits.repeats + 1):
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(rows)
        own_seed = int(rng.integers(2**31))
        found.append(Split(number, own_seed, order[test + validation :], order[test : test + validation], order[:test]))
    return found


def split_table(table: Table, split: Split) -> SplitTable:
    """The rows of a split, and the statistics of its training rows alone."""
    train, validation, test = (
        Part(table.values[rows], table.target_values[rows]) for rows in (split.train, split.validation, split.test)
    )
    return SplitTable(split, train, validation, test, Standardisation.of(train.columns, train.target))
