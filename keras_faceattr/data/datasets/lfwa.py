"""LFWA: Labeled Faces in the Wild with CelebA's 40 attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from keras_faceattr.data.datasets.attribute_list import attribute_columns, read_attribute_list
from keras_faceattr.data.datasets.matlab import read_matlab
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.data.vocabulary import attributes_task
from keras_faceattr.errors import DataError

CITATION = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"
LICENCE = "non-commercial research only"
MATLAB_LABELS = "lfw_att_40.mat"
MATLAB_SPLIT = "indices_train_test.mat"
TEXT_LABELS = ("list_attr_lfwa.txt", "list_attr_lfwa.csv")
PHOTOS = ("lfw", "lfw-deepfunneled", "lfw_funneled")


def read(root: Path) -> Manifest:
    """Read the release's `lfw_att_40.mat`, or its labels in CelebA's layout, `list_attr_lfwa.txt`.

    Identity is the person's folder. Gender is the attribute `Male`, kept as a group column besides. The split is
    that of `indices_train_test.mat`, which numbers the rows of `lfw_att_40.mat`; without both there is none.

    Args:
        root: holds the labels and `lfw/<Person>/<Person>_0001.jpg`.

    Raises:
        DataError: the labels are missing or malformed.
    """
    matlab = root / MATLAB_LABELS
    text = next((root / name for name in TEXT_LABELS if (root / name).is_file()), None)
    if matlab.is_file():
        rows = _read_matlab_labels(matlab)
        if (root / MATLAB_SPLIT).is_file():
            rows["split"] = _read_split(root / MATLAB_SPLIT, len(rows))
    elif text is not None:
        rows = read_attribute_list(text)
    else:
        raise DataError(f"lfwa: neither {MATLAB_LABELS} nor {TEXT_LABELS[0]} in {root}; give the release's folder")
    name = rows["name"].str.replace("\\", "/", regex=False)
    bare = ~name.str.contains("/", regex=False)
    name = name.where(~bare, name.str.replace(r"_\d+\.\w+$", "", regex=True) + "/" + name)
    rows["identity"] = name.str.split("/").str[-2]
    folder = next((f"{f}/" for f in PHOTOS if (root / f).is_dir()), "")
    rows["image"] = folder + name
    return build_manifest(Source("lfwa", root, CITATION, LICENCE), rows.drop(columns="name"), [attributes_task()])


def _read_matlab_labels(path: Path) -> pd.DataFrame:
    variables = read_matlab(path, ("AttrName", "label", "name"))
    attributes, names, labels = variables["AttrName"].ravel(), variables["name"].ravel(), variables["label"]
    if labels.shape != (len(names), len(attributes)):
        raise DataError(f"{path}: label is {labels.shape}, not {len(names)} photos × {len(attributes)} attributes")
    rows = attribute_columns(pd.DataFrame(labels, columns=pd.Index(attributes)), path)
    return rows.assign(name=pd.array(names, dtype="string"), row=range(1, len(rows) + 1))


def _read_split(path: Path, count: int) -> np.ndarray:
    """(count,) train, test or missing of each row."""
    parts = {"train": "indices_img_train", "test": "indices_img_test"}
    variables = read_matlab(path, tuple(parts.values()))
    split = np.full(count, None, dtype=object)
    for part, variable in parts.items():
        index = variables[variable].ravel().astype("int64")
        if len(index) and not 1 <= index.min() <= index.max() <= count:
            raise DataError(f"{path}: {variable} reaches from {index.min()} to {index.max()}, not from 1 to {count}")
        split[index - 1] = part
    return split
