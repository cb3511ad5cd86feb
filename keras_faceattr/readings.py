"""Readings of a task with classes: its classes in fewer groups, such as those that another data set knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from keras_faceattr.errors import ConfigError, nearest, shown

Readings = dict[str, dict[str, tuple[str, ...]]]
"""By reading and group, the classes of the group."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def checked_readings(
    task: str, classes: Sequence[str], readings: Mapping[str, Mapping[str, Sequence[str]]]
) -> Readings:
    """Readings as plain tuples, once every class is in exactly one group of each.

    Raises:
        ConfigError: a name that is none, fewer than two groups, an unknown class, or one in no group or in several.
    """
    found: Readings = {}
    for reading, groups in readings.items():
        where = f"task {task!r}: reading {shown(reading)}"
        if not NAME.fullmatch(str(reading)):
            raise ConfigError(f"{where}: its name is made of up to 64 letters, digits and _, and begins with a letter")
        own = {str(group): tuple(map(str, names)) for group, names in groups.items()}
        if len(own) < 2:
            raise ConfigError(f"{where}: needs two or more groups, not {list(own)}")
        if not all(group.strip() for group in own):
            raise ConfigError(f"{where}: a group has an empty name in {list(own)}")
        places: dict[str, str] = {}
        for group, names in own.items():
            if not names:
                raise ConfigError(f"{where}: group {shown(group)} has no class; name one, or leave the group out")
            for name in names:
                if name not in classes:
                    raise ConfigError(f"{where}: group {shown(group)} names {shown(name)}; {nearest(name, classes)}")
                if name in places:
                    raise ConfigError(
                        f"{where}: {shown(name)} stands in {shown(places[name])} and in {shown(group)}; leave one out"
                    )
                places[name] = group
        missing = [name for name in classes if name not in places]
        if missing:
            raise ConfigError(f"{where}: in no group: {', '.join(missing)}; put each class into one")
        found[str(reading)] = own
    return found


def group_numbers(classes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> np.ndarray:
    """(classes,) number of the group that each class is in."""
    numbers = {name: number for number, names in enumerate(groups.values()) for name in names}
    return np.array([numbers[name] for name in classes])


def summed(classes: Sequence[str], groups: Mapping[str, Sequence[str]], probabilities: np.ndarray) -> np.ndarray:
    """(n, groups) probability of each group: the sum of those of its classes.

    Args:
        probabilities: (n, classes).
    """
    own = group_numbers(classes, groups)[:, None] == np.arange(len(groups))
    return np.asarray(probabilities @ own.astype(probabilities.dtype))
