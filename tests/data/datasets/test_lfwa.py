"""LFWA: labels of both MATLAB formats and of CelebA's text layout."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from keras_faceattr.data.datasets import lfwa
from keras_faceattr.data.vocabulary import ATTRIBUTES
from keras_faceattr.errors import DataError

NAMES = ["AJ_Cook/AJ_Cook_0001.jpg", "Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "AJ_Cook/AJ_Cook_0002.jpg"]
PRESENT = [{"Young", "5_o_Clock_Shadow"}, {"Male"}, {"Young"}]
LABELS = np.array([[float(a in present) for a in ATTRIBUTES] for present in PRESENT])
TITLES = [a.replace("_", " ") for a in ATTRIBUTES]
BACKSLASHED = [name.replace("/", "\\") for name in NAMES]


def write_hdf5(path: Path, **variables: np.ndarray | list[str]) -> None:
    """As MATLAB's -v7.3: a header of 512 bytes, matrices transposed, cells as references to UTF-16 text."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            if isinstance(value, np.ndarray):
                file[name] = value.T
                continue
            cells = file.create_dataset(name, (1, len(value)), dtype=h5py.ref_dtype)
            for i, text in enumerate(value):
                codes = np.array([[ord(c)] for c in text], dtype="uint16")
                cells[0, i] = file.create_dataset(f"#refs#/{name}{i}", data=codes).ref
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")


def write_version5(path: Path, **variables: np.ndarray | list[str]) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    cells = {
        n: v if isinstance(v, np.ndarray) else np.array(v, dtype=object).reshape(-1, 1) for n, v in variables.items()
    }
    savemat(path, cells)


def check(rows) -> None:
    assert rows["image"].tolist() == [f"lfw/{name}" for name in NAMES]
    assert rows["identity"].tolist() == ["AJ_Cook", "Aaron_Eckhart", "AJ_Cook"]
    assert rows["gender"].tolist() == ["female", "male", "female"]
    assert rows[[f"attributes.{a}" for a in ATTRIBUTES]].to_numpy().tolist() == LABELS.tolist()


@pytest.mark.parametrize("write", [write_hdf5, write_version5])
def test_matlab_labels_with_the_official_split(tmp_path: Path, write_photos, write) -> None:
    write_photos(tmp_path / "lfw", *NAMES)
    write(tmp_path / "lfw_att_40.mat", AttrName=TITLES, label=LABELS, name=BACKSLASHED)
    rows = lfwa.read(tmp_path).rows
    check(rows)
    assert rows["split"].isna().all()
    indices = {"indices_img_train": np.array([[3.0], [1.0]]), "indices_img_test": np.array([[2.0]])}
    write(tmp_path / "indices_train_test.mat", **indices)
    assert lfwa.read(tmp_path).rows["split"].tolist() == ["train", "test", "train"]
    write(tmp_path / "indices_train_test.mat", **indices | {"indices_img_test": np.array([[4.0]])})
    with pytest.raises(DataError, match="indices_img_test reaches from 4 to 4, not from 1 to 3"):
        lfwa.read(tmp_path)


@pytest.mark.parametrize("bare", [True, False])
def test_text_labels(tmp_path: Path, write_photos, bare: bool) -> None:
    write_photos(tmp_path / "lfw", *NAMES)
    lines = [
        " ".join([name.split("/")[1] if bare else name, *("1" if x else "-1" for x in row)])
        for name, row in zip(NAMES, LABELS, strict=True)
    ]
    (tmp_path / "list_attr_lfwa.txt").write_text("\n".join(["3", " ".join(ATTRIBUTES), *lines]) + "\n")
    check(lfwa.read(tmp_path).rows)


def test_labels_that_do_not_fit_are_said(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path / "lfw", *NAMES)
    path = tmp_path / "lfw_att_40.mat"
    write_hdf5(path, AttrName=TITLES, label=LABELS[:2], name=BACKSLASHED)
    with pytest.raises(DataError, match=r"label is \(2, 40\), not 3 photos × 40 attributes"):
        lfwa.read(tmp_path)
    write_hdf5(path, AttrName=TITLES[1:], label=LABELS[:, 1:], name=BACKSLASHED)
    with pytest.raises(DataError, match="no attribute '5_o_Clock_Shadow'"):
        lfwa.read(tmp_path)
    write_hdf5(path, AttrName=TITLES, label=LABELS)
    with pytest.raises(DataError, match="no variable 'name'"):
        lfwa.read(tmp_path)


def test_missing_and_unreadable_labels_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"neither lfw_att_40\.mat nor list_attr_lfwa\.txt in"):
        lfwa.read(tmp_path)
    (tmp_path / "lfw_att_40.mat").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(DataError, match="not a readable MATLAB file"):
        lfwa.read(tmp_path)
    (tmp_path / "lfw_att_40.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs scipy; install it"):
        lfwa.read(tmp_path)
