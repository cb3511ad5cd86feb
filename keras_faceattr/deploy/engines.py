"""What makes a model integer: our own engine, the converter's calibration, or TFMOT."""

from __future__ import annotations

from collections.abc import Callable

from keras_faceattr.deploy.native import Integer, make_integer
from keras_faceattr.deploy.recipe import ExportRecipe
from keras_faceattr.errors import ConfigError, nearest

ENGINES: dict[str, Callable[..., Integer]] = {"native": make_integer}


def engine(name: str, recipes: list[ExportRecipe]) -> Callable[..., Integer]:
    """The engine of a name.

    Raises:
        ConfigError: unknown, or it cannot make one of the recipes.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown --engine {name!r}; {nearest(name, ENGINES)}")
    return ENGINES[name]
