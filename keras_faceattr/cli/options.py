"""Reading the options that several commands share."""

from __future__ import annotations

from pathlib import Path

from keras_faceattr.cli.json_output import print_json as print_json
from keras_faceattr.errors import ConfigError


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
