"""Data as a user names it: a config, a reader with its path, a CSV, or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from keras_faceattr.api.configs import check_photos
from keras_faceattr.config import Experiment
from keras_faceattr.config_files import config_names, load_experiment
from keras_faceattr.data.aligned_folder import CROP_FILE
from keras_faceattr.data.datasets import READERS, read_dataset
from keras_faceattr.data.datasets.csv_file import only_csv
from keras_faceattr.data.datasets.label_tables import find_csv, read_table
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.photo_folders import find_photos
from keras_faceattr.data.prepare import read_sources, source_path
from keras_faceattr.errors import ConfigError

CSV_READER = "csv_file"


@dataclass(frozen=True)
class Named:
    """Data that was found under a name.

    Attributes:
        manifest: the photos, before any split.
        experiment: of a config.
        table: of a CSV: all its columns, row by row as the manifest.
    """

    manifest: Manifest
    experiment: Experiment | None = None
    table: pd.DataFrame | None = None

    def inputs(self, source: str) -> list[Path]:
        """Files and folders that were read under the name `source`."""
        roots = [found.root for found in self.manifest.sources.values()]
        return [Path(source), Path(source.partition("=")[2] or source).expanduser(), *roots]


def read_named(
    source: str,
    data: Mapping[str, str],
    overrides: list[str],
    plain_folder: bool = False,
    photo_root: Path | None = None,
) -> Named:
    """Reads what a user names.

    Args:
        data: where the sources of a config lie.
        overrides: `KEY=VALUE` for a config.
        plain_folder: whether a folder of photos without labels will do.
        photo_root: below which the photos of a CSV lie; None for the CSV's folder.

    Raises:
        ConfigError: no such config, a folder of an unknown layout, or a `photo_root` of something else than a CSV.
        DataError: the data cannot be used.
    """
    if not source:
        # Of a path, nothing would be the working folder.
        raise ConfigError("the data has an empty name: give a config, READER=PATH, a CSV or a folder")
    reader, equals, _ = source.partition("=")
    config = Path(source).suffix in (".yaml", ".yml") or source in config_names()
    if data and not config:
        raise ConfigError(f"--data says where the sources of a config lie; {source} is none")
    folder, by_reader = Path(source), bool(equals) and "/" not in reader
    if by_reader:
        reader, _, path = source.partition("=")
        if not reader or not path:
            raise ConfigError(f"{source!r}: write READER=PATH, such as scut_fbp5500=/data/SCUT-FBP5500")
        folder, is_csv = Path(path).expanduser(), reader == CSV_READER
    else:
        is_csv = source not in READERS and (folder.suffix.lower() == ".csv" or (folder.is_dir() and _described(folder)))
    if is_csv:
        return _with_table(folder, photo_root)
    if photo_root:
        raise ConfigError(f"--photo-root says where the photos of a CSV lie; {source} is none")
    if by_reader:
        return Named(read_dataset(reader, folder, {}))
    if source in READERS:
        return Named(read_dataset(source, source_path(source, None), {}))
    if folder.is_dir() and plain_folder:
        found = find_photos(folder)
        rows = pd.DataFrame({"image": pd.array(found.photos, dtype="string")})
        return Named(build_manifest(Source("photos", folder), rows, [], found.skipped))
    if folder.is_dir():
        raise ConfigError(f"which data set is {source}? write READER={source}, with one of {', '.join(READERS)}")
    check_photos(source)
    experiment = load_experiment(source, overrides, dict(data))
    return Named(read_sources(experiment), experiment)


def _described(folder: Path) -> bool:
    return (folder / CROP_FILE).is_file() or bool(find_csv(folder))


def _with_table(path: Path, photo_root: Path | None) -> Named:
    """A CSV, and what else stands in it for the manifest's rows."""
    options = {"photo_root": str(photo_root.expanduser().absolute())} if photo_root else {}
    manifest = read_dataset(CSV_READER, path, options)
    if path.is_dir():
        if (path / CROP_FILE).is_file():
            return Named(manifest)
        path = only_csv(path)
    table = read_table(path).set_index("row")
    more = table.loc[manifest.rows["row"], [c for c in table if c not in manifest.rows]].reset_index(drop=True)
    return Named(manifest, table=more)
