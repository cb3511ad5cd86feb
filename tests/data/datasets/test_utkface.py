"""UTKFace: age, gender and race from the file's name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.data.datasets import utkface
from keras_faceattr.errors import DataError


def test_names_are_read(tmp_path: Path, write_photos) -> None:
    names = {
        "26_0_3_20170119180924926.jpg": (26.0, "male", "Indian"),
        "part1/8_1_4_20170109204617417.jpg": (8.0, "female", "Other"),
        "110_1_0_20170120134701015.jpg": (100.0, "female", "White"),
    }
    write_photos(tmp_path, *names)
    rows = utkface.read(tmp_path).rows.set_index("image")
    for name, expected in names.items():
        assert tuple(rows.loc[name, ["age", "gender", "race"]]) == expected


@pytest.mark.parametrize(
    "name",
    [
        "39_1_20170116174525125.jpg.chip.jpg",
        "61_3_20170109150557335.jpg.chip.jpg",
        "53__0_20170116184028385.jpg",
        "55_0_0_20170116232725357jpg.chip.jpg",
        "24_0_1_20170116220224657 .jpg.chip.jpg",
        "14_0_0_2017011022340900.jpg.chip.jpg",
        "38_0_1_201701162330572788.jpg.chip.jpg",
    ],
)
def test_flaws_of_the_official_names_are_known(tmp_path: Path, write_photos, name: str) -> None:
    write_photos(tmp_path, name)
    (row,) = utkface.read(tmp_path).rows.to_dict("records")
    parts = name.split("_")
    assert row["age"] == float(parts[0])
    # Gender and race where both are there.
    whole = len(parts) == 4 and parts[1] != ""
    assert pd.isna(row["gender"]) == pd.isna(row["race"]) == (not whole)


def test_other_names_and_other_ages_are_quarantined_and_not_guessed(tmp_path: Path, write_photos) -> None:
    names = {
        "2_b.jpg": "is not named age_gender_race_time",
        "12_holiday.jpg": "is not named age_gender_race_time",
        "IMG_0001.jpg": "is not named age_gender_race_time",
        "26_0_3_2017.jpg": "is not named age_gender_race_time",
        "26_0_5_20170119180924926.jpg": "is not named age_gender_race_time",
        "26_0_3_9_20170119180924926.jpg": "is not named age_gender_race_time",
        "117_1_0_20170119180924926.jpg": "age 117 is not in 0 to 116",
        "999_1_0_20170119180924926.jpg": "age 999 is not in 0 to 116",
    }
    write_photos(tmp_path, "116_0_3_20170119180924926.jpg", *names)
    manifest = utkface.read(tmp_path)
    assert manifest.rows["age"].tolist() == [100.0]
    assert dict(zip(manifest.quarantine["image"], manifest.quarantine["reason"], strict=True)) == names


def test_other_names_alone_are_refused(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "face.jpg")
    with pytest.raises(DataError, match=r"named age_gender_race_time\.jpg, such as .*; the first: face\.jpg: is not"):
        utkface.read(tmp_path)


@pytest.mark.realdata
def test_real_photos(real_folder) -> None:
    manifest = utkface.read(real_folder("utkface"))
    assert len(manifest) == 6999
    assert set(manifest.groups) == {"gender", "race"}
    assert manifest.rows["split"].isna().all()
