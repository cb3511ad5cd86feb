"""Nets for one number of a table's row: MTB-DNN and the paper's MLP (face analysis slides, Web Data Mining, Fig. 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.building import seeded

Tensor = Any

MLP_UNITS: tuple[int, ...] = (16, 8, 8)
"""Hidden layers of the baseline: 15-16-8-8-1 with the paper's 15 inputs (slides, caption of Table 7)."""

SHARED_UNITS: tuple[int, ...] = (64, 32)
BRANCHES = 3
BRANCH_UNITS: tuple[int, ...] = (16, 8)
"""The slides draw the architecture and give no widths: these, and the number of branches, are ours."""


def mlp(features: Tensor) -> Tensor:
    """Stacked dense layers and one neuron.

    Args:
        features: (batch, features), standardised.

    Returns:
        (batch, 1) standardised target.

    Source: slides, Table 7, MLP.
    """
    return _output(_dense_stack(features, MLP_UNITS, "hidden"))


def mtb_dnn(
    features: Tensor,
    shared: Sequence[int] = SHARED_UNITS,
    branches: int = BRANCHES,
    branch_units: Sequence[int] = BRANCH_UNITS,
) -> Tensor:
    """Shared layers, branches that are all fed by the last of them, and one neuron that reads all branches.

    Args:
        features: (batch, features), standardised.
        shared: units of the shared layers.
        branches: how many there are; they differ only in their initial weights and are trained jointly.
        branch_units: units of each branch's layers.

    Returns:
        (batch, 1) standardised target.

    Source: slides, Fig. 2.
    """
    general = _dense_stack(features, shared, "shared")
    specific = [_dense_stack(general, branch_units, f"branch{number}_") for number in range(1, branches + 1)]
    return _output(layers.Concatenate(name="joined")(specific) if branches > 1 else specific[0])


TABULAR_NETS: dict[str, Callable[..., Tensor]] = {"mlp": mlp, "mtb_dnn": mtb_dnn}


@dataclass(frozen=True)
class Standardisation:
    """Statistics of the rows that a net is trained on, in the columns' own units.

    Attributes:
        means: (features,) of the columns.
        stds: (features,) of the columns; 1 where a column is constant in these rows.
        target_mean: mean of the target.
        target_std: standard deviation of the target; 1 where it is constant.
    """

    means: np.ndarray
    stds: np.ndarray
    target_mean: float
    target_std: float

    @classmethod
    def of(cls, columns: np.ndarray, target: np.ndarray) -> Standardisation:
        """Statistics of (rows, features) columns and a (rows,) target."""
        # A column that is constant in these rows may vary in others, where a division by 0 would explode.
        stds = np.where(np.ptp(columns, axis=0) == 0, 1.0, columns.std(axis=0))
        target_std = float(target.std()) if np.ptp(target) else 1.0
        return cls(columns.mean(axis=0), stds, float(target.mean()), target_std)


def tabular_model(name: str, standardisation: Standardisation, seed: int, **options: Any) -> keras.Model:
    """A net with its standardisation inside, freshly initialised.

    Args:
        name: key of `TABULAR_NETS`.
        seed: random seed of the initial weights.
        options: options of the net.

    Returns:
        Model from raw columns (batch, features) to the target (batch, 1), both in their own units.

    Raises:
        ModelError: unknown net.
    """
    if name not in TABULAR_NETS:
        raise ModelError(f"unknown net {name!r}; {nearest(name, TABULAR_NETS)}")
    columns = keras.Input((len(standardisation.means),), name="columns")
    features = layers.Normalization(
        mean=standardisation.means, variance=standardisation.stds**2, name="standardise"
    )(columns)  # fmt: skip
    with seeded(seed):
        output = TABULAR_NETS[name](features, **options)
    target = layers.Rescaling(standardisation.target_std, offset=standardisation.target_mean, name="target")(output)
    return keras.Model(columns, target, name=name)


def _dense_stack(x: Tensor, units: Sequence[int], name: str) -> Tensor:
    for number, width in enumerate(units, start=1):
        x = layers.Dense(width, activation="relu", kernel_initializer="he_normal", name=f"{name}{number}")(x)
    return x


def _output(x: Tensor) -> Tensor:
    return layers.Dense(1, name="output")(x)
