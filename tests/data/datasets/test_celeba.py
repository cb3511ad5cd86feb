"""CelebA: attributes, gender, identity and partition from the official text files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.data.datasets import celeba
from keras_faceattr.data.vocabulary import ATTRIBUTES
from keras_faceattr.errors import DataError

NAMES = [f"{n:06d}.jpg" for n in (1, 2, 3)]
PRESENT = {NAMES[0]: {"Male", "Young"}, NAMES[1]: {"Smiling"}, NAMES[2]: {"Bald", "Male"}}


def write_release(root: Path, attributes: str = "", identities: str = "", partition: str = "") -> None:
    """The official layout; each folder name is where that file lies."""
    names = list(reversed(ATTRIBUTES))
    lines = [" ".join([n, *(" 1" if a in PRESENT[n] else "-1" for a in names)]) for n in NAMES]
    files = {
        f"{attributes}/list_attr_celeba.txt": "\n".join([str(len(NAMES)), " ".join(names) + " ", *lines]) + "\n",
        f"{identities}/identity_CelebA.txt": f"{NAMES[0]} 2880\n{NAMES[1]} 2937\n{NAMES[2]} 2880\n",
        f"{partition}/list_eval_partition.txt": f"{NAMES[0]} 0\n{NAMES[1]} 1\n{NAMES[2]} 2\n",
    }
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("folders", "photos"),
    [(("", "", ""), "img_align_celeba"), (("Anno", "Anno", "Eval"), "Img/img_align_celeba")],
)
def test_both_official_layouts(tmp_path: Path, write_photos, folders: tuple[str, str, str], photos: str) -> None:
    write_release(tmp_path, *folders)
    write_photos(tmp_path / photos, *NAMES)
    manifest = celeba.read(tmp_path)
    rows = manifest.rows
    assert rows["image"].tolist() == [f"{photos}/{n}" for n in NAMES]
    assert rows["split"].tolist() == ["train", "val", "test"]
    assert rows["identity"].tolist() == ["2880", "2937", "2880"]
    assert rows["gender"].tolist() == ["male", "female", "male"]
    assert rows["row"].tolist() == [3, 4, 5]
    assert list(manifest.tasks) == ["attributes"]
    for attribute in ATTRIBUTES:
        expected = [float(attribute in PRESENT[n]) for n in NAMES]
        assert rows[f"attributes.{attribute}"].tolist() == expected, attribute
    assert all(path.is_file() for path in manifest.paths())


def test_csv_of_the_same_lists(tmp_path: Path, write_photos) -> None:
    rows = [[n, *(1 if a in PRESENT[n] else -1 for a in ATTRIBUTES)] for n in NAMES]
    pd.DataFrame(rows, columns=["image_id", *ATTRIBUTES]).to_csv(tmp_path / "list_attr_celeba.csv", index=False)
    (tmp_path / "list_eval_partition.csv").write_text(f"image_id,partition\n{NAMES[0]},2\n{NAMES[1]},0\n")
    write_photos(tmp_path / "img_align_celeba/img_align_celeba", *NAMES)
    manifest = celeba.read(tmp_path)
    assert manifest.rows["attributes.Bald"].tolist() == [0.0, 0.0, 1.0]
    assert manifest.rows["split"].fillna("-").tolist() == ["test", "train", "-"]
    assert manifest.rows["row"].tolist() == [2, 3, 4]


def test_missing_photo_bad_attribute_and_unknown_part_are_put_aside(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path)
    labels = tmp_path / "list_attr_celeba.txt"
    labels.write_text(labels.read_text() + "000004.jpg" + " 1" * 39 + " 2\n" + "000005.jpg" + " -1" * 39 + " x\n")
    with (tmp_path / "list_eval_partition.txt").open("a") as lines:
        lines.write("000006.jpg 7\n")
    labels.write_text(labels.read_text() + "000006.jpg" + " 1" * 40 + "\n")
    write_photos(tmp_path / "img_align_celeba", *NAMES[:2], "000004.jpg", "000005.jpg", "000006.jpg")
    manifest = celeba.read(tmp_path)
    last = ATTRIBUTES[0]  # the fixture writes the attributes in reverse
    assert len(manifest) == 2
    assert dict(zip(manifest.quarantine["row"], manifest.quarantine["reason"], strict=True)) == {
        5: "no such photo",
        6: f"attributes.{last} 2 is neither 0 nor 1",
        7: f"attributes.{last} 'x' is not a number",
        8: "unknown split '7'; valid: train, val, test",
    }


def test_missing_parts_are_said(tmp_path: Path, write_photos) -> None:
    with pytest.raises(DataError, match=r"no list_attr_celeba\.txt in"):
        celeba.read(tmp_path)
    write_release(tmp_path)
    with pytest.raises(DataError, match="no photos in .*img_align_celeba"):
        celeba.read(tmp_path)
    write_photos(tmp_path / "img_align_celeba", *NAMES)
    (tmp_path / "identity_CelebA.txt").write_text(f"{NAMES[0]} 1\n{NAMES[0]} 2\n")
    with pytest.raises(DataError, match="'000001.jpg' stands there twice"):
        celeba.read(tmp_path)


def test_a_missing_attribute_and_a_short_row_are_said(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path)
    write_photos(tmp_path / "img_align_celeba", *NAMES)
    labels = tmp_path / "list_attr_celeba.txt"
    text = labels.read_text()
    labels.write_text(text.replace("Smiling", "Grinning"))
    with pytest.raises(DataError, match="no attribute 'Smiling'"):
        celeba.read(tmp_path)
    labels.write_text(text.replace("Smiling", ""))
    with pytest.raises(DataError, match="39 names in the second line, but 40 values in a row"):
        celeba.read(tmp_path)


@pytest.mark.realdata
def test_real_photos(real_folder) -> None:
    manifest = celeba.read(real_folder("celeba"))
    assert len(manifest) == 8594
    assert manifest.rows["split"].value_counts().to_dict() == {"train": 7010, "val": 799, "test": 785}
    identities = manifest.rows.groupby("identity")["split"].nunique()
    assert identities.max() == 1
    assert set(manifest.rows["gender"]) == {"male", "female"}
