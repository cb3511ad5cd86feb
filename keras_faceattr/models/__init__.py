"""Nets by name, and the network of a backbone with a head for each task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.thin_vgg import THIN_VGG_VARIANTS, thin_vgg
from keras_faceattr.tasks import Task, age_task, attractiveness_task


@dataclass(frozen=True)
class Architecture:
    """A registered net.

    Attributes:
        backbone: (input tensor in 0–255, variant options) → features (batch, channels).
        options: of the variant.
        default_task: what the net predicts where nothing else is said.
    """

    backbone: Callable[..., Any]
    options: dict[str, Any]
    default_task: Task


MODELS: dict[str, Architecture] = {
    f"{size}_{kind}_net": Architecture(thin_vgg, {"width": width}, task)
    for size, width in THIN_VGG_VARIANTS.items()
    for kind, task in (("att", attractiveness_task()), ("age", age_task()))
}


def architecture(name: str) -> Architecture:
    """The net called `name`.

    Raises:
        ModelError: there is none; the message lists the valid names.
    """
    if name not in MODELS:
        raise ModelError(f"unknown model {name!r}; {nearest(name, MODELS)}")
    return MODELS[name]
