"""CRNet: one backbone, a branch that regresses a value and a branch that classifies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.resnet import resnet18
from keras_faceattr.models.thin_vgg import thin_vgg
from keras_faceattr.tasks import ScalarTask, Task

Tensor = Any

BACKBONES: dict[str, Callable[..., Tensor]] = {"resnet18": resnet18, "thin_vgg": thin_vgg}

CRNET_VARIANTS: dict[str, dict[str, Any]] = {
    "crnet": {"backbone": "resnet18", "width": 1.0, "units": (256, 64)},
    "crnet_mobile": {"backbone": "resnet18", "width": 0.25, "units": (64, 32)},
    "crnet_thin_vgg": {"backbone": "thin_vgg", "width": 0.25, "units": (64, 32)},
}
"""The paper's size, a quarter of its width, and a thin VGG instead: share of the channels, dense layers of a branch."""


def crnet(
    pixels: Tensor,
    tasks: dict[str, Task],
    backbone: str,
    width: float,
    units: tuple[int, ...],
    branch_dropout: float = 0.5,
) -> dict[str, dict[str, Tensor] | Tensor]:
    """Features of a value and of its class, for each scalar task; other tasks read the backbone's features.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255.
        tasks: by name; scalar ones are learned by the method `crnet`.
        branch_dropout: share dropped behind each dense layer of a branch, in training; the published code has 0.5.

    Raises:
        ModelError: unknown backbone.

    Source: CRNet; the branches' widths are those of its published code.
    """
    if not isinstance(branch_dropout, int | float) or not 0 <= branch_dropout < 1:
        raise ModelError(f"model.branch_dropout: a share from 0 to below 1, not {branch_dropout!r}")
    if backbone not in BACKBONES:
        raise ModelError(f"unknown backbone {backbone!r}; {nearest(backbone, BACKBONES)}")
    features = BACKBONES[backbone](pixels, width=width)

    def branch(name: str) -> Tensor:
        x = features
        for number, count in enumerate(units, start=1):
            x = layers.Dense(count, kernel_initializer="he_normal", name=f"{name}_dense{number}")(x)
            x = layers.ReLU(name=f"{name}_relu{number}")(x)
            x = layers.Dropout(branch_dropout, name=f"{name}_dropout{number}")(x) if branch_dropout else x
        return x

    return {
        name: {part: branch(f"{name}_{part}") for part in ("value", "classes")}
        if isinstance(task, ScalarTask)
        else features
        for name, task in tasks.items()
    }
