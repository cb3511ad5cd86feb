"""Nets by name: each a function from pixels to what every task's head reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from keras_faceattr.data.vocabulary import APPEARANCES, EXPRESSIONS, RACES, attributes_task
from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.attribute_net import ATTRIBUTE_NET_VARIANTS, FACE_NET_VARIANTS, attribute_net, face_net
from keras_faceattr.models.crnet import CRNET_VARIANTS, crnet
from keras_faceattr.models.faces_net import FACES_NET_VARIANTS, faces_net
from keras_faceattr.models.hmtnet import HMTNET_VARIANTS, hmtnet
from keras_faceattr.models.thin_vgg import THIN_VGG_VARIANTS, thin_vgg
from keras_faceattr.models.tree_cnn import TREE_CNN_VARIANTS, tree_cnn
from keras_faceattr.tasks import BinaryTask, CategoricalTask, IdentityTask, Task, age_task, attractiveness_task

Tasks = dict[str, tuple[Task, str | None]]
"""Task and method by the task's name; None for the usual method."""


def shared(backbone: Callable[..., Any]) -> Callable[..., Any]:
    """A net that gives one vector of features to all tasks alike."""

    @functools.wraps(backbone)
    def net(pixels: Any, tasks: dict[str, Task], **options: Any) -> Any:
        features = backbone(pixels, **options)
        return dict.fromkeys(tasks, features)

    return net


@dataclass(frozen=True)
class Architecture:
    """A registered net.

    Attributes:
        net: (pixels (batch, side, side, 3) from 0 to 255, tasks by name, options) → features of each task by its name.
        options: of the variant.
        tasks: what it predicts, and by which method, where nothing else is said.
        needs_landmarks: whether it must know where the five points lie in every crop.
    """

    net: Callable[..., Any]
    options: dict[str, Any]
    tasks: Tasks
    needs_landmarks: bool = False

    def free_options(self) -> list[str]:
        """Names of the options that a config may set."""
        given = {"pixels", "tasks", "landmarks", *self.options}
        return [name for name in inspect.signature(self.net).parameters if name not in given]

    def check_options(self, options: Iterable[str], also_valid: Iterable[str] = ()) -> None:
        """Refuses options that the net does not have.

        Args:
            also_valid: what else may have been meant.

        Raises:
            ModelError: naming the nearest valid one.
        """
        free = self.free_options()
        for name in options:
            if name not in free:
                raise ModelError(f"the net has no option {name!r}; {nearest(name, [*free, *also_valid])}")


def _learned(*tasks: Task, **methods: str) -> Tasks:
    return {task.name: (task, methods.get(task.name)) for task in tasks}


GENDER = CategoricalTask("gender", ("female", "male"))
RACE = CategoricalTask("race", ("Asian", "Caucasian"))

EXPRESSION = CategoricalTask("expression", EXPRESSIONS)

FACES_TASKS = _learned(
    age_task(),
    GENDER,
    CategoricalTask("race", RACES),
    *map(BinaryTask, APPEARANCES),
)
FACE_NET_TASKS = {
    "identity": _learned(IdentityTask("person", 128, 10), person="center"),
    "age": _learned(age_task(), age="mse"),
    "race": _learned(RACE),
}
HMTNET_TASKS = {
    **dict.fromkeys(
        ("hmtnet", "hmtnet_mobile"), _learned(attractiveness_task(), GENDER, RACE, attractiveness="smooth_huber")
    ),
    "all_in_one": _learned(
        attractiveness_task(),
        age_task(),
        GENDER,
        RACE,
        EXPRESSION,
        attributes_task(),
    ),
}

MODELS: dict[str, Architecture] = {
    **{
        f"{size}_{kind}_net": Architecture(shared(thin_vgg), {"width": width}, _learned(task))
        for size, width in THIN_VGG_VARIANTS.items()
        for kind, task in (("att", attractiveness_task()), ("age", age_task()))
    },
    **{name: Architecture(shared(faces_net), options, FACES_TASKS) for name, options in FACES_NET_VARIANTS.items()},
    **{name: Architecture(hmtnet, options, HMTNET_TASKS[name]) for name, options in HMTNET_VARIANTS.items()},
    **{
        name: Architecture(crnet, options, _learned(attractiveness_task(), attractiveness="crnet"))
        for name, options in CRNET_VARIANTS.items()
    },
    **{
        f"{kind}_net{suffix}": Architecture(shared(face_net), options, tasks)
        for suffix, options in FACE_NET_VARIANTS.items()
        for kind, tasks in FACE_NET_TASKS.items()
    },
    **{
        name: Architecture(attribute_net, options, _learned(attributes_task(), attributes="obrl"))
        for name, options in ATTRIBUTE_NET_VARIANTS.items()
    },
    **{
        name: Architecture(tree_cnn, options, _learned(EXPRESSION, age_task(), GENDER, RACE), needs_landmarks=True)
        for name, options in TREE_CNN_VARIANTS.items()
    },
}


def architecture(name: str) -> Architecture:
    """The net called `name`.

    Raises:
        ModelError: there is none; the message lists the valid names.
    """
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}; {nearest(name, MODELS)}")
    return MODELS[name]
