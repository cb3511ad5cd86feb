"""ChaLearn apparent age: the label files of 2015, 2016 and APPA-REAL."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.data.datasets import chalearn
from keras_faceattr.data.splits import split_manifest
from keras_faceattr.errors import ConfigError, DataError


def test_2016_with_nested_photos(tmp_path: Path, write_photos) -> None:
    write_photos(
        tmp_path, "train/train_1/000000.jpg", "train/train_2/000001.jpg", "valid/000002.jpg", "test/000003.jpg"
    )
    (tmp_path / "train_gt.csv").write_text("image,mean,stdv\n000000.jpg,25.5,3.2\n000001.jpg,60,4\n")
    (tmp_path / "valid_gt.csv").write_text("image,mean,stdv\n000002.jpg,3,0.5\n")
    (tmp_path / "test_gt.csv").write_text("000003.jpg;40;5\n")
    rows = chalearn.read(tmp_path).rows
    assert rows[["image", "age", "age_std", "split", "row"]].values.tolist() == [
        ["train/train_1/000000.jpg", 25.5, 3.2, "train", 2],
        ["train/train_2/000001.jpg", 60.0, 4.0, "train", 3],
        ["valid/000002.jpg", 3.0, 0.5, "val", 2],
        ["test/000003.jpg", 40.0, 5.0, "test", 1],
    ]


def write_parts(root: Path, write_photos, *splits: str) -> None:
    """Two photos a split, aged by its first letter, with labels as of 2016."""
    for split in splits:
        write_photos(root / split, f"{split}_1.jpg", f"{split}_2.jpg")
        rows = "".join(f"{split}_{n}.jpg,{30 + n},3\n" for n in (1, 2))
        (root / f"{split}_gt.csv").write_text("image,mean,stdv\n" + rows)


@pytest.mark.parametrize(
    ("parts", "options", "expected"),
    [
        (("train", "valid", "test"), {}, {"train": "train", "valid": "val", "test": "test"}),
        (("train", "valid"), {}, {"train": "train", "valid": "test"}),
        (("train", "valid", "test"), {"valid": "train"}, {"train": "train", "valid": "train", "test": "test"}),
        (("train", "valid", "test"), {"valid": "test"}, {"train": "train", "valid": "test"}),
        (("train", "valid"), {"valid": "val"}, {"train": "train", "valid": "val"}),
        (("train",), {}, {"train": "train"}),
    ],
    ids=["2016", "2015", "2016 as papers train", "2015 with later test labels", "held out", "train alone"],
)
def test_the_validation_photos_are_what_the_protocol_makes_of_them(
    tmp_path: Path, write_photos, parts: tuple[str, ...], options: dict[str, str], expected: dict[str, str]
) -> None:
    write_parts(tmp_path, write_photos, *parts)
    rows = chalearn.read(tmp_path, **options).rows
    splits = dict(zip(rows["image"].str.split("/").str[0], rows["split"], strict=True))
    assert splits == expected and len(rows) == 2 * len(expected)


def test_2015_is_split_into_train_and_test_as_it_gives_them(tmp_path: Path, write_photos) -> None:
    write_parts(tmp_path, write_photos, "train", "valid")
    manifest = split_manifest(chalearn.read(tmp_path), "given", stratify="age", validation=0.0)
    assert manifest.rows["split"].value_counts().to_dict() == {"train": 2, "test": 2}


def test_an_unknown_use_of_the_validation_photos_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown option valid 'tests'; did you mean 'test'"):
        chalearn.read(tmp_path, valid="tests")


def test_2015_reference_files_without_header(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "Train/image_1.jpg", "Validation/image_2.jpg")
    (tmp_path / "Train" / "Reference.csv").write_text("image_1.jpg;31;2.5\n")
    (tmp_path / "Validation" / "Reference.csv").write_text("image_2.jpg;70;6\n")
    rows = chalearn.read(tmp_path).rows
    assert rows[["image", "age", "split"]].values.tolist() == [
        ["Train/image_1.jpg", 31.0, "train"],
        ["Validation/image_2.jpg", 70.0, "test"],
    ]


def test_appa_real_takes_the_apparent_age_and_the_whole_photo(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "train/000000.jpg", "train/000000.jpg_face.jpg")
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    (tmp_path / "gt_avg_train.csv").write_text(header + "000000.jpg,36,5.0,0.666667,4\n")
    rows = chalearn.read(tmp_path).rows
    assert rows[["image", "age", "age_std"]].values.tolist() == [["train/000000.jpg", 5.0, 0.666667]]


def test_a_photo_named_with_its_folder_is_that_one_else_the_least_deep(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "train/1.jpg", "train/a/1.jpg", "train/a/b/2.jpg", "train/a/z/2.jpg", "train/z/2.jpg")
    (tmp_path / "train_gt.csv").write_text("a/1.jpg,30,2\n1.jpg,31,2\n2.jpg,32,2\n")
    rows = chalearn.read(tmp_path).rows
    assert rows["image"].tolist() == ["train/a/1.jpg", "train/1.jpg", "train/z/2.jpg"]


def test_missing_photo_and_impossible_age_are_put_aside(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "train/1.jpg", "train/2.jpg", "train/3.jpg")
    (tmp_path / "train_gt.csv").write_text("1.jpg,30,2\n2.jpg,130,2\n3.jpg,30,-1\n4.jpg,30,2\n")
    manifest = chalearn.read(tmp_path)
    assert len(manifest) == 1
    assert manifest.quarantine[["image", "row", "reason"]].values.tolist() == [
        ["train/2.jpg", 2, "age 130 is not in 0 to 100"],
        ["train/3.jpg", 3, "age_std '-1' is not a standard deviation"],
        ["train/4.jpg", 4, "no such photo"],
    ]


def test_missing_parts_are_said(tmp_path: Path, write_photos) -> None:
    with pytest.raises(DataError, match=r"no label file in .*looked for train_gt\.csv, valid_gt\.csv, test_gt\.csv"):
        chalearn.read(tmp_path)
    (tmp_path / "train_gt.csv").write_text("1.jpg,30,2\n")
    with pytest.raises(DataError, match="no folder with its photos"):
        chalearn.read(tmp_path)
    write_photos(tmp_path, "train/1.jpg")
    (tmp_path / "train_gt.csv").write_text("image,mean\n1.jpg,30\n")
    with pytest.raises(DataError, match="no column 'std'; it has image, mean$"):
        chalearn.read(tmp_path)
    (tmp_path / "train_gt.csv").write_text("1.jpg,30\n")
    with pytest.raises(DataError, match="2 columns without a header, not 3"):
        chalearn.read(tmp_path)
