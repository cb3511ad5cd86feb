"""CelebA: 202,599 photos of celebrities with 40 attributes, identity and the official partition."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_faceattr.data.datasets.attribute_list import read_attribute_list
from keras_faceattr.data.datasets.label_tables import read_lines, read_table
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.vocabulary import attributes_task
from keras_faceattr.errors import DataError

CITATION = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"
LICENCE = "non-commercial research only"
SPLITS = {"0": "train", "1": "val", "2": "test"}
FOLDERS = ("", "Anno", "Eval")
PHOTOS = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba", "Img")


def read(root: Path) -> Manifest:
    """Read the aligned and cropped photos of the official release.

    Gender is the attribute `Male`, kept as a group column besides.

    Args:
        root: holds `list_attr_celeba.txt` and, optionally, `identity_CelebA.txt` and `list_eval_partition.txt` (also
            in `Anno/` and `Eval/`; also as csv), and the photos in `img_align_celeba/` (also in `Img/`).

    Raises:
        DataError: the attributes or the folder of photos is missing, or a file is malformed.
    """
    labels = _find(root, "list_attr_celeba")
    if labels is None:
        raise DataError(f"celeba: no list_attr_celeba.txt in {root} or its Anno/; give the release's folder")
    rows = read_attribute_list(labels)
    for column, stem in (("identity", "identity_CelebA"), ("split", "list_eval_partition")):
        path = _find(root, stem)
        if path is not None:
            rows[column] = rows["name"].map(_read_pairs(path))
    if "split" in rows:
        rows["split"] = rows["split"].map(SPLITS).fillna(rows["split"])
    rows["image"] = _photo_folder(root) + "/" + rows["name"]
    return build_manifest(Source("celeba", root, CITATION, LICENCE), rows.drop(columns="name"), [attributes_task()])


def _find(root: Path, stem: str) -> Path | None:
    candidates = [root / folder / f"{stem}{suffix}" for suffix in (".txt", ".csv") for folder in FOLDERS]
    return next((path for path in candidates if path.is_file()), None)


def _photo_folder(root: Path) -> str:
    for folder in PHOTOS:
        if any((root / folder).glob("*.jpg")) or any((root / folder).glob("*.png")):
            return folder
    raise DataError(f"celeba: no photos in {root / PHOTOS[1]}; unpack img_align_celeba.zip there")


def _read_pairs(path: Path) -> pd.Series:
    """A photo's name and one value a line, as text, by name."""
    pairs = read_table(path) if path.suffix.lower() == ".csv" else read_lines(path, ("photo", "value"))
    pairs.columns = pd.Index(["name", "value", *pairs.columns[2:]])
    twice = pairs.loc[pairs["name"].duplicated(), "name"]
    if len(twice):
        raise DataError(f"{path}: {twice.iloc[0]!r} stands there twice; remove one of the lines")
    return pairs.set_index("name")["value"]
