"""Methods: how a task is learned and read back. A new method is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.losses import classification, label_distribution, ranking, regression
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

Tensor = Any


@dataclass(frozen=True)
class MethodSettings:
    """What a config may set about a task's loss.

    Attributes:
        expectation_weight: λ, weight of the expectation's L1 beside the divergence.
        kl_reduction: `sum` over the bins as the paper writes it, or `mean` over the bins as the authors' code
            weights it: with `mean`, λ = 1 is K times heavier against the divergence.
        label_smoothing: for categorical tasks.
    """

    expectation_weight: float = 1.0
    kl_reduction: str = "sum"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.kl_reduction not in ("sum", "mean"):
            raise ConfigError(
                f"unknown kl_reduction {self.kl_reduction!r}; {nearest(self.kl_reduction, ('sum', 'mean'))}"
            )


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        head: which head of `models.heads` reads the features and decodes.
        loss: (values (batch,), stds (batch,), raw (batch, units), bins (K,), settings) → (batch,).
        has_expectation_weight: whether `expectation_weight` means anything to it.
        source: paper and section.
    """

    head: str
    loss: Callable[[Tensor, Tensor, Tensor, Tensor, MethodSettings], Tensor]
    source: str
    has_expectation_weight: bool = False


def _kl(values: Tensor, stds: Tensor, raw: Tensor, bins: Tensor, settings: MethodSettings) -> Tensor:
    target = label_distribution.label_distribution(values, stds, bins)
    divergence = label_distribution.kl_divergence(target, raw)
    return divergence / raw.shape[-1] if settings.kl_reduction == "mean" else divergence


def _kl_and_l1(values: Tensor, stds: Tensor, raw: Tensor, bins: Tensor, settings: MethodSettings) -> Tensor:
    l1 = label_distribution.expectation_l1(values, raw, bins)
    return _kl(values, stds, raw, bins, settings) + settings.expectation_weight * l1


METHODS: dict[str, Method] = {
    "mr_l1": Method("regression", lambda y, s, x, b, _: regression.regression_l1(y, x, b), "DLDL-v2, 4.5.4, MR"),
    "mr_l2": Method("regression", lambda y, s, x, b, _: regression.regression_l2(y, x, b), "DLDL-v2, 4.5.4, MR"),
    "dex": Method(
        "distribution", lambda y, s, x, b, _: classification.nearest_bin_cross_entropy(y, x, b), "DLDL-v2, 4.5.4, DEX"
    ),
    "ranking": Method("ranking", lambda y, s, x, b, _: ranking.ranking_loss(y, x, b), "DLDL-v2, 4.5.4, Ranking"),
    "er": Method(
        "distribution", lambda y, s, x, b, _: label_distribution.expectation_l1(y, x, b), "DLDL-v2, 4.5.4, ER"
    ),
    "dldl": Method("distribution", _kl, "DLDL-v2, 4.5.4, DLDL (λ = 0)"),
    "dldl_v2": Method("distribution", _kl_and_l1, "DLDL-v2, eq. 12", has_expectation_weight=True),
}

HEAD_OF_KIND: dict[type, str] = {BinaryTask: "binary", CategoricalTask: "categorical", MultilabelTask: "multilabel"}


def scalar_method(name: str) -> Method:
    """The row called `name`.

    Raises:
        ConfigError: there is none; the message lists the valid names.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; {nearest(name, METHODS)}")
    return METHODS[name]


def head_name(task: Task, method: str) -> str:
    """Which head of `models.heads` serves a task learned by a method."""
    return scalar_method(method).head if isinstance(task, ScalarTask) else HEAD_OF_KIND[type(task)]
