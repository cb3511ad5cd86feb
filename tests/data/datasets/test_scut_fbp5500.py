"""SCUT-FBP5500: labels, official split and folds, groups from the file's name."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from keras_faceattr.data.datasets import scut_fbp5500
from keras_faceattr.errors import DataError

SCORES = {"AF1.jpg": 3.5, "AM2.jpg": 2.0, "CF3.jpg": 4.25, "CM4.jpg": 1.0, "AF5.jpg": 2.5}
LABELS = "train_test_files"


def write_labels(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name} {SCORES[name]}\n" for name in names))


@pytest.fixture
def release(tmp_path: Path, write_photos) -> Path:
    write_photos(tmp_path / "Images", *SCORES)
    write_labels(tmp_path / LABELS / "All_labels.txt", *SCORES)
    split = tmp_path / LABELS / "split_of_60%training and 40%testing"
    write_labels(split / "train.txt", "AF1.jpg", "AM2.jpg", "CF3.jpg")
    write_labels(split / "test.txt", "CM4.jpg", "AF5.jpg")
    folds = tmp_path / LABELS / "5_folders_cross_validations_files"
    for number, name in enumerate(SCORES, start=1):
        write_labels(folds / f"cross_validation_{number}" / f"test_{number}.txt", name)
    return tmp_path


def test_official_release(release: Path) -> None:
    manifest = scut_fbp5500.read(release)
    rows = manifest.rows
    assert rows["attractiveness"].tolist() == [3.5, 2.0, 4.25, 1.0, 2.5]
    assert rows["split"].tolist() == ["train", "train", "train", "test", "test"]
    assert rows["fold"].tolist() == [1, 2, 3, 4, 5]
    assert rows["race"].tolist() == ["Asian", "Asian", "Caucasian", "Caucasian", "Asian"]
    assert rows["gender"].tolist() == ["female", "male", "female", "male", "female"]
    assert rows["row"].tolist() == [1, 2, 3, 4, 5]


RATINGS = """Rater,Filename,Rating,original Rating
1,AF1.jpg,3,
2,AF1.jpg,5,4
1,AM2.jpg,2,
2,AM2.jpg,2,
1,CF3.jpg,1,
2,CF3.jpg,4,
3,CF3.jpg,4,
"""


def write_xlsx(path: Path) -> None:
    rows = [line.split(",") for line in RATINGS.splitlines()]
    numbers = [[int(cell) if cell.isdigit() else cell or None for cell in row] for row in rows]
    book = openpyxl.Workbook()
    book.active.title = "Asian_Female"
    book.active.append(rows[0])
    book.active.append([1, "AF1.jpg", 1])
    for row in numbers:
        sheet = book["ALL"] if "ALL" in book.sheetnames else book.create_sheet("ALL")
        sheet.append(row)
    book.save(path)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_sigma_is_that_of_the_raters_where_their_table_is_there(release: Path, kind: str) -> None:
    path = release / f"All_Ratings.{kind}"
    write_xlsx(path) if kind == "xlsx" else path.write_text(RATINGS)
    rows = scut_fbp5500.read(release).rows
    # 3 and 5; 2 and 2; 1, 4 and 4: squared distances 4, 1, 1 from the mean 3.
    assert rows["attractiveness_std"].tolist()[:3] == pytest.approx([1.0, 0.0, 2**0.5])
    assert rows["attractiveness_std"].isna().tolist()[3:] == [True, True]
    assert rows["attractiveness"].tolist() == [3.5, 2.0, 4.25, 1.0, 2.5]
    assert "attractiveness_std" not in scut_fbp5500.read(release, ratings=False).rows


def test_a_rating_that_is_no_number_names_its_line(release: Path) -> None:
    (release / "All_Ratings.csv").write_text(RATINGS.replace("2,AM2.jpg,2", "2,AM2.jpg,two"))
    with pytest.raises(DataError, match=r"All_Ratings\.csv, line 5: a rating is not a number"):
        scut_fbp5500.read(release)


def test_a_score_out_of_range_is_put_aside(release: Path) -> None:
    labels = release / LABELS / "All_labels.txt"
    labels.write_text(labels.read_text().replace("AM2.jpg 2.0", "AM2.jpg 5.2"))
    quarantine = scut_fbp5500.read(release).quarantine
    assert quarantine[["row", "reason"]].values.tolist() == [[2, "attractiveness 5.2 is not in 1 to 5"]]


def test_a_missing_label_file_is_named(release: Path) -> None:
    (release / LABELS / "All_labels.txt").unlink()
    with pytest.raises(DataError, match=r"no .*All_labels\.txt"):
        scut_fbp5500.read(release)


@pytest.mark.realdata
def test_real_photos(real_folder) -> None:
    manifest = scut_fbp5500.read(real_folder("scut-fbp5500"))
    rows = manifest.rows
    assert len(manifest) == 5500
    assert rows["split"].value_counts().to_dict() == {"train": 3300, "test": 2200}
    assert rows["fold"].value_counts().to_dict() == dict.fromkeys(range(1, 6), 1100)
    assert rows[["race", "gender"]].value_counts().to_dict() == {
        ("Asian", "female"): 2000,
        ("Asian", "male"): 2000,
        ("Caucasian", "female"): 750,
        ("Caucasian", "male"): 750,
    }
