"""Chicago Face Database: the norming table below its preamble, and the neutral photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_faceattr.data.datasets import cfd
from keras_faceattr.errors import DataError

PREAMBLE = 'Chicago Face Database,,,,\n"Norming data, U.S. raters",,,,\n,,,,\n'
TABLE = """AF-200,A,F,3.11,0.9
BM-001,B,M,4.5,1.1
LF-213,L,F,5.25,1.2
WM-006,W,M,2,0.8
"""
HEADERS = ["Target,Race,Gender,Attractive,AttractiveSD", "Model,EthnicitySelf,GenderSelf,Attractive,Attractive_SD"]
PHOTOS = [
    "AF-200/CFD-AF-200-228-N.jpg",
    "BM-001/CFD-BM-001-014-N.jpg",
    "BM-001/CFD-BM-001-030-HO.jpg",
    "LF-213/CFD-LF-213-059-N.jpg",
    "WM-006/CFD-WM-006-002-N.jpg",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("name", ["CFD 2.0.3 Norming Data and Codebook.csv", "CFD 3.0 Norming Data.csv"])
def test_official_columns_of_both_versions(tmp_path: Path, write_photos, header: str, name: str) -> None:
    write_photos(tmp_path / "Images" / "CFD", *PHOTOS)
    write_photos(tmp_path / "Images" / "CFD-MR", "MF-300/CFD-MF-300-002-N.jpg")
    (tmp_path / name).write_text(f"{PREAMBLE}{header}\n,,,,\n{TABLE}")
    (tmp_path / "CFD 3.0 Norming Data - CFD-MR U.S. Norming Data.csv").write_text(f"{header}\nMF-300,M,F,3,1\n")
    manifest = cfd.read(tmp_path)
    columns = ["image", "identity", "race", "gender", "attractiveness", "attractiveness_std", "row"]
    assert manifest.rows[columns].values.tolist() == [
        ["Images/CFD/AF-200/CFD-AF-200-228-N.jpg", "AF-200", "Asian", "female", 3.11, 0.9, 6],
        ["Images/CFD/BM-001/CFD-BM-001-014-N.jpg", "BM-001", "Black", "male", 4.5, 1.1, 7],
        ["Images/CFD/LF-213/CFD-LF-213-059-N.jpg", "LF-213", "Latino", "female", 5.25, 1.2, 8],
        ["Images/CFD/WM-006/CFD-WM-006-002-N.jpg", "WM-006", "White", "male", 2.0, 0.8, 9],
    ]
    assert manifest.tasks["attractiveness"].maximum == 7.0
    assert set(manifest.groups) == {"gender", "race"}


def test_missing_photo_and_rating_out_of_range_are_put_aside(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path / "Images" / "CFD", *PHOTOS)
    extra = "AM-999,A,M,3,1\n"
    (tmp_path / "CFD Norming Data.csv").write_text(f"{HEADERS[0]}\n{TABLE.replace('4.5', '7.5')}{extra}")
    quarantine = cfd.read(tmp_path).quarantine
    assert quarantine[["image", "row", "reason"]].values.tolist() == [
        ["Images/CFD/BM-001/CFD-BM-001-014-N.jpg", 3, "attractiveness 7.5 is not in 1 to 7"],
        ["Images/CFD/AM-999/CFD-AM-999-*-N.jpg", 6, "no such photo"],
    ]


def test_missing_table_and_columns_are_said(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path / "Images" / "CFD", *PHOTOS)
    with pytest.raises(DataError, match="expected one table 'CFD … Norming Data' .*found none"):
        cfd.read(tmp_path)
    path = tmp_path / "CFD Norming Data.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no header row with a column 'Target' or 'Model'"):
        cfd.read(tmp_path)
    path.write_text("Target,Race,Gender\nAF-200,A,F\n")
    with pytest.raises(DataError, match="no column 'Attractive'; it has Target, Race, Gender"):
        cfd.read(tmp_path)
    (tmp_path / "CFD 2 Norming Data.csv").write_text("x")
    with pytest.raises(DataError, match=r"found CFD 2 Norming Data\.csv, CFD Norming Data\.csv"):
        cfd.read(tmp_path)
