"""Configurations as a caller names them, and settings given in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import experiment_kind, load_experiment
from keras_faceattr.errors import ConfigError
from keras_faceattr.run import PHOTOS

DEFAULT_CONFIG = "quickstart"

Paths = Mapping[str, str | Path]
"""Where data lies, by the name of a source or reader."""

Settings = Mapping[str, Any] | Iterable[str]
"""Changes of a configuration: `{"training.epochs": 5}`, or texts `training.epochs=5`."""


def read_experiment(
    config: str | None, data: Mapping[str, str] | None = None, overrides: list[str] | None = None
) -> Experiment:
    """Read the experiment of a config; the drawn faces of `quickstart` without one.

    Args:
        config: name of a shipped config, or path of a YAML file.
        data: where the data lies, by source or reader.
        overrides: `key.key=value`.

    Raises:
        ConfigError: no such config, or one that is not about training a net on photos.
    """
    name = DEFAULT_CONFIG if config is None else config
    check_photos(name)
    return load_experiment(name, overrides, dict(data or {}))


def check_photos(config: str) -> None:
    """Refuse a config that is about something else than training a net on photos.

    Raises:
        ConfigError: with its kind.
    """
    kind = experiment_kind(config)
    if kind != PHOTOS:
        raise ConfigError(f"{config} is a config of kind {kind!r}: this command reads those that train a net on photos")


def as_paths(data: Paths | None) -> dict[str, str]:
    """Paths of data as text, with `~` expanded."""
    return {name: str(Path(path).expanduser()) for name, path in (data or {}).items()}


def as_overrides(settings: Settings | None) -> list[str]:
    """Settings as the texts `key.key=value`.

    Raises:
        ConfigError: a value that YAML cannot hold.
    """
    if isinstance(settings, str):
        return [settings]
    if not isinstance(settings, Mapping):
        return [str(text) for text in settings or ()]
    return [f"{key}={_as_yaml(key, value)}" for key, value in settings.items()]


def _as_yaml(key: str, value: Any) -> str:
    """A value on one line, as `--set` reads it."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    value = str(value) if isinstance(value, Path) else value
    try:
        text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    except yaml.YAMLError:
        raise ConfigError(
            f"set {key!r}: {type(value).__name__} is no value of a config; give numbers, text, lists or dictionaries"
        ) from None
    return str(text).removesuffix("...\n").strip()
