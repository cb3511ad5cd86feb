"""Methods: how a task is learned and read back. A new method is a new row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from keras import ops

from keras_faceattr.config import MethodSettings
from keras_faceattr.errors import ConfigError, nearest
from keras_faceattr.losses import classification, embedding_match, huber, label_distribution, ranking, regression
from keras_faceattr.losses.class_and_value import class_and_value
from keras_faceattr.methods.labels import Labels
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task

Tensor = Any


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        head: which head of `models.heads` reads the features and decodes.
        loss: (labels, raw outputs (batch, units), task, settings) → (batch,), or (batch, attributes).
        source: paper and section.
        settings: names of the `MethodSettings` that the method reads.
        kinds: kinds of tasks that can be learned by it.
        forms: those of `labels.FORMS` that it can learn from.
        lesson: key of `lessons.LESSONS`: what it learns from a teacher; None where it cannot learn from one.
    """

    head: str
    loss: Callable[[Labels, Tensor, Any, MethodSettings], Tensor]
    source: str
    settings: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("scalar",)
    forms: tuple[str, ...] = ("exact",)
    lesson: str | None = None


def _target(labels: Labels, value: Tensor) -> Tensor:
    """(batch,) the label of each photo; of an interval the value in it that is nearest to the one given."""
    exact = labels.exact[:, 0]
    if labels.interval is None:
        return exact
    ends, given = labels.interval
    nearest = ops.stop_gradient(ops.clip(value, ends[:, 0], ends[:, 1]))
    return ops.where(given > 0, nearest, exact)


def _scalar(loss: Callable[[Tensor, Tensor, Tensor, Tensor, MethodSettings], Tensor]) -> Any:
    """A loss of values (batch,), σ (batch,), raw outputs and bins (K,) as one of labels."""

    def of_labels(labels: Labels, raw: Tensor, task: ScalarTask, settings: MethodSettings) -> Tensor:
        return loss(labels.exact[:, 0], labels.exact[:, 1], raw, _bins(task), settings)

    return of_labels


def _error(penalty: Callable[[Tensor, MethodSettings], Tensor]) -> Any:
    """A loss of the error in the task's unit, without any squashing; outside of an interval, of the distance to it."""

    def of_labels(labels: Labels, raw: Tensor, task: ScalarTask, settings: MethodSettings) -> Tensor:
        value = regression.unproject(raw[:, 0], _bins(task))
        return penalty(value - _target(labels, value), settings)

    return of_labels


def _expectation(labels: Labels, raw: Tensor, task: ScalarTask, _: MethodSettings) -> Tensor:
    bins = _bins(task)
    value = label_distribution.expectation(ops.softmax(raw, axis=-1), bins)
    return ops.abs(value - _target(labels, value))


def _nearest_bin(labels: Labels, raw: Tensor, task: ScalarTask, _: MethodSettings) -> Tensor:
    loss = classification.nearest_bin_cross_entropy(labels.exact[:, 0], raw, _bins(task))
    if labels.interval is None:
        return loss
    inside = label_distribution.interval_divergence(labels.interval[0], raw, _bins(task))
    return ops.where(labels.interval[1] > 0, inside, loss)


def _bins(task: ScalarTask) -> Tensor:
    return ops.convert_to_tensor(task.bins.astype("float32"))


def _kl(labels: Labels, raw: Tensor, task: ScalarTask, settings: MethodSettings) -> Tensor:
    """Divergence from the label's distribution, or from being inside its interval."""
    bins = _bins(task)
    target = label_distribution.label_distribution(labels.exact[:, 0], labels.exact[:, 1], bins)
    if labels.soft:
        target = ops.where(labels.soft[1][:, None] > 0, labels.soft[0], target)
    divergence = label_distribution.kl_divergence(target, raw)
    if labels.interval:
        inside = label_distribution.interval_divergence(labels.interval[0], raw, bins)
        inside = inside + settings.smoothness * label_distribution.roughness(raw)
        divergence = ops.where(labels.interval[1] > 0, inside, divergence)
    return divergence / raw.shape[-1] if settings.kl_reduction == "mean" else divergence


def _kl_and_l1(labels: Labels, raw: Tensor, task: ScalarTask, settings: MethodSettings) -> Tensor:
    bins, values = _bins(task), labels.exact[:, 0]
    if labels.soft:
        values = ops.where(labels.soft[1] > 0, label_distribution.expectation(labels.soft[0], bins), values)
    l1 = label_distribution.expectation_l1(values, raw, bins)
    if labels.interval:
        outside = label_distribution.interval_distance(labels.interval[0], raw, bins)
        l1 = ops.where(labels.interval[1] > 0, outside, l1)
    return _kl(labels, raw, task, settings) + settings.expectation_weight * l1


