"""Predicting many photos: order, failures, and batches of one shape."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_faceattr.data.datasets.csv_file import read as read_csv_file
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.predict import column_types, list_inputs, predict_photos
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.detector import DetectorPool
from keras_faceattr.faces.found import Faces
from keras_faceattr.tasks import CategoricalTask, MultilabelTask, ScalarTask

TASKS = {
    "age": ScalarTask("age", 0, 2, 1, "years"),
    "mood": CategoricalTask("mood", ("happy", "sad")),
    "hats": MultilabelTask("hats", ("red", "blue")),
}


def brightness(images: np.ndarray) -> dict[str, np.ndarray]:
    """A model whose age is the mean pixel."""
    mean = images.mean(axis=(1, 2, 3))
    return {
        "age": mean,
        "age_distribution": np.tile([0.25, 0.5, 0.25], (len(images), 1)),
        "mood": np.tile([0.3, 0.7], (len(images), 1)),
        "hats": np.tile([0.1, 0.9], (len(images), 1)),
    }


def write(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for i, path in enumerate(paths):
        assert cv2.imwrite(str(path), np.full((32, 32, 3), i, np.uint8))
    return paths


def test_rows_come_in_order_and_failures_are_named(tmp_path: Path) -> None:
    paths = write(tmp_path, 9)
    paths[4].write_text("no photo")
    batches = list(predict_photos([(brightness, CropSpec(32))], TASKS, paths, batch_size=4))
    rows = [row for batch in batches for row in batch.rows]
    assert [row["age"] for row in rows] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [len(batch.left_out) for batch in batches] == [0, 1, 0]


def test_a_row_holds_what_each_kind_of_task_says(tmp_path: Path) -> None:
    (batch,) = predict_photos([(brightness, CropSpec(32))], TASKS, write(tmp_path, 1))
    rows = batch.rows
    assert rows[0]["age_std"] == pytest.approx(np.sqrt(0.5))
    assert (rows[0]["mood"], rows[0]["mood_probability"]) == ("sad", pytest.approx(0.7))
    assert (rows[0]["hats.red"], rows[0]["hats.blue"]) == (pytest.approx(0.1), pytest.approx(0.9))


def test_of_several_nets_each_sees_its_own_crop_and_a_row_holds_their_mean(tmp_path: Path) -> None:
    def side(images: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "age": np.full(len(images), images.shape[1], "float32"),
            "mood": np.tile([0.9, 0.1], (len(images), 1)),
            "hats": np.tile([0.5, 0.5], (len(images), 1)),
        }

    nets = [(brightness, CropSpec(32)), (side, CropSpec(16)), (side, CropSpec(32))]
    batches = list(predict_photos(nets, TASKS, write(tmp_path, 5), batch_size=2))
    rows = [row for batch in batches for row in batch.rows]
    assert [row["age"] for row in rows] == pytest.approx([(i + 16 + 32) / 3 for i in range(5)])
    # Not all of them say a distribution.
    assert {(row["mood"], "age_std" in row) for row in rows} == {("happy", False)}
    assert rows[0]["mood_probability"] == pytest.approx(0.7) and rows[0]["hats.red"] == pytest.approx(1.1 / 3)


def test_faces_are_looked_for_once_a_photo_for_nets_of_several_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    detect = DetectorPool.detect

    def counted(pool: DetectorPool, photo: np.ndarray, reduced_by: int = 1) -> Faces:
        looked.append(photo.shape)
        return detect(pool, photo, reduced_by)

    monkeypatch.setattr(DetectorPool, "detect", counted)
    assert cv2.imwrite(str(tmp_path / "face.png"), draw_scene(11, 3, 120, 120)[0][..., ::-1])
    assert cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    nets = [(brightness, CropSpec(side, "five_points")) for side in (32, 48)]
    paths = [tmp_path / "face.png", tmp_path / "grey.png"]
    (batch,) = predict_photos(nets, TASKS, paths)
    assert len(looked) == 2
    assert [row["face"] for row in batch.rows] == [1] and "grey.png: no face found" in batch.left_out[0]
    (alone,) = predict_photos(nets[1:], TASKS, paths)
    edges = ("left", "top", "right", "bottom")
    assert [batch.rows[0][edge] for edge in edges] == [alone.rows[0][edge] for edge in edges]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_no_answer_and_never_the_first_class(tmp_path: Path, wrong: float) -> None:
    def broken(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = {name: np.array(value, dtype=float) for name, value in brightness(images).items()}
        second = outputs["age"] == 1
        for output in outputs.values():
            output[second] = wrong
        return outputs

    (batch,) = predict_photos([(broken, CropSpec(32))], TASKS, write(tmp_path, 3))
    first, second, third = batch.rows
    assert set(second) == set(first) and [cell for name, cell in second.items() if name != "image"] == [None] * 6
    assert (first["mood"], third["mood"], third["age"]) == ("sad", "sad", 2)
    assert batch.no_answer == [f"{tmp_path / '001.png'}: the net gives no number for {name}" for name in TASKS]


def test_a_batch_may_be_the_first_one(tmp_path: Path) -> None:
    nets, paths = [(brightness, CropSpec(32))], write(tmp_path, 9)
    batches = list(predict_photos(nets, TASKS, paths, batch_size=4))
    assert list(predict_photos(nets, TASKS, paths, batch_size=4, first_batch=1)) == batches[1:]


def test_a_column_has_the_type_of_its_task_whatever_stands_in_it(tmp_path: Path) -> None:
    types = column_types(TASKS)
    (batch,) = predict_photos(
        [(brightness, CropSpec(32, "five_points", fallback="whole_photo"))], TASKS, write(tmp_path, 1)
    )
    assert batch.rows[0]["left"] is None
    for name, cell in batch.rows[0].items():
        assert cell is None or type(cell) is types[name]


def test_a_folder_is_listed_with_all_below_it_and_what_else_there_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", 1)
    write(tmp_path, 1)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "photo.heic").write_bytes(b"")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / ".writing-1.csv").write_text("image\n000.png\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = list_inputs(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in found.photos] == ["000.png", "a/000.png", "photo.heic"]
    assert [line.partition(": ")[0] for line in found.left_out] == [f"{tmp_path}/gone.jpg", f"{tmp_path}/pipe.jpg"]
    assert found.other_files == {".txt": 1}


@pytest.mark.parametrize(
    ("text", "words"), [("photo\nx.png\n", "no column 'image'"), ("image\n", "no rows"), ("", "is empty")]
)
def test_a_csv_that_names_no_photos_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        list_inputs(tmp_path / "list.csv")


@pytest.mark.parametrize(
    "text",
    [
        "image,note\na.png,x\nNA,y\nb/c.png,\n",
        "image;note\na.png;x\nNA;y\nb/c.png;\n",
        "image\tnote\na.png\tx\nNA\ty\nb/c.png\t\n",
        "image,note,\na.png,x,\nNA,y,\nb\\c.png,,\n",
        "\ufeffnote,image\nx, a.png \ny,NA\n,b/c.png\n",
    ],
    ids=["commas", "semicolons", "tabs", "trailing commas and a backslash", "a mark of order and spaces"],
)
def test_a_csv_names_the_same_photos_to_predict_and_to_fit(tmp_path: Path, text: str) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a.png", "NA", "b/c.png"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    listed = list_inputs(tmp_path / "list.csv")
    assert listed.photos == read_csv_file(tmp_path / "list.csv", tasks=[]).paths()
    assert [path.relative_to(tmp_path).as_posix() for path in listed.photos] == ["a.png", "NA", "b/c.png"]
    assert listed.left_out == []


def test_a_row_that_names_no_photo_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image,note\na.png,x\n,y\n")
    listed = list_inputs(tmp_path / "list.csv")
    assert [path.name for path in listed.photos] == ["a.png"]
    assert listed.left_out == [f"{tmp_path}/list.csv, line 3: no photo is named"]
