"""SCUT-FBP: mean and σ from the table of labels or from the ratings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from keras_faceattr.data.datasets import scut_fbp
from keras_faceattr.errors import DataError

LABELS = "Rating_Collection/Attractiveness label.csv"
RATINGS = "Rating_Collection/All Ratings.csv"
LONG = "Rater,Image,Rating\n1,1,2\n1,2,5\n2,1,4\n2,2,5\n"  # photo 1: mean 3, σ 1; photo 2: mean 5, σ 0
WIDE = "Image,rater 1,rater 2,rater 3\n1,2,4,\n2,5,5,5\n"


@pytest.fixture
def release(tmp_path: Path, write_photos) -> Path:
    write_photos(tmp_path / "Data_Collection", "SCUT-FBP-1.jpg", "SCUT-FBP-2.jpg", "SCUT-FBP-500.jpg")
    (tmp_path / "Rating_Collection").mkdir()
    return tmp_path


def test_labels_with_their_deviation(release: Path) -> None:
    text = "Image,Attractiveness label,Standard Deviation\n1 ,2.83,0.7\n500,4.1,0.5\n"
    (release / LABELS).write_text(text)
    (release / RATINGS).write_text(LONG)
    rows = scut_fbp.read(release).rows
    assert rows[["image", "attractiveness", "attractiveness_std", "row"]].values.tolist() == [
        ["Data_Collection/SCUT-FBP-1.jpg", 2.83, 0.7, 2],
        ["Data_Collection/SCUT-FBP-500.jpg", 4.1, 0.5, 3],
    ]
    assert rows["split"].isna().all()


@pytest.mark.parametrize("ratings", [LONG, WIDE])
def test_deviation_comes_from_the_ratings_where_the_labels_have_none(release: Path, ratings: str) -> None:
    (release / LABELS).write_text("Image,Attractiveness label\n1,2.83\n2,4.9\n500,4.1\n")
    (release / RATINGS).write_text(ratings)
    rows = scut_fbp.read(release).rows
    assert rows["attractiveness"].tolist() == [2.83, 4.9, 4.1]
    assert rows["attractiveness_std"].tolist()[:2] == [1.0, 0.0]
    assert pd.isna(rows["attractiveness_std"][2])


@pytest.mark.parametrize("ratings", [LONG, WIDE, LONG.replace(",1,2\n", ",SCUT-FBP-1.jpg,2\n", 1)])
def test_ratings_alone_give_mean_and_deviation(release: Path, ratings: str) -> None:
    (release / RATINGS).write_text(ratings)
    rows = scut_fbp.read(release).rows.set_index("image")
    assert rows["attractiveness"].to_dict() == {
        "Data_Collection/SCUT-FBP-1.jpg": 3.0,
        "Data_Collection/SCUT-FBP-2.jpg": 5.0,
    }
    assert rows["attractiveness_std"].tolist() == [1.0, 0.0]


def test_bad_rows_are_put_aside(release: Path) -> None:
    (release / LABELS).write_text("Image,Attractiveness label\n1,2.83\n2,0.5\n3,3\n")
    quarantine = scut_fbp.read(release).quarantine
    assert quarantine[["row", "reason"]].values.tolist() == [
        [3, "attractiveness 0.5 is not in 1 to 5"],
        [4, "no such photo"],
    ]


def test_missing_table_wrong_column_and_bad_rating_are_said(release: Path) -> None:
    with pytest.raises(DataError, match=r"no 'Attractiveness label\.xlsx' or \.csv in"):
        scut_fbp.read(release)
    (release / LABELS).write_text("Image,Score\n1,2.83\n")
    with pytest.raises(DataError, match="no column 'Attractiveness label'; it has Image, Score$"):
        scut_fbp.read(release)
    (release / LABELS).unlink()
    (release / RATINGS).write_text(LONG.replace("2,1,4", "2,1,four"))
    with pytest.raises(DataError, match=r"All Ratings\.csv, line 4: a rating is not a number"):
        scut_fbp.read(release)