def _class_and_value(labels: Labels, raw: Tensor, task: ScalarTask, settings: MethodSettings) -> Tensor:
    cuts = ops.convert_to_tensor(task.cuts.astype("float32"))
    weights = settings.class_weight, settings.value_weight
    return class_and_value(labels.exact[:, 0], raw, _bins(task), cuts, *weights)


def _cross_entropy(labels: Labels, raw: Tensor, task: CategoricalTask, settings: MethodSettings) -> Tensor:
    """Mean over the members of an ensemble, of which there is one in most nets."""
    count = len(task.classes)
    target = ops.one_hot(ops.cast(labels.exact[:, 0], "int32"), count, dtype="float32")
    if labels.soft:
        target = ops.where(labels.soft[1][:, None] > 0, labels.soft[0], target)
    members = [raw[:, i : i + count] for i in range(0, raw.shape[-1], count)]
    losses = [classification.soft_cross_entropy(target, member, settings.label_smoothing) for member in members]
    return sum(losses[1:], losses[0]) / len(losses)


def _yes_no(labels: Labels, raw: Tensor, *_: Any) -> Tensor:
    target = labels.exact
    if labels.soft:
        target = ops.where(labels.soft[1][:, None] > 0, labels.soft[0], target)
    losses = classification.binary_cross_entropy(target, raw)
    return losses if len(labels.known.shape) > 1 else losses[:, 0]


def _no_loss(labels: Labels, raw: Tensor, *_: Any) -> Tensor:
    """Loss of 0 for each photo, for a method whose only loss is its term over the batch (`methods.terms`)."""
    return ops.zeros_like(raw[:, 0])


def _match(labels: Labels, raw: Tensor, _: Any, settings: MethodSettings) -> Tensor:
    return embedding_match.embedding_match(labels.exact, raw, settings.cosine_weight, settings.l2_weight)


ALL_FORMS = ("exact", "interval", "soft")
SOFT = ("exact", "soft")
INTERVAL = ("exact", "interval")

METHODS: dict[str, Method] = {
    "mr_l1": Method(
        "regression",
        _scalar(lambda y, s, x, b, _: regression.regression_l1(y, x, b)),
        "DLDL-v2, 4.5.4, MR",
        lesson="value",
    ),
    "mr_l2": Method(
        "regression",
        _scalar(lambda y, s, x, b, _: regression.regression_l2(y, x, b)),
        "DLDL-v2, 4.5.4, MR",
        lesson="value",
    ),
    "dex": Method("distribution", _nearest_bin, "DLDL-v2, 4.5.4, DEX", forms=INTERVAL, lesson="distribution"),
    "ranking": Method(
        "ranking",
        _scalar(lambda y, s, x, b, _: ranking.ranking_loss(y, x, b)),
        "DLDL-v2, 4.5.4, Ranking",
        lesson="value",
    ),
    "er": Method("distribution", _expectation, "DLDL-v2, 4.5.4, ER", forms=INTERVAL, lesson="distribution"),
    "dldl": Method(
        "distribution",
        _kl,
        "DLDL-v2, 4.5.4, DLDL (λ = 0)",
        ("kl_reduction", "smoothness"),
        forms=ALL_FORMS,
        lesson="distribution",
    ),
    "dldl_v2": Method(
        "distribution",
        _kl_and_l1,
        "DLDL-v2, eq. 12",
        ("kl_reduction", "expectation_weight", "smoothness"),
        forms=ALL_FORMS,
        lesson="distribution",
    ),
    "l1": Method("linear", _error(lambda e, _: ops.abs(e)), "HMTNet, table 4", forms=INTERVAL, lesson="value"),
    "mse": Method("linear", _error(lambda e, _: ops.square(e)), "HMTNet, table 4", forms=INTERVAL, lesson="value"),
    "smooth_l1": Method(
        "linear", _error(lambda e, _: huber.smooth_l1(e)), "HMTNet, table 4", forms=INTERVAL, lesson="value"
    ),
    "smooth_huber": Method(
        "linear",
        _error(lambda e, settings: huber.smooth_huber(e, settings.delta, settings.huber_form)),
        "HMTNet, Loss_a",
        ("delta", "huber_form"),
        forms=INTERVAL,
        lesson="value",
    ),
    "crnet": Method("class_and_value", _class_and_value, "CRNet, L", ("class_weight", "value_weight"), lesson="value"),
    "cross_entropy": Method(
        "categorical", _cross_entropy, "HMTNet, Loss_r", ("label_smoothing",), ("categorical",), SOFT, lesson="classes"
    ),
    "binary_cross_entropy": Method("binary", _yes_no, "HMTNet, Loss_g", (), ("binary",), SOFT, lesson="answers"),
    "attribute_cross_entropy": Method(
        "multilabel", _yes_no, "OBRL, eq. 4", (), ("multilabel",), SOFT, lesson="answers"
    ),
    "obrl": Method(
        "multilabel",
        _yes_no,
        "OBRL, eq. 1 to 4",
        ("relation_weight", "relation_decay", "positive_relation", "negative_relation"),
        ("multilabel",),
    ),
    "softmax": Method("vector", _no_loss, "DLDL-v2, 4.1; OBRL, II.A", (), ("identity",)),
    "center": Method("vector", _no_loss, "OBRL, II.A; Wen et al.", ("center_weight", "center_rate"), ("identity",)),
    "arc_face": Method("vector", _no_loss, "Deng et al., eq. 3", ("angular_margin", "angular_scale"), ("identity",)),
    "triplet": Method("projection", _no_loss, "TransFBP, E(W')", ("triplet_margin", "mining"), ("identity",)),
    "distill": Method(
        "vector", _match, "Distillation: cosine and L2 of unit vectors", ("cosine_weight", "l2_weight"), ("embedding",)
    ),
}

