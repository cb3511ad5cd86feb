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


def test_a_name_that_lacks_a_part_keeps_the_age(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "39_1_20170116174525125.jpg", "26_0_3_20170119180924926.jpg", "notes.jpg")
    rows = utkface.read(tmp_path).rows.set_index("image")
    assert len(rows) == 2
    assert rows.loc["39_1_20170116174525125.jpg", "age"] == 39.0
    assert pd.isna(rows.loc["39_1_20170116174525125.jpg", "gender"])


def test_other_names_are_refused(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "face.jpg")
    with pytest.raises(DataError, match=r"is named age_gender_race_time\.jpg, such as 'face\.jpg'"):
        utkface.read(tmp_path)


@pytest.mark.realdata
def test_real_photos(real_folder) -> None:
    manifest = utkface.read(real_folder("utkface"))
    assert len(manifest) == 6999
    assert set(manifest.groups) == {"gender", "race"}
    assert manifest.rows["split"].isna().all()
