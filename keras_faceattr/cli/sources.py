"""What a user names as data: a config, a reader with its path, a CSV, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from keras_faceattr.cli.options import data_paths
from keras_faceattr.config import Experiment
from keras_faceattr.data.aligned import CROP_FILE
from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.data.datasets.tables import read_table
from keras_faceattr.data.manifest import Manifest, Source, build_manifest, list_photos
from keras_faceattr.data.prepare import read_sources, source_path
from keras_faceattr.errors import ConfigError
from keras_faceattr.recipes import load_experiment


@dataclass(frozen=True)
class Named:
    """What was found under a name.

    Attributes:
        manifest: the photos, before any split.
        experiment: of a config.
        table: of a CSV: all its columns, row by row as the manifest.
    """

    manifest: Manifest
    experiment: Experiment | None = None
    table: pd.DataFrame | None = None


def read_named(source: str, data: list[str], overrides: list[str], plain_folder: bool = False) -> Named:
    """Reads what a user names.

    Args:
        data: `READER=PATH` for the sources of a config.
        overrides: `KEY=VALUE` for a config.
        plain_folder: whether a folder of photos without labels will do.

    Raises:
        ConfigError: no such config, or a folder of an unknown layout.
        DataError: the data cannot be used.
    """
    reader, equals, _ = source.partition("=")
    folder = Path(source)
    if equals and "/" not in reader:
        ((reader, path),) = data_paths([source]).items()
        return Named(read_dataset(reader, Path(path), {}, []))
    if source in READERS:
        return Named(read_dataset(source, source_path(source, None), {}, []))
    if source.endswith(".csv") or (folder.is_dir() and _described(folder)):
        manifest = read_dataset("csv_file", folder, {}, [])
        return Named(manifest, table=_columns_of(folder, manifest))
    if folder.is_dir() and plain_folder:
        rows = pd.DataFrame({"image": pd.array(list_photos(folder), dtype="string")})
        return Named(build_manifest(Source("photos", folder), rows, []))
    if folder.is_dir():
        raise ConfigError(f"which data set is {source}? write READER={source}, with one of {', '.join(READERS)}")
    experiment = load_experiment(source, overrides, data_paths(data))
    return Named(read_sources(experiment), experiment)


def _described(folder: Path) -> bool:
    return (folder / CROP_FILE).is_file() or any(folder.glob("*.csv"))


def _columns_of(path: Path, manifest: Manifest) -> pd.DataFrame | None:
    """What else stands in a CSV of one's own, for the manifest's rows."""
    if path.is_dir():
        if (path / CROP_FILE).is_file():
            return None
        (path,) = path.glob("*.csv")
    table = read_table(path).set_index("row")
    return table.loc[manifest.rows["row"], [c for c in table if c not in manifest.rows]].reset_index(drop=True)