DEFAULTS = {
    "scalar": "dldl_v2",
    "binary": "binary_cross_entropy",
    "categorical": "cross_entropy",
    "multilabel": "attribute_cross_entropy",
    "identity": "arc_face",
    "embedding": "distill",
}
"""The method of a task where nothing is said."""


def methods_for(kind: str) -> list[str]:
    """Names of the methods for a kind of task."""
    return [name for name, method in METHODS.items() if kind in method.kinds]


def method_of(task: Task, name: str | None = None) -> Method:
    """The method by which a task is learned.

    Args:
        name: key of `METHODS`; None for the usual one of the task's kind.

    Raises:
        ConfigError: there is none of this name, or it is for another kind of task; the message lists the valid ones.
    """
    name = name or DEFAULTS[task.kind]
    valid = methods_for(task.kind)
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}; {nearest(name, valid)}")
    if name not in valid:
        raise ConfigError(f"method {name!r} is not for {task.kind} tasks such as {task.name!r}; {nearest(name, valid)}")
    return METHODS[name]


FORMER_DEFAULTS = {"angular_margin": 0.3, "angular_scale": 30.0}
"""A run's config states every default; these stand in runs of earlier versions."""


def check_settings(task: Task, name: str | None, settings: MethodSettings) -> None:
    """Refuse settings that the method does not read.

    Raises:
        ConfigError: one of them is not as it usually is.
    """
    row, usual = method_of(task, name), MethodSettings()
    for setting in MethodSettings.model_fields:
        unset = (getattr(usual, setting), FORMER_DEFAULTS.get(setting))
        if setting not in row.settings and getattr(settings, setting) not in unset:
            known = f"it looks at {', '.join(row.settings)}" if row.settings else "it has no settings"
            method = name or DEFAULTS[task.kind]
            raise ConfigError(f"tasks.{task.name}.{setting}: the method {method!r} does not look at it; {known}")


def check_forms(task: Task, name: str | None, forms: Iterable[str]) -> None:
    """Refuse labels of a form that the method cannot learn from.

    Raises:
        ConfigError: naming the methods that can.
    """
    row, method = method_of(task, name), name or DEFAULTS[task.kind]
    for form in forms:
        if form not in row.forms:
            able = [other for other in methods_for(task.kind) if form in METHODS[other].forms]
            known = f"use {' or '.join(able)}" if able else "no method of its kind can"
            raise ConfigError(f"tasks.{task.name}: the method {method!r} cannot learn from {form} labels; {known}")


def check_lesson(task: Task, name: str | None) -> str:
    """Name of what a task learns from a teacher, in `lessons.LESSONS`.

    Raises:
        ConfigError: its method cannot learn from one; those that can are named.
    """
    lesson = method_of(task, name).lesson
    if lesson is None:
        able = [other for other in methods_for(task.kind) if METHODS[other].lesson]
        known = f"use {' or '.join(able)}" if able else "no method of its kind can"
        raise ConfigError(f"tasks.{task.name}: the method {name!r} cannot learn from training.teacher; {known}")
    return lesson
