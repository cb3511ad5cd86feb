"""Reading the options that several commands share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_faceattr.config import Experiment
from keras_faceattr.errors import ConfigError
from keras_faceattr.recipes import load_experiment
from keras_faceattr.storage import jsonable

DEFAULT_CONFIG = "quickstart"


def read_experiment(config: str | None, data: list[str], overrides: list[str]) -> Experiment:
    """The experiment of a config name or path, `--data` and `--set`; the embedded faces without a config."""
    return load_experiment(config or DEFAULT_CONFIG, overrides, data_paths(data))


def data_paths(data: list[str]) -> dict[str, str]:
    """`--data READER=PATH` as a mapping.

    Raises:
        ConfigError: an entry without `=`.
    """
    paths = {}
    for entry in data:
        reader, equals, path = entry.partition("=")
        if not equals or not reader or not path:
            raise ConfigError(f"--data {entry!r}: write READER=PATH, such as scut_fbp5500=/data/SCUT-FBP5500")
        paths[reader] = str(Path(path).expanduser())
    return paths


def print_json(value: Any) -> None:
    """Prints JSON for machines; what is not a number becomes null."""
    print(json.dumps(jsonable(value), indent=2, ensure_ascii=False))
