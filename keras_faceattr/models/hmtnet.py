"""HMTNet: one trunk, maps of several depths aggregated, and a branch for each task where its difficulty asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from keras import layers

from keras_faceattr.errors import ModelError, nearest
from keras_faceattr.models.layers import conv_block, normalise
from keras_faceattr.models.thin_vgg import thin_vgg_maps
from keras_faceattr.tasks import Task

Tensor = Any

Convolutions = tuple[tuple[int, int], ...]
"""Channels and kernel of each."""

AGGREGATE = "aggregate"
"""The branch point behind the feature aggregator."""

AGGREGATORS = ("average", "concat", "none")

VGG_M: tuple[tuple[int, int, int, bool], ...] = (
    (96, 7, 2, True),
    (256, 5, 2, True),
    (512, 3, 1, False),
    (512, 3, 1, False),
    (512, 3, 1, False),
)
"""VGG-M's convolutions: channels, kernel, stride, and whether a pooling by two follows."""


def vgg_m_maps(x: Tensor) -> dict[str, Tensor]:
    """The maps `conv1` to `conv5` of VGG-M with batch norm, padded so that every stride halves the side.

    Args:
        x: (batch, side, side, 3) normalised pixels; side at least 32.

    Raises:
        ModelError: a side that is too small.

    Source: HMTNet, figure 1; the plan is that of its published code, which does not pad.
    """
    if x.shape[1] < 32:
        raise ModelError(f"hmtnet: the trunk needs an input side of at least 32 pixels, not {x.shape[1]}")
    maps = {}
    for number, (channels, kernel, stride, pooled) in enumerate(VGG_M, start=1):
        maps[f"conv{number}"] = x = conv_block(x, channels, f"conv{number}", kernel, stride)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"conv{number}_pool")(x)
    return maps


TRUNKS: dict[str, Callable[[Tensor], dict[str, Tensor]]] = {
    "vgg_m": vgg_m_maps,
    "thin_vgg": partial(thin_vgg_maps, width=0.25),
}

HMTNET_VARIANTS: dict[str, dict[str, Any]] = {
    "hmtnet": {
        "trunk": "vgg_m",
        "lowest": "conv3",
        "depths": ("conv3", "conv4", "conv5"),
        "branch": ((256, 3), (128, 3)),
        "top": ((4096, 6), (4096, 1)),
    },
    "hmtnet_mobile": {
        "trunk": "thin_vgg",
        "lowest": "block3",
        "depths": ("block3", "block4", "block5"),
        "branch": ((48, 3), (32, 3)),
        "top": ((128, 3),),
    },
    "all_in_one": {
        "trunk": "thin_vgg",
        "lowest": "block4",
        "depths": ("block3", "block4", "block5"),
        "branch": ((64, 3),),
        "top": ((64, 3),),
    },
}
"""The paper's size, one of 1.2 M parameters on TinyAttNet's trunk, and one with lighter branches for many tasks.

`lowest` is where the easiest task leaves, `depths` what is aggregated, `branch` the convolutions of a branch (channels,
kernel), and `top` those of the hardest task's, in the paper's size its two dense layers as convolutions.
"""

EASIEST, HARDEST = "gender", "attractiveness"
"""The tasks that leave lowest, and that have the longest branch; all others leave behind the aggregator."""


def hmtnet(
    pixels: Tensor,
    tasks: dict[str, Task],
    trunk: str,
    lowest: str,
    depths: tuple[str, ...],
    branch: Convolutions,
    top: Convolutions,
    aggregator: str = "average",
    maps: list[str] | None = None,
    branches: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """Features of each task, from a branch that leaves the trunk where `branches` says.

    Args:
        pixels: (batch, side, side, 3) RGB from 0 to 255.
        tasks: by name.
        aggregator: `average` (eq. 1) or `concat` (eq. 2) of maps of one shape, or `none`: the last map alone.
        maps: which maps are aggregated; None for the variant's.
        branches: task → a map's name, or `aggregate`. The usual: gender from the variant's lowest branch point, all
            others behind the aggregator.

    Returns:
        (batch, channels) features by task.

    Raises:
        ModelError: unknown aggregator, map, task or branch point, or maps whose sides do not divide each other.

    Source: HMTNet, figure 1, eq. 1 and 2.
    """
    if aggregator not in AGGREGATORS:
        raise ModelError(f"unknown aggregator {aggregator!r}; {nearest(aggregator, AGGREGATORS)}")
    branches = branches or {}
    if not isinstance(branches, Mapping) or not all(isinstance(point, str) for point in branches.values()):
        raise ModelError(f"model.branches: write {{task: branch point}}, not {branches!r}")
    if maps is not None and not (isinstance(maps, list) and maps and all(isinstance(name, str) for name in maps)):
        raise ModelError(f"model.maps: write a list of one map or more, not {maps!r}")
    points = TRUNKS[trunk](normalise(pixels))
    chosen = list(maps or depths)
    for name in chosen:
        if name not in points:
            raise ModelError(f"model.maps: the trunk has no map {name!r}; {nearest(name, points)}")
    points[AGGREGATE] = aggregate({name: points[name] for name in chosen}, aggregator)
    for name, point in branches.items():
        if name not in tasks:
            raise ModelError(f"model.branches: there is no task {name!r}; {nearest(name, tasks)}")
        if point not in points:
            raise ModelError(f"model.branches.{name}: there is no branch point {point!r}; {nearest(point, points)}")
    leaves = {name: lowest if name == EASIEST else AGGREGATE for name in tasks} | dict(branches)
    return {name: _branch(points[leaves[name]], top if name == HARDEST else branch, name) for name in tasks}


def aggregate(maps: dict[str, Tensor], how: str) -> Tensor:
    """Join maps of several depths.

    Args:
        maps: (batch, side, side, channels) by name, the deepest last. Each is brought to the shape of the last: pooled
            by the maximum, and its channels changed by a 1×1 convolution.
        how: `average`, `concat`, or `none` for the last alone.

    Raises:
        ModelError: the side of a map is no multiple of the last one's.
    """
    deepest = list(maps.values())[-1]
    if how == "none" or len(maps) == 1:
        return deepest
    side, channels = deepest.shape[1], deepest.shape[-1]
    if any(x.shape[1] % side for x in maps.values()):
        shapes = ", ".join(f"{name} {tuple(x.shape[1:])}" for name, x in maps.items())
        raise ModelError(
            f"these maps cannot be aggregated: {shapes}; each side must be a multiple of the last: "
            "set data.crop.size to a multiple of 32, or choose other model.maps"
        )
    shaped = []
    for name, x in maps.items():
        if x.shape[1] > side:
            x = layers.MaxPooling2D(x.shape[1] // side, name=f"aggregate_{name}_pool")(x)
        shaped.append(conv_block(x, channels, f"aggregate_{name}", kernel=1))
    if how == "concat":
        return layers.Concatenate(name="aggregate_concat")(shaped)
    return layers.Average(name="aggregate_average")(shaped)


def _branch(x: Tensor, convolutions: Convolutions, task: str) -> Tensor:
    if x.shape[1] > 1:
        x = layers.MaxPooling2D(2, name=f"{task}_pool")(x)
    for number, (channels, kernel) in enumerate(convolutions, start=1):
        # A large kernel stands for a dense layer, which pads nothing.
        padding = "same" if kernel <= 3 else "valid"
        x = conv_block(x, channels, f"{task}_branch{number}", min(kernel, x.shape[1]), padding=padding)
    return layers.GlobalAveragePooling2D(name=f"{task}_features")(x)
