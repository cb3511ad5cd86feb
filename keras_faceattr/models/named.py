"""Registered nets as functions that build a `keras.Model` for `compile` and `fit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from keras_faceattr.errors import ConfigError, ModelError
from keras_faceattr.tasks import CategoricalTask, ScalarTask, Task

INPUT_SHAPE = (112, 112, 3)


class NetFunction(Protocol):
    """Builds one registered net; see `net_function`."""

    __name__: str

    def __call__(
        self,
        input_shape: tuple[int, int, int] = INPUT_SHAPE,
        *,
        tasks: Iterable[Task] | None = None,
        methods: Mapping[str, str] | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        include_top: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> Any: ...


def net_function(name: str, about: str) -> NetFunction:
    """The function that builds the registered net called `name`."""

    def build(
        input_shape: tuple[int, int, int] = INPUT_SHAPE,
        *,
        tasks: Iterable[Task] | None = None,
        methods: Mapping[str, str] | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        step: float | None = None,
        include_top: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> Any:
        side = _side(name, input_shape)
        chosen = _tasks(name, tasks, methods or {}, {"minimum": minimum, "maximum": maximum, "step": step})
        if include_top:
            return _raw_outputs(name, chosen, size=side, dropout=dropout, seed=seed, **options)
        if dropout:
            raise ConfigError(f"{name}: dropout stands before the heads, and include_top=False leaves them out")
        return _features(name, {key: task for key, (task, _) in chosen.items()}, side, seed, **options)

    build.__name__ = build.__qualname__ = name
    build.__module__ = "keras_faceattr.models"
    build.__doc__ = f"{about}\n{_DOC}"
    return build


_DOC = """
    The model reads (batch, side, side, 3) RGB pixels from 0 to 255, as float32 or uint8, and normalises them itself.
    Its weights are random. Its output is raw, for the losses of `kfa.losses` and those of Keras with
    `from_logits=True`: of one task a tensor (batch, units), of several a dictionary of them by the task's name. A
    scalar has K logits, one for each bin from minimum to maximum (K − 1 by the method `ranking`; the value projected to
    [−1, 1] by a regression; that and the classes' logits by `crnet`); a task of classes a logit for each; yes/no tasks
    and attributes one for each. `kfa.models.decoded` turns raw outputs into values and probabilities.

    Args:
        input_shape: (side, side, 3).
        tasks: what is learned; None: what the net is registered for.
        methods: how, by the task's name; None: as it is registered, or the usual method of the task's kind.
        minimum: first bin of the net's only scalar task, in its unit; None: as the task says.
        maximum: last bin, as `minimum`.
        step: between two bins, as `minimum`.
        include_top: False gives the features before the heads: (batch, channels), or a dictionary of them by task and
            part where the net has some for each.
        dropout: share of the features that is dropped before the heads, in training.
        seed: random seed of the initial weights; None for another one at each call.
        options: options of the net, such as `pooling` of the thin VGGs.

    Returns:
        A functional `keras.Model` of stock layers.

    Raises:
        ConfigError: a task, method or range that makes no sense.
        ModelError: an option that the net does not have, or a side that is too small.
"""


def decoded(model: Any, tasks: Iterable[Task] | None = None, methods: Mapping[str, str] | None = None) -> Any:
    """A model of the same weights that answers in values and probabilities.

    Args:
        model: model of a function of `kfa.models`, with its heads.
        tasks: those that it was built for; None: what the net is registered for.
        methods: those that it was built by.

    Returns:
        Model from pixels to a dictionary: of a scalar task `<task>` (batch,) value in its unit, and where the method
        has one `<task>_distribution` (batch, K); of other tasks `<task>` (batch, n) probabilities. It is what a run's
        `model.keras` holds.

    Raises:
        ModelError: a task has no head in the model, or one of another width.
    """
    import keras

    from keras_faceattr.methods import method_of
    from keras_faceattr.models.decoding import VOTES
    from keras_faceattr.models.heads import HEADS

    outputs: dict[str, Any] = {}
    layers = {layer.name: layer for layer in model.layers}
    for task, method in _tasks(str(model.name), tasks, methods or {}, {}).values():
        head = HEADS[method_of(task, method).head]
        given = layers[f"{task.name}_raw"].output.shape[-1] if f"{task.name}_raw" in layers else 0
        members, rest = divmod(given, head.units(task))
        if rest or not members or (members > 1 and not isinstance(task, CategoricalTask)):
            raise ModelError(
                f"model {model.name!r} has {given} raw outputs for the task {task.name!r}, which needs "
                f"{head.units(task)}: give the tasks and methods that it was built with"
            )
        raw = layers[f"{task.name}_raw"].output
        outputs |= VOTES["majority"](task, raw, members) if members > 1 else head.decode(task, raw)
    return keras.Model(model.input, outputs, name=model.name)


def _side(name: str, input_shape: tuple[int, ...]) -> int:
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3 or not all(isinstance(n, int) for n in shape):
        raise ModelError(f"{name}: input_shape {shape} is not (side, side, 3)")
    return int(shape[0])


def _tasks(
    name: str, tasks: Iterable[Task] | None, methods: Mapping[str, str], limits: Mapping[str, float | None]
) -> dict[str, tuple[Task, str | None]]:
    """Task and method by name."""
    import dataclasses

    from keras_faceattr.errors import nearest
    from keras_faceattr.models import architecture

    usual = architecture(name).tasks if tasks is None or name in _registered() else {}
    chosen = [task for task, _ in usual.values()] if tasks is None else list(tasks)
    given = {key: value for key, value in limits.items() if value is not None}
    if given:
        scalars = [task for task in chosen if isinstance(task, ScalarTask)]
        if len(scalars) != 1:
            raise ConfigError(
                f"{name}: {', '.join(given)}: the net has {len(scalars)} scalar tasks; give tasks instead"
            )
        # What follows from the bins is that of the new ones.
        fields: dict[str, Any] = {**given, "tolerances": (), "cut_points": (), "bands": ()}
        ranged = dataclasses.replace(scalars[0], **fields)
        chosen = [ranged if task is scalars[0] else task for task in chosen]
    names = [task.name for task in chosen]
    for key in methods:
        if key not in names:
            raise ConfigError(f"{name}: methods names no task of the net: {key!r}; {nearest(key, names)}")
    learned = {key: method for key, (_, method) in usual.items()}
    return {task.name: (task, methods.get(task.name, learned.get(task.name))) for task in chosen}


def _registered() -> Iterable[str]:
    from keras_faceattr.models import MODELS

    return MODELS


def _raw_outputs(name: str, tasks: dict[str, Any], **options: Any) -> Any:
    import keras

    from keras_faceattr.models.network import build_network

    model = build_network(name, tasks, **options).trainable
    if len(model.output) > 1:
        return model
    (output,) = model.output.values()
    return keras.Model(model.input, output, name=name)


def _features(name: str, tasks: dict[str, Task], side: int, seed: int | None, **options: Any) -> Any:
    import keras

    from keras_faceattr.models import architecture
    from keras_faceattr.models.building import seeded

    entry = architecture(name)
    entry.check_options(options)
    with seeded(seed):
        pixels = keras.Input((side, side, 3), name="image", dtype="float32")
        features = entry.net(pixels, tasks, **entry.options, **options)
    alone = list({id(value): value for value in features.values()}.values())
    if len(alone) == 1 and not isinstance(alone[0], dict | list):
        return keras.Model(pixels, alone[0], name=name)
    return keras.Model(pixels, features, name=name)
