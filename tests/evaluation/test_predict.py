"""Predicting many photos: order, failures, and batches of one shape."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import DataError
from keras_faceattr.evaluation.predict import list_inputs, predict_photos
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
    """A model whose age is the mean pixel, and which counts the shapes that it sees."""
    shapes.append(images.shape)
    mean = images.mean(axis=(1, 2, 3))
    return {
        "age": mean,
        "age_distribution": np.tile([0.25, 0.5, 0.25], (len(images), 1)),
        "mood": np.tile([0.3, 0.7], (len(images), 1)),
        "hats": np.tile([0.1, 0.9], (len(images), 1)),
    }


shapes: list[tuple[int, ...]] = []


def write(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for i, path in enumerate(paths):
        assert cv2.imwrite(str(path), np.full((32, 32, 3), i, np.uint8))
    return paths


def test_rows_come_in_order_in_few_batch_shapes_and_failures_are_named(tmp_path: Path) -> None:
    shapes.clear()
    paths = write(tmp_path, 9)
    paths[4].write_text("no photo")
    batches = list(predict_photos([(brightness, CropSpec(32))], TASKS, paths, batch_size=4))
    rows = [row for batch, _ in batches for row in batch]
    assert [row["age"] for row in rows] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [len(failures) for _, failures in batches] == [0, 1, 0]
    assert {shape[0] for shape in shapes} == {4, 1}


def test_a_row_holds_what_each_kind_of_task_says(tmp_path: Path) -> None:
    ((rows, _),) = predict_photos([(brightness, CropSpec(32))], TASKS, write(tmp_path, 1))
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
    rows = [row for batch, _ in batches for row in batch]
    assert [row["age"] for row in rows] == pytest.approx([(i + 16 + 32) / 3 for i in range(5)])
    # Not all of them say a distribution.
    assert {(row["mood"], "age_std" in row) for row in rows} == {("happy", False)}
    assert rows[0]["mood_probability"] == pytest.approx(0.7) and rows[0]["hats.red"] == pytest.approx(1.1 / 3)


def test_faces_are_looked_for_once_a_photo_for_nets_of_several_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    detect = DetectorPool.detect

    def counted(pool: DetectorPool, photo: np.ndarray) -> Faces:
        looked.append(photo.shape)
        return detect(pool, photo)

    monkeypatch.setattr(DetectorPool, "detect", counted)
    assert cv2.imwrite(str(tmp_path / "face.png"), draw_scene(11, 3, 120, 120)[0][..., ::-1])
    assert cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    nets = [(brightness, CropSpec(side, "five_points")) for side in (32, 48)]
    paths = [tmp_path / "face.png", tmp_path / "grey.png"]
    ((rows, failures),) = predict_photos(nets, TASKS, paths)
    assert len(looked) == 2
    assert [row["face"] for row in rows] == [1] and "grey.png: no face found" in failures[0]
    ((alone, _),) = predict_photos(nets[1:], TASKS, paths)
    assert [rows[0][edge] for edge in ("left", "top", "right", "bottom")] == [
        alone[0][edge] for edge in ("left", "top", "right", "bottom")
    ]


def test_a_folder_is_listed_with_all_below_it_and_without_other_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", 1)
    write(tmp_path, 1)
    (tmp_path / "notes.txt").touch()
    assert [p.relative_to(tmp_path).as_posix() for p in list_inputs(tmp_path)] == ["000.png", "a/000.png"]


@pytest.mark.parametrize(
    ("text", "words"), [("photo\nx.png\n", "no column 'image'"), ("image\n", "is empty"), ("", "CSV")]
)
def test_a_csv_that_names_no_photos_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        list_inputs(tmp_path / "list.csv")
