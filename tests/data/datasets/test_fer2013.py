"""FER2013: folders of photos, and the csv of pixels that becomes photos once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_faceattr.data.datasets import fer2013, fer2013_pixels
from keras_faceattr.data.vocabulary import EXPRESSIONS
from keras_faceattr.errors import DataError, RunError

GOOD = " ".join(str(n % 256) for n in range(48 * 48))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_csv(path: Path, *rows: tuple[str, str, str], header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def test_validation_is_test_where_it_is_the_only_other_part(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "train/angry/1.png", "train/Happy/2.png", "validation/sad/3.png")
    rows = fer2013.read(tmp_path).rows
    assert dict(zip(rows["image"], rows["split"], strict=True)) == {
        "train/angry/1.png": "train",
        "train/Happy/2.png": "train",
        "validation/sad/3.png": "test",
    }
    assert sorted(rows["expression"]) == ["angry", "happy", "sad"]


def test_validation_and_test_stay_apart(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "train/fear/1.png", "validation/fear/2.png", "test/fear/3.png")
    assert fer2013.read(tmp_path).rows["split"].tolist() == ["train", "val", "test"]


def test_unknown_class_and_photo_without_class_are_put_aside(tmp_path: Path, write_photos) -> None:
    write_photos(tmp_path, "train/angry/1.png", "train/bored/2.png", "train/3.png")
    quarantine = fer2013.read(tmp_path).quarantine.set_index("image")["reason"]
    assert quarantine["train/bored/2.png"] == f"expression 'bored' is none of {', '.join(EXPRESSIONS)}"
    assert quarantine["train/3.png"] == "has no label"


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, pixels, Usage"])
@pytest.mark.parametrize("as_file", [True, False])
def test_csv_becomes_photos_with_the_challenges_parts(tmp_path: Path, cache: Path, header: str, as_file: bool) -> None:
    table = write_csv(
        tmp_path / "fer2013.csv", ("0", GOOD, "Training"), ("6", GOOD, "PublicTest"), ("3", GOOD, "PrivateTest"),
        header=header,
    )  # fmt: skip
    manifest = fer2013.read(table if as_file else tmp_path)
    rows = manifest.rows
    assert rows["split"].tolist() == ["train", "val", "test"]
    assert rows["expression"].tolist() == ["angry", "neutral", "happy"]
    assert rows["row"].tolist() == [2, 3, 4]
    assert rows["image"].tolist() == ["Training/angry/2.png", "PublicTest/neutral/3.png", "PrivateTest/happy/4.png"]
    assert manifest.sources["fer2013"].root.parent == cache
    photo = cv2.imread(str(manifest.paths()[1]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(photo, np.arange(48 * 48).reshape(48, 48) % 256)


def test_the_numbers_of_the_challenge_name_the_classes() -> None:
    assert fer2013_pixels.CLASSES == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert sorted(fer2013_pixels.CLASSES) == sorted(EXPRESSIONS)


def test_bad_rows_are_put_aside_with_their_line_also_from_the_cache(tmp_path: Path) -> None:
    table = write_csv(
        tmp_path / "fer2013.csv",
        ("0", GOOD, "Training"),
        ("0", GOOD + " 1", "Training"),
        ("0", GOOD.replace(" 255 ", " 256 ", 1), "Training"),
        ("0", GOOD.replace(" 7 ", " x ", 1), "Training"),
        ("0", "", "Training"),
        ("7", GOOD, "Training"),
        ("0", GOOD, "Testing"),
    )
    pixels = "pixels are not 2304 numbers from 0 to 255"
    for _ in range(2):
        manifest = fer2013.read(table)
        assert manifest.rows["row"].tolist() == [2]
        assert dict(zip(manifest.quarantine["row"], manifest.quarantine["reason"], strict=True)) == {
            3: pixels, 4: pixels, 5: pixels, 6: pixels,
            7: "emotion '7' is not in 0 to 6",
            8: "Usage 'Testing' is none of Training, PublicTest, PrivateTest",
        }  # fmt: skip
        assert manifest.quarantine["image"][0] == "Training/angry/3.png"


def test_pixels_are_extracted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_csv(tmp_path / "fer2013.csv", ("0", GOOD, "Training"))
    first = fer2013.read(table)
    monkeypatch.setattr(fer2013, "extract", lambda *arguments: pytest.fail("extracted again"))
    assert fer2013.read(table).paths() == first.paths()
    monkeypatch.undo()


def test_an_interrupted_extraction_is_not_taken_for_whole(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_csv(tmp_path / "fer2013.csv", ("0", GOOD, "Training"), ("1", GOOD, "Training"))
    decode, calls = fer2013_pixels._decode, []

    def interrupted(pixels: str) -> np.ndarray | None:
        calls.append(pixels)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decode(pixels)

    monkeypatch.setattr(fer2013_pixels, "_decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fer2013.read(table)
    assert list(cache.iterdir()) == []
    assert len(fer2013.read(table)) == 2


def test_a_changed_csv_is_another_extraction(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    first = fer2013.read(write_csv(path, ("0", GOOD, "Training"))).sources["fer2013"].root
    second = fer2013.read(write_csv(path, ("1", GOOD, "Training"))).sources["fer2013"].root
    assert first != second


def test_missing_and_useless_data_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        fer2013.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"neither train/ nor fer2013\.csv in"):
        fer2013.read(tmp_path)
    path = tmp_path / "fer2013.csv"
    with pytest.raises(DataError, match="no column 'pixels'; it has emotion, image, Usage"):
        fer2013.read(write_csv(path, ("0", "1", "Training"), header="emotion,image,Usage"))
    with pytest.raises(DataError, match="none of 1 rows can be used; the first: line 2, pixels are not 2304 numbers"):
        fer2013.read(write_csv(path, ("0", "1 2 3", "Training")))


def test_an_unwritable_cache_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(blocked / "cache"))
    with pytest.raises(RunError, match="cannot write .*KERAS_FACEATTR_CACHE"):
        fer2013.read(write_csv(tmp_path / "fer2013.csv", ("0", GOOD, "Training")))


@pytest.mark.realdata
def test_real_photos(real_folder) -> None:
    manifest = fer2013.read(real_folder("fer2013"))
    assert manifest.rows["split"].value_counts().to_dict() == {"train": 8000, "test": 2000}
    assert set(manifest.rows["expression"]) == set(EXPRESSIONS)
    assert not len(manifest.quarantine)
