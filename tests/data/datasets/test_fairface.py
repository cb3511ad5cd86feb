"""FairFace: bands of age, also where a spreadsheet has made dates of them, and the labels that the package brings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.data.datasets import fairface, read_dataset
from keras_faceattr.data.vocabulary import APPEARANCES, RACES
from keras_faceattr.errors import ConfigError, DataError


def write_release(root: Path, write_photos, ages: list[str], folder: str = "") -> None:
    lines = [f"train/{n}.jpg,{age},Male,East Asian,True" for n, age in enumerate(ages, start=1)]
    root.mkdir(exist_ok=True)
    (root / "fairface_label_train.csv").write_text("\n".join(["file,age,gender,race,service_test", *lines]))
    (root / "fairface_label_val.csv").write_text("file,age,gender,race\nval/1.jpg,0-2,Female,Latino_Hispanic\n")
    write_photos(root / folder, *(f"train/{n}.jpg" for n in range(1, len(ages) + 1)), "val/1.jpg")


@pytest.mark.parametrize(
    ("label", "band"),
    [
        ("0-2", (0, 2)),
        ("3-9", (3, 9)),
        ("9-Mar", (3, 9)),
        ("3-Sep", (3, 9)),
        ("03-Sep", (3, 9)),
        ("10-19", (10, 19)),
        ("19-Oct", (10, 19)),
        ("Oct-19", (10, 19)),
        ("60-69", (60, 69)),
        ("70+", (70, 100)),
        ("more than 70", (70, 100)),
    ],
)
def test_a_band_is_an_interval_of_completed_years(tmp_path: Path, write_photos, label: str, band: tuple) -> None:
    write_release(tmp_path, write_photos, [label])
    manifest = fairface.read(tmp_path)
    row = manifest.rows.set_index("image").loc["train/1.jpg"]
    assert (row["age_low"], row["age_high"]) == band
    assert pd.isna(row["age"])
    assert (row["gender"], row["race"], row["split"]) == ("male", "East Asian", "train")
    assert manifest.tasks["age"].bands == fairface.BANDS


def test_dates_are_counted_and_the_photos_of_val_are_the_test(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path, write_photos, ["9-Mar", "9-Mar", "19-Oct", "20-29"])
    manifest = fairface.read(tmp_path)
    assert "dates of 3 bands of age, which are read as such: 9-Mar (2), 19-Oct (1)" in manifest.notes[0]
    assert dict(zip(manifest.rows["image"], manifest.rows["split"], strict=True))["val/1.jpg"] == "test"


@pytest.mark.parametrize("label", ["20-39", "29-20-1", "sep-sep", "old", "1-Jan"])
def test_what_is_no_band_is_quarantined(tmp_path: Path, write_photos, label: str) -> None:
    write_release(tmp_path, write_photos, ["20-29", label])
    manifest = fairface.read(tmp_path)
    assert list(manifest.quarantine["image"]) == ["train/2.jpg"]
    assert label in manifest.quarantine["reason"].iloc[0]


@pytest.mark.parametrize(("margin", "folder"), fairface.MARGINS.items())
def test_both_margins_are_read_from_the_folders_of_their_archives(
    tmp_path: Path, write_photos, margin: float, folder: str
) -> None:
    write_release(tmp_path, write_photos, ["20-29"], folder)
    assert f"{folder}/train/1.jpg" in set(fairface.read(tmp_path, margin=margin).rows["image"])
    other = next(name for name in fairface.MARGINS if name != margin)
    with pytest.raises(DataError, match="no photos in .*; unpack fairface-img-margin"):
        fairface.read(tmp_path, margin=other)
    with pytest.raises(ConfigError, match=r"margin 0\.5 is none of 0\.25, 1\.25"):
        read_dataset("fairface", tmp_path, {"margin": 0.5})


def test_our_own_labels_are_joined_by_the_photos_name(tmp_path: Path, write_photos) -> None:
    write_release(tmp_path, write_photos, ["50-59"] * 4)
    rows = fairface.read(tmp_path).rows.set_index("image")
    # The table's first line; the fourth photo is not in it.
    assert list(rows.loc["train/1.jpg", list(APPEARANCES)]) == [0, 0, 1, 0, 0, 0]
    assert rows.loc["train/4.jpg", list(APPEARANCES)].isna().all()
    plain = fairface.read(tmp_path, attributes=False)
    assert not set(APPEARANCES) & {*plain.rows, *plain.tasks}


def test_our_table_holds_what_its_documentation_says() -> None:
    table = fairface._attributes()
    assert len(table) == 10_238
    assert not table["file"].duplicated().any()
    assert table["file"].str.fullmatch(r"(train|val)/\d+\.jpg").all()
    assert list(table) == ["file", *APPEARANCES]
    assert table[list(APPEARANCES)].isin([0, 1]).where(table[list(APPEARANCES)].notna(), other=True).all(axis=None)


@pytest.mark.realdata
def test_the_real_photos(real_folder) -> None:
    manifest = fairface.read(real_folder("fairface"))
    assert len(manifest) == 13_958
    assert not len(manifest.quarantine)
    assert set(manifest.rows["race"]) == set(RACES)
    assert manifest.rows["smiling"].notna().sum() > 9_500
