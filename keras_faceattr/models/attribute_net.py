"""The fused attribute network: groups of attributes read the joined maps of nets that know identity, age and race."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from keras_faceattr.errors import ModelError
from keras_faceattr.models.layers import conv_block, normalise
from keras_faceattr.tasks import MultilabelTask, Task

Tensor = Any

Convolutions = tuple[tuple[int, int, int, bool], ...]
"""Channels, kernel, stride, and whether a pooling by two follows, of each."""

FACE_NETS: dict[str, Convolutions] = {
    "paper": (
        (96, 7, 2, True),
        (256, 5, 1, True),
        (384, 3, 1, False),
        (384, 3, 1, False),
        (256, 3, 1, True),
    ),
    "mobile": ((24, 5, 2, True), (64, 3, 1, True), (96, 3, 1, False), (96, 3, 1, False), (64, 3, 1, True)),
}
"""AlexNet's plan (11×11 with stride 4, 5×5, three times 3×3) with less stride and a smaller first kernel, and the same
at a quarter of its channels."""

FACE_NET_VARIANTS: dict[str, dict[str, Any]] = {"": {"size": "paper"}, "_mobile": {"size": "mobile"}}

ATTRIBUTE_NET_VARIANTS: dict[str, dict[str, Any]] = {
    "attribute_net": {"size": "paper", "group_channels": 128, "group_units": 512},
    "attribute_net_mobile": {"size": "mobile", "group_channels": 32, "group_units": 32},
}
"""The paper's size, and one of 1.2 M parameters: channels and dense units of a group."""


def face_map(x: Tensor, size: str, prefix: str = "") -> Tensor:
    """The convolutions of IdentityNet, AgeNet, RaceNet.

    Args:
        x: (batch, side, side, 3) normalised pixels.
        size: key of `FACE_NETS`.
        prefix: prefix of the layers' names.

    Returns:
        (batch, side / 16, side / 16, channels).
    """
    for number, (channels, kernel, stride, pooled) in enumerate(FACE_NETS[size], start=1):
        x = conv_block(x, channels, f"{prefix}conv{number}", kernel, stride)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"{prefix}conv{number}_pool")(x)
    return x


def face_net(pixels: Tensor, size: str) -> Tensor:
    """IdentityNet, AgeNet or RaceNet, which differ in what they are taught.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255; side at least 32.
        size: key of `FACE_NETS`.

    Returns:
        (batch, channels) features: the average of the last map, where AlexNet has dense layers.

    Raises:
        ModelError: a side that is too small.

    Source: OBRL, section II.A.
    """
    _check_side(pixels)
    return layers.GlobalAveragePooling2D(name="features")(face_map(normalise(pixels), size))


def attribute_net(
    pixels: Tensor,
    tasks: dict[str, Task],
    size: str,
    group_channels: int,
    group_units: int,
    nets: Sequence[str] = ("identity", "age", "race"),
) -> dict[str, dict[str, Tensor]]:
    """Features of each group of attributes: a convolution and a dense layer of its own on the nets' joined maps.

    The second dense layer of a group is the one that gives its raw outputs.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255; side at least 32.
        tasks: by name; each of attributes, every one of them in exactly one group.
        size: key of `FACE_NETS`.
        group_channels: channels of the convolution.
        group_units: units of the dense layer.
        nets: names of the nets that are joined along channels, before which their layers' names stand:
            `model.init_from={identity: RUN, …}` starts them from runs of their own. One of any other name stands for
            Net₀, which in the paper was taught to tell faces from photos without one, and here only what its start
            knows.

    Raises:
        ModelError: a task of another kind, an attribute in no group or in two, no net, or a side that is too small.

    Source: OBRL, figure 1, table I, section II.B.
    """
    _check_side(pixels)
    named = isinstance(nets, list | tuple) and all(isinstance(net, str) and net.isidentifier() for net in nets)
    if not named or not nets or len(set(nets)) < len(nets):
        raise ModelError(
            f"model.nets: needs a list of one or more different names of letters, digits and _, not {nets!r}"
        )
    for task in tasks.values():
        _check_groups(task)
    x = normalise(pixels)
    maps = [face_map(x, size, f"{name}_") for name in nets]
    fused = layers.Concatenate(name="fused")(maps) if len(maps) > 1 else maps[0]

    def group(name: str) -> Tensor:
        y = conv_block(fused, group_channels, name)
        y = layers.GlobalAveragePooling2D(name=f"{name}_features")(y)
        y = layers.Dense(group_units, kernel_initializer="he_normal", name=f"{name}_dense")(y)
        return layers.ReLU(name=f"{name}_dense_relu")(y)

    return {
        name: {part: group(f"{name}_{part}") for part in task.groups}  # type: ignore[union-attr]
        for name, task in tasks.items()
    }


def _check_side(pixels: Tensor) -> None:
    if pixels.shape[1] < 32:
        raise ModelError(f"four halvings need an input side of at least 32 pixels, not {pixels.shape[1]}")


def _check_groups(task: Task) -> None:
    if not isinstance(task, MultilabelTask):
        raise ModelError(f"attribute_net learns attributes; task {task.name!r} is {task.kind}: leave it out")
    grouped = [attribute for names in task.groups.values() for attribute in names]
    missing = [name for name in task.attributes if name not in grouped]
    twice = sorted({name for name in grouped if grouped.count(name) > 1})
    for names, what in ((missing, "in no group"), (twice, "in two groups")):
        if names:
            raise ModelError(f"tasks.{task.name}.groups: {', '.join(names)} is {what}; each attribute needs one group")
