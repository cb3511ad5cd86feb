"""Nets by name: each a function from pixels to what every task's head reads, and one that builds a `keras.Model`.

`MODELS` is the table. The functions at the end are for whoever trains a net by `compile` and `fit`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras

from keras_faceattr.data.vocabulary import APPEARANCES, EXPRESSIONS, RACES, attributes_task
from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.attribute_net import ATTRIBUTE_NET_VARIANTS, FACE_NET_VARIANTS, face_net
from keras_faceattr.models.attribute_net import attribute_net as attribute_net_features
from keras_faceattr.models.backbone import APPLICATIONS, given_backbone, is_backbone, named_backbone
from keras_faceattr.models.crnet import CRNET_VARIANTS
from keras_faceattr.models.crnet import crnet as crnet_features
from keras_faceattr.models.faces_net import FACES_NET_VARIANTS
from keras_faceattr.models.faces_net import faces_net as faces_net_features
from keras_faceattr.models.hmtnet import HMTNET_VARIANTS
from keras_faceattr.models.hmtnet import hmtnet as hmtnet_features
from keras_faceattr.models.named import decoded, net_function
from keras_faceattr.models.resnet import resnet18 as resnet18_features
from keras_faceattr.models.thin_vgg import THIN_VGG_VARIANTS, thin_vgg
from keras_faceattr.models.tree_cnn import TREE_CNN_VARIANTS
from keras_faceattr.models.tree_cnn import tree_cnn as tree_cnn_features
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
        options: options of the variant.
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
        """Refuse options that the net does not have.

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
    **{
        name: Architecture(shared(faces_net_features), options, FACES_TASKS)
        for name, options in FACES_NET_VARIANTS.items()
    },
    **{name: Architecture(hmtnet_features, options, HMTNET_TASKS[name]) for name, options in HMTNET_VARIANTS.items()},
    **{
        name: Architecture(crnet_features, options, _learned(attractiveness_task(), attractiveness="crnet"))
        for name, options in CRNET_VARIANTS.items()
    },
    "resnet18": Architecture(shared(resnet18_features), {"width": 1.0}, _learned(attractiveness_task())),
    **{
        f"{kind}_net{suffix}": Architecture(shared(face_net), options, tasks)
        for suffix, options in FACE_NET_VARIANTS.items()
        for kind, tasks in FACE_NET_TASKS.items()
    },
    **{
        name: Architecture(attribute_net_features, options, _learned(attributes_task(), attributes="obrl"))
        for name, options in ATTRIBUTE_NET_VARIANTS.items()
    },
    **{
        name: Architecture(
            tree_cnn_features, options, _learned(EXPRESSION, age_task(), GENDER, RACE), needs_landmarks=True
        )
        for name, options in TREE_CNN_VARIANTS.items()
    },
}


def architecture(name: str) -> Architecture:
    """The net called `name`: a registered one, `keras.applications.NAME`, or `module:function`, whose code is run.

    Raises:
        ModelError: there is none; the message lists the valid names.
    """
    if name in MODELS:
        return MODELS[name]
    if is_backbone(name):
        return Architecture(shared(named_backbone(name)), {}, _learned(attractiveness_task()))
    # Its modules, such as `resnet`, are no nets.
    if callable(getattr(keras.applications, name, None)):
        raise ModelError(f"unknown model {name!r}; did you mean {APPLICATIONS}{name}?")
    raise ModelError(
        f"unknown model {name!r}; {nearest(name, MODELS)}; or {APPLICATIONS}NAME, or module:function of your own"
    )


def architecture_of(model: keras.Model) -> Architecture:
    """A model of the caller's as a net: its last feature map, by a copy of its layers and weights."""
    return Architecture(shared(given_backbone(model)), {}, _learned(attractiveness_task()))


attribute_net = net_function("attribute_net", "The fused attribute network at the paper's size. Source: OBRL.")
attribute_net_mobile = net_function("attribute_net_mobile", "The fused attribute network with 1.2 M parameters.")
identity_net = net_function("identity_net", "IdentityNet, which tells people apart. Source: OBRL, section II.A.")
identity_net_mobile = net_function("identity_net_mobile", "IdentityNet at a quarter of its channels.")
age_net = net_function("age_net", "AgeNet, which regresses the age. Source: OBRL, section II.A.")
age_net_mobile = net_function("age_net_mobile", "AgeNet at a quarter of its channels.")
race_net = net_function("race_net", "RaceNet. Source: OBRL, section II.A.")
race_net_mobile = net_function("race_net_mobile", "RaceNet at a quarter of its channels.")
crnet = net_function("crnet", "CRNet on ResNet-18, for the loss `CRNetLoss`. Source: CRNet (Xu et al.).")
crnet_mobile = net_function("crnet_mobile", "CRNet at a quarter of its width.")
crnet_thin_vgg = net_function("crnet_thin_vgg", "CRNet on a thin VGG.")
faces_net = net_function("faces_net", "A net for many questions about a face: TinyAttNet's blocks, 384 channels.")
faces_net_half = net_function("faces_net_half", "FacesNet with twice the channels.")
hmtnet = net_function("hmtnet", "HMTNet at the paper's size: attractiveness, gender, race. Source: HMTNet (Xu et al.).")
hmtnet_mobile = net_function("hmtnet_mobile", "HMTNet on TinyAttNet's trunk, with 1.2 M parameters.")
all_in_one = net_function("all_in_one", "HMTNet's plan with light branches, for six tasks.")
resnet18 = net_function("resnet18", "ResNet-18. Source: He et al., Deep residual learning, table 1.")
tree_cnn = net_function("tree_cnn", "TreeCNN: nets for the face and its parts, which vote on the expression.")
tree_cnn_mobile = net_function("tree_cnn_mobile", "TreeCNN with 1.0 M parameters.")
tiny_att_net = net_function("tiny_att_net", "TinyAttNet: VGG-16 at a quarter of its channels. Source: DLDL-v2, 3.4.")
tiny_age_net = net_function("tiny_age_net", "TinyAgeNet: `tiny_att_net` for ages from 0 to 100 years.")
thin_att_net = net_function("thin_att_net", "ThinAttNet: VGG-16 at half of its channels. Source: DLDL-v2, 3.4.")
thin_age_net = net_function("thin_age_net", "ThinAgeNet: `thin_att_net` for ages from 0 to 100 years.")
full_att_net = net_function("full_att_net", "`tiny_att_net` with all channels of VGG-16.")
full_age_net = net_function("full_age_net", "`tiny_age_net` with all channels of VGG-16.")

__all__ = [
    "MODELS",
    "Architecture",
    "age_net",
    "age_net_mobile",
    "all_in_one",
    "architecture",
    "architecture_of",
    "attribute_net",
    "attribute_net_mobile",
    "crnet",
    "crnet_mobile",
    "crnet_thin_vgg",
    "decoded",
    "faces_net",
    "faces_net_half",
    "full_age_net",
    "full_att_net",
    "hmtnet",
    "hmtnet_mobile",
    "identity_net",
    "identity_net_mobile",
    "race_net",
    "race_net_mobile",
    "resnet18",
    "thin_age_net",
    "thin_att_net",
    "tiny_age_net",
    "tiny_att_net",
    "tree_cnn",
    "tree_cnn_mobile",
]
