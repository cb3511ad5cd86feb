"""The package as a library: one import, a net by its name, and records of faces."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from small import frameworks_after

import keras_faceattr as kfa
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.data.synthetic import draw_scene, synthetic_photo
from keras_faceattr.errors import ConfigError, DataError, PhotoError
from keras_faceattr.evaluation.face import (
    AttributesAnswer,
    BinaryAnswer,
    Box,
    ClassAnswer,
    ScalarAnswer,
    VectorAnswer,
    answer_of,
)
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.net import Net
from keras_faceattr.tasks import (
    BinaryTask,
    CategoricalTask,
    EmbeddingTask,
    MultilabelTask,
    ScalarTask,
    Task,
)

HALF_A_JPEG = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()[:-40]

TASKS: dict[str, Task] = {
    "age": ScalarTask("age", 0, 2, 1, "years"),
    "mood": CategoricalTask("mood", ("happy", "sad")),
    "smile": BinaryTask("smile"),
    "worn": MultilabelTask("worn", ("hat", "scarf")),
    "vector": EmbeddingTask("vector", 3),
    "race": CategoricalTask("race", ("a", "b"), sensitive=True),
}


def said(images: np.ndarray) -> dict[str, np.ndarray]:
    """A net whose age is the mean pixel, and which always says the same of all else."""
    count = len(images)
    rows = {
        "age_distribution": [0.25, 0.5, 0.25],
        "mood": [0.3, 0.7],
        "smile": [0.5],
        "worn": [0.1, 0.9],
        "vector": [0.6, 0.0, 0.8],
        "race": [0.8, 0.2],
    }
    return {"age": images.mean(axis=(1, 2, 3)), **{name: np.tile(row, (count, 1)) for name, row in rows.items()}}


@pytest.fixture
def net() -> Net:
    """A net of `said` on whole photos."""
    return Net(Path("net.tflite"), TASKS, CropSpec(32), None, said)  # type: ignore[arg-type]


def test_the_import_takes_no_package_of_weight_and_little_time() -> None:
    code = (
        "import time, sys; begun = time.perf_counter(); import keras_faceattr; took = time.perf_counter() - begun; "
        "assert not {'numpy', 'cv2', 'keras', 'tensorflow', 'pandas'} & set(sys.modules); "
        "assert {'load', 'losses'} <= set(keras_faceattr.__all__) <= set(dir(keras_faceattr)); print(took)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Thirty times what it takes: this machine may be busy.
    assert float(done.stdout) < 1.0


def test_every_public_name_is_there_and_others_are_not() -> None:
    for name in kfa.__all__:
        assert getattr(kfa, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        kfa.lode  # noqa: B018


def test_a_file_answers_without_tensorflow_and_keras(exported: dict[str, Artifact], tmp_path: Path) -> None:
    photo = tmp_path / "face.png"
    assert cv2.imwrite(str(photo), synthetic_photo(3, 0, 70)[0][..., ::-1])
    path = exported["int8_qat"].path
    code = f"import keras_faceattr as kfa; assert kfa.load({str(path)!r}).predict({str(photo)!r})[0]['age'].value > 0"
    assert frameworks_after(code).endswith("[]")


def test_a_run_and_its_float_file_say_the_same(small_run: Path, exported: dict[str, Artifact]) -> None:
    photo = synthetic_photo(5, 1, 90)[0]
    (run,), (file,) = kfa.load(small_run).predict(photo), kfa.load(exported["float32"].path).predict(photo)
    assert run["age"].value == pytest.approx(file["age"].value, abs=1e-3)
    np.testing.assert_allclose(run["age"].distribution, file["age"].distribution, atol=1e-5)
    assert run["age"].distribution.sum() == pytest.approx(1.0, abs=1e-5)
    assert len(run["age"].bins) == 101


def test_every_kind_of_task_has_its_answer(net: Net) -> None:
    (face,) = net.predict(np.full((40, 50, 3), 7, np.uint8), tasks=list(TASKS))
    bins = np.array([0.0, 1.0, 2.0])
    assert face["age"] == ScalarAnswer(7.0, "years", pytest.approx(np.sqrt(0.5)), np.array([0.25, 0.5, 0.25]), bins)
    assert face["mood"] == ClassAnswer("sad", 0.7, {"happy": 0.3, "sad": 0.7})
    assert face["smile"] == BinaryAnswer(0.5)
    assert face["smile"].label is True
    assert face["worn"] == AttributesAnswer({"hat": 0.1, "scarf": 0.9})
    assert isinstance(face["vector"], VectorAnswer)
    np.testing.assert_array_equal(face["vector"].vector, [0.6, 0.0, 0.8])
    assert (face.box, face.points, face.score, face.number, face.image) == (None, None, None, 1, "")
    assert list(face) == list(TASKS)
    assert "ScalarAnswer(value=7.0, unit='years'" in repr(face)
    assert face.row() == {
        "image": "",
        "age": 7.0,
        "age_std": pytest.approx(np.sqrt(0.5)),
        "mood": "sad",
        "mood_probability": 0.7,
        "smile": 0.5,
        "worn.hat": 0.1,
        "worn.scarf": 0.9,
        "vector.0": 0.6,
        "vector.1": 0.0,
        "vector.2": 0.8,
        "race": "a",
        "race_probability": 0.8,
    }


def test_a_sensitive_task_is_answered_where_it_is_named(net: Net) -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    assert "race" not in net.predict(photo)[0]
    assert list(net.predict(photo, tasks=["race"])[0]) == ["race"]
    with pytest.raises(ConfigError, match="did you mean 'mood'"):
        net.predict(photo, tasks=["mod"])


def test_a_photo_may_be_given_in_any_way(net: Net, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)
    path = tmp_path / "photo.png"
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    data = path.read_bytes()
    ways = [path, str(path), data, bytearray(data), memoryview(data), pixels, PIL.Image.fromarray(pixels)]
    ages = [net.predict(way)[0]["age"].value for way in ways]
    assert ages == [ages[0]] * len(ways)
    assert [net.predict(way)[0].image for way in ways[:3]] == [str(path), str(path), ""]


def test_a_picture_of_pillow_is_turned_upright_as_its_file_is(net: Net, tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 200
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    seen: list[np.ndarray] = []

    def watched(images: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(images)
        return said(images)

    watching = Net(net.path, net.tasks, CropSpec(32, "whole_photo"), net.experiment, watched)
    watching.predict(stream.getvalue())
    watching.predict(PIL.Image.open(stream))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0][0, 0].mean() > 150 > 50 > seen[0][0, -1].mean()


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((8, 8, 3)), r"pixels are float64, not uint8 from 0 to 255: use \(photo \* 255\)\.round"),
        (np.full((8, 8, 3), 200.0), r"pixels are float64, not uint8 from 0 to 255: use photo\.round\(\)\.astype"),
        (np.full((8, 8, 3), -1.0), r"went from -1 to 1; use \(\(photo \+ 1\) \* 127\.5\)\.round"),
        (np.full((8, 8, 3), -7.0), "they go from -7 to -7; scale them to 0 to 255"),
        (np.full((8, 8, 3), np.nan), "some are not finite"),
        (np.full((8, 8, 3), 257 * 9, np.uint16), r"use \(photo // 257\)\.astype"),
        (np.ones((8, 8, 3), bool), r"use photo\.astype\('uint8'\) \* 255"),
        (np.full((8, 8, 3), "a"), "not uint8 from 0 to 255: give numbers"),
        (np.zeros((8, 8), np.uint8), r"an array 8 × 8 is grey: give it three equal channels"),
        (np.zeros((8, 8, 1), np.uint8), "an array 8 × 8 × 1 is grey"),
        (np.zeros((8, 8, 4), np.uint8), "has four channels: leave the last one out"),
        (np.zeros((3, 8, 8), np.uint8), r"has its channels first: use photo\.transpose\(1, 2, 0\)"),
        (np.zeros((8, 8, 2), np.uint8), r"an array 8 × 8 × 2 is no photo: give one of \(height, width, 3\)"),
        (PIL.Image.new("I;16", (8, 8), 500), r"the mode 'I;16' has more than 8 bits"),
        (PIL.Image.new("F", (8, 8), 0.5), "the mode 'F' has more than 8 bits"),
        (PIL.Image.new("RGB", (0, 8)), "a picture of Pillow has no pixels"),
        (lambda: PIL.Image.open(io.BytesIO(HALF_A_JPEG)), "a picture of Pillow cannot be decoded: image file is trunc"),
        (np.zeros((2, 8, 8, 3), np.uint8), "is several photos: give them one by one"),
        (np.zeros((0, 8, 3), np.uint8), "an array 0 × 8 × 3 has no pixels"),
        (7, "an object of the type int is no photo: give a path, bytes"),
        (None, "an object of the type NoneType is no photo"),
        (b"", "picture: the file is empty"),
        (b"no photo", "picture: not a photo"),
        ("nowhere.jpg", r"nowhere\.jpg: No such file"),
    ],
)
def test_what_is_no_photo_is_one_line(net: Net, photo, message: str) -> None:
    # A picture of Pillow that is opened late is decoded by `predict`.
    photo = photo() if callable(photo) else photo
    with pytest.raises(PhotoError, match=message) as caught:
        net.predict(photo)
    assert isinstance(caught.value, kfa.FaceAttrError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["f", "u2", "?"])
def test_what_is_said_of_pixels_of_another_type_gives_the_photo_back(net: Net, kind: str) -> None:
    """The line is followed to the letter: `photo.astype('uint8')` alone would wrap or cut off most of these."""
    right = synthetic_photo(3, 0, 40)[0]
    photo = {"f": right / 255, "u2": right.astype("uint16") * 257, "?": right > 127}[kind]
    with pytest.raises(PhotoError) as caught:
        net.predict(photo)
    found = eval(str(caught.value).rsplit("use ", 1)[1], {"photo": photo})
    np.testing.assert_array_equal(found, np.where(right > 127, 255, 0) if kind == "?" else right)


def test_blue_faces_in_an_array_are_noted_and_those_of_a_file_are_not(net: Net, tmp_path: Path) -> None:
    right = synthetic_photo(3, 0, 64)[0]
    blue = right.copy()
    blue[..., 0], blue[..., 2] = 60, 160
    with pytest.warns(UserWarning, match=r"if the array is BGR, as OpenCV reads it, give photo\[\.\.\., ::-1\]"):
        net.predict(blue, ready=True)
    path = tmp_path / "blue.png"
    assert cv2.imwrite(str(path), blue[..., ::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.predict(path, ready=True)
        net.predict(blue[..., ::-1], ready=True)
        # No face was looked for or found: a blue sky is no face.
        net.predict(blue)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (None, "NoneType is no folder"),
        ([np.zeros((8, 8, 3), np.uint8)], "takes paths, not ndarray"),
        ([b"x"], "not bytes"),
    ],
)
def test_what_is_no_path_is_refused_by_predict_many_in_one_line(net: Net, photos, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(net.predict_many(photos))


def test_one_task_may_be_named_without_a_list(net: Net) -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    assert net.predict(photo, tasks="smile")[0].answers.keys() == {"smile"}


def test_unknown_options_offer_the_valid_ones(net: Net) -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ConfigError, match="unknown tta 'flop'; did you mean 'flip'"):
        net.predict(photo, tta="flop")
    with pytest.raises(ConfigError, match="unknown face 'biggest'; valid: all, central, largest"):
        net.predict(photo, face="biggest")


def test_the_smallest_face_to_look_for_may_be_named(net: Net) -> None:
    photo, _ = draw_scene(11, 3, 240, 320)
    finding = Net(net.path, net.tasks, CropSpec(32, "face_box"), net.experiment, said)
    sizes = [face.box.right - face.box.left for face in finding.predict(photo)]
    assert sizes and [len(finding.predict(photo, min_face=size)) for size in (20, 230)] == [len(sizes), 0]
    with pytest.raises(ConfigError, match="min_face 5 is below the"):
        finding.predict(photo, min_face=5)
    with pytest.raises(ConfigError, match="min_face is for crops that look for faces"):
        net.predict(photo, min_face=40)
    with pytest.raises(ConfigError, match="min_face is for crops that look for faces"):
        net.predict_many(["a.jpg"], min_face=40)


def test_faces_of_a_photo_have_boxes_points_and_scores_in_its_pixels(net: Net) -> None:
    photo, _ = draw_scene(11, 3, 240, 320)
    looking = Net(net.path, net.tasks, CropSpec(32, "five_points"), net.experiment, said)
    faces = looking.predict(photo)
    assert faces
    face = faces[0]
    assert isinstance(face.box, Box)
    left, top, right, bottom = face.box
    assert left < face.points[0, 0] < face.points[1, 0] < right
    assert top < face.points[:2, 1].mean() < face.points[3:, 1].mean() < bottom
    assert 0.6 < face.score <= 1
    assert list(face.row())[:7] == ["image", "face", "left", "top", "right", "bottom", "face_score"]
    assert not looking.predict(np.full((64, 64, 3), 127, np.uint8))
    assert looking.predict(photo, face="largest") == faces[:1] or len(faces) > 1


def test_a_number_that_is_none_has_no_answer_and_empty_cells(net: Net) -> None:
    def broken(images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.full_like(values, np.nan) for name, values in said(images).items()}

    (face,) = Net(net.path, net.tasks, net.crop, net.experiment, broken).predict(np.zeros((32, 32, 3), np.uint8))
    assert face.without_answer == tuple(name for name in TASKS if name != "race")
    assert set(face.row().values()) == {"", None}
    with pytest.raises(KeyError, match="age: the net gave no number"):
        face["age"]


def test_the_mean_over_the_mirrored_crop_is_that_of_both(net: Net) -> None:
    def left(images: np.ndarray) -> dict[str, np.ndarray]:
        return {**said(images), "age": images[:, :, 0].mean(axis=(1, 2))}

    photo = np.zeros((32, 32, 3), np.uint8)
    photo[:, -1] = 100
    one = Net(net.path, net.tasks, net.crop, net.experiment, left)
    assert (one.predict(photo)[0]["age"].value, one.predict(photo, tta="flip")[0]["age"].value) == (0.0, 50.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """150 small photos, one of them no photo."""
    for number in range(150):
        assert cv2.imwrite(str(tmp_path / f"{number:03d}.png"), np.full((32, 32, 3), number, np.uint8))
    (tmp_path / "077.png").write_text("no photo")
    return tmp_path


def test_many_photos_come_in_order_and_those_left_out_are_named(net: Net, folder: Path) -> None:
    expected = [number for number in range(150) if number != 77]
    for photos in (folder, sorted(folder.iterdir()), map(str, sorted(folder.iterdir()))):
        found = net.predict_many(photos)
        faces = list(found)
        assert [face["age"].value for face in faces] == expected
        assert [Path(face.image).stem for face in faces] == [f"{number:03d}" for number in expected]
        assert len(found.left_out) == 1
        assert "077.png: not a photo" in found.left_out[0]


def test_a_table_of_predictions_has_the_columns_of_the_command(net: Net, folder: Path) -> None:
    table = net.predict_many(folder, tasks=["age", "mood"]).table()
    assert list(table) == ["image", "age", "age_std", "mood", "mood_probability"]
    assert len(table) == 149


def test_photos_are_read_as_they_are_asked_for(net: Net, folder: Path) -> None:
    asked: list[str] = []

    def endless():
        while True:
            for path in sorted(folder.iterdir()):
                asked.append(path.name)
                yield path

    found = net.predict_many(endless())
    for _ in range(10):
        next(found)
    assert len(asked) == 64


def test_several_processes_give_what_one_gives(exported: dict[str, Artifact], folder: Path) -> None:
    file = kfa.load(exported["int8_qat"].path)
    one, two = file.predict_many(folder), file.predict_many(folder, workers=2)
    assert [face.row() for face in two] == [face.row() for face in one]
    assert two.left_out == one.left_out
    with pytest.raises(ConfigError, match="workers 0 is no whole number from 1 on"):
        next(file.predict_many(folder, workers=0))
    with pytest.raises(kfa.FaceAttrError, match="no such photo, folder or CSV"):
        file.predict_many(folder / "nowhere")


def test_an_answer_learned_from_bands_tells_the_probability_of_each() -> None:
    task = ScalarTask("age", 0, 4, 1, "years", bands=((0, 1), (2, 4)))
    outputs = {"age": np.array([1.9]), "age_distribution": np.array([[0.3, 0.3, 0.0, 0.0, 0.4]])}
    answer = answer_of(task, outputs, 0)
    assert isinstance(answer, ScalarAnswer)
    assert answer.bands == pytest.approx({"0–1": 0.6, "2–4": 0.4})
    # The expectation, 1.9, lies next to the other band.
    assert answer.band == "0–1"
    plain = answer_of(ScalarTask("age", 0, 4, 1, "years"), outputs, 0)
    assert isinstance(plain, ScalarAnswer) and plain.band is None
