"""Vectors of a teacher: those that it gives by itself, once, of the crop that it wants to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_faceattr.config import CropConfig, Experiment, TeacherConfig
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data import teacher
from keras_faceattr.data.crop_cache import load_crops
from keras_faceattr.data.manifest import Source, build_manifest, concatenate
from keras_faceattr.data.prepare import prepare, read_manifest
from keras_faceattr.errors import ArtifactError, ConfigError, FaceAttrError, PhotoError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.tasks import EmbeddingTask

SIDE, DIMENSION, COUNT = 16, 5, 10
SPLIT = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
WEIGHTS = np.random.default_rng(0).normal(size=(12, DIMENSION)).astype("float32")
WHOLE = {"method": "whole_photo", "size": SIDE}
CENTRE = {"method": "centre_square", "size": SIDE}


def write_teacher(path: Path, weights: np.ndarray = WEIGHTS) -> Path:
    """Mean colours of the four quarters of a photo, times weights."""
    module = tf.Module()
    module.call = tf.function(
        lambda x: tf.matmul(tf.reshape(tf.nn.avg_pool2d(x, SIDE // 2, SIDE // 2, "VALID"), [1, 12]), weights),
        input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    path.write_bytes(converter.convert())
    return path


def said_by_hand(crops: np.ndarray, shift: float = 0.0, divisor: float = 255.0) -> np.ndarray:
    quarters = crops.astype("float64").reshape(-1, 2, SIDE // 2, 2, SIDE // 2, 3).mean(axis=(2, 4))
    return (quarters.reshape(-1, 12) - shift) / divisor @ WEIGHTS


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher") / "net.tflite")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A csv of wide photos: black on the left, a colour of their own in the middle square, white on the right."""
    for i in range(COUNT):
        photo = np.full((SIDE, 3 * SIDE, 3), 255, np.uint8)
        photo[:, :SIDE], photo[:, SIDE : 2 * SIDE] = 0, colour(i)[::-1]
        cv2.imwrite(str(tmp_path / f"{i}.png"), photo)
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(COUNT)], "split": SPLIT})
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "labels.csv"


def colour(i: int) -> tuple[int, int, int]:
    return 20 * i, 7 * i + 3, 255 - 9 * i


def experiment(csv: Path, net: Path | None, crop: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    teacher = {"path": str(net), "crop": crop, "scale": changes.pop("scale", "zero_one")} if net else None
    plain = {
        "name": "mine",
        "data": {"sources": [{"reader": "csv_file", "path": str(csv)}], "crop": WHOLE, **changes.pop("data", {})},
        "tasks": {"copy": {"kind": "embedding", "teacher": teacher}, **changes},
    }
    return parse_experiment(plain, "test")


def test_labels_are_what_the_teacher_says_of_the_pupils_crops(photos: Path, net: Path) -> None:
    data = prepare(experiment(photos, net), ("train", "val", "test"))
    assert data.tasks == {"copy": EmbeddingTask("copy", DIMENSION)}
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 6, "val": 2, "test": 2}
    for part in data.parts.values():
        labels = part.labels["copy"]
        assert labels.dtype == np.float32
        np.testing.assert_allclose(labels, said_by_hand(part.crops.take(part.rows)), rtol=1e-4, atol=1e-5)
    assert len(np.unique(data.parts["train"].labels["copy"], axis=0)) == 6


def test_the_teacher_sees_pixels_in_its_scale(photos: Path, net: Path) -> None:
    part = prepare(experiment(photos, net, scale="minus_one_one"), ("train",)).parts["train"]
    expected = said_by_hand(part.crops.take(part.rows), 127.5, 127.5)
    np.testing.assert_allclose(part.labels["copy"], expected, rtol=1e-4, atol=1e-5)


def test_the_teacher_may_see_another_crop_than_the_pupil(photos: Path, net: Path) -> None:
    data = prepare(experiment(photos, net, CENTRE), ("train", "val"))
    for name, first in (("train", 0), ("val", 6)):
        part = data.parts[name]
        # The pupil sees the black and the white sides, the teacher the colour in the middle alone.
        seen = part.crops.take(part.rows)
        assert (seen[:, :, 0] == 0).all() and (seen[:, :, -1] == 255).all()
        plain = np.stack([np.broadcast_to(colour(first + i), (SIDE, SIDE, 3)) for i in range(len(part))])
        np.testing.assert_allclose(part.labels["copy"], said_by_hand(plain), rtol=1e-4, atol=1e-5)


def failing(*names: str) -> Any:
    """`Cropper.crop` that finds nothing in the middle of these photos."""
    original = Cropper.crop

    def crop(self: Cropper, path: Path, ready: bool = False) -> np.ndarray:
        if self.spec.method == "centre_square" and path.name in names:
            raise PhotoError(f"{path}: no face found")
        return original(self, path, ready)

    return crop


def test_photos_whose_crop_the_teacher_cannot_see_have_no_label(
    photos: Path, net: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cropper, "crop", failing("0.png", "3.png", "4.png"))
    for _ in range(2):  # Computed, and then from the cache.
        part = prepare(experiment(photos, net, CENTRE), ("train",)).parts["train"]
        labels, blind = part.labels["copy"], [True, False, False, True, True, False]
        np.testing.assert_array_equal(np.isnan(labels), np.repeat(np.array(blind)[:, None], DIMENSION, 1))
        plain = np.stack([np.broadcast_to(colour(i), (SIDE, SIDE, 3)) for i in (1, 2, 5)])
        np.testing.assert_allclose(labels[[1, 2, 5]], said_by_hand(plain), rtol=1e-4, atol=1e-5)


def test_a_teacher_that_can_see_no_photo_at_all_is_an_error_of_one_line(
    photos: Path, net: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cropper, "crop", failing(*(f"{i}.png" for i in range(COUNT))))
    with pytest.raises(FaceAttrError) as error:
        prepare(experiment(photos, net, CENTRE), ("train",))
    assert "\n" not in str(error.value)


def test_vectors_are_computed_once(photos: Path, net: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(experiment(photos, net), ("train",)).parts["train"].labels["copy"]
    [stored] = (own_cache / "teachers").iterdir()
    monkeypatch.setattr(teacher, "open_teacher", lambda config: pytest.fail("the teacher was asked again"))
    again = prepare(experiment(photos, net), ("train",)).parts["train"].labels["copy"]
    np.testing.assert_array_equal(again, first)
    assert [stored] == list((own_cache / "teachers").iterdir())


def test_another_teacher_scale_crop_or_photo_has_vectors_of_its_own(
    photos: Path, net: Path, own_cache: Path, tmp_path: Path
) -> None:
    other = write_teacher(tmp_path / "net.tflite", 2 * WEIGHTS)

    def labels(*settings: Any, **more: Any) -> np.ndarray:
        return prepare(experiment(photos, *settings, **more), ("train",)).parts["train"].labels["copy"]

    first = labels(net)
    np.testing.assert_allclose(labels(other), 2 * first, rtol=1e-5)
    np.testing.assert_allclose(labels(net, scale="raw"), 255 * first, rtol=1e-4)
    assert not np.allclose(labels(net, CENTRE), first)
    assert len(list((own_cache / "teachers").iterdir())) == 4
    cv2.imwrite(str(photos.parent / "0.png"), np.full((20, 20, 3), 77, np.uint8))
    changed = labels(net)
    np.testing.assert_allclose(changed[0], said_by_hand(np.full((1, SIDE, SIDE, 3), 77))[0], rtol=1e-4)
    np.testing.assert_array_equal(changed[1:], first[1:])


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:150], lambda data: b"no numbers"])
def test_damaged_vectors_in_the_cache_are_computed_again(photos: Path, net: Path, own_cache: Path, damage) -> None:
    first = prepare(experiment(photos, net), ("train",)).parts["train"].labels["copy"]
    [stored] = (own_cache / "teachers").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(damage(whole))
    again = prepare(experiment(photos, net), ("train",)).parts["train"].labels["copy"]
    np.testing.assert_array_equal(again, first)
    assert stored.read_bytes() == whole


BEAUTY = {"kind": "scalar", "minimum": 0, "maximum": 10, "step": 1}


def test_the_teacher_labels_beside_other_tasks(photos: Path, net: Path) -> None:
    table = pd.read_csv(photos)
    table.assign(beauty=range(COUNT)).to_csv(photos, index=False)
    part = prepare(experiment(photos, net, beauty=BEAUTY), ("train",)).parts["train"]
    assert part.labels["beauty"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(part.labels["copy"], said_by_hand(part.crops.take(part.rows)), rtol=1e-4, atol=1e-5)


def test_photos_that_only_the_teacher_labels_are_learned_too(photos: Path, net: Path) -> None:
    table = pd.read_csv(photos)
    table.assign(beauty=[None, *range(1, COUNT)]).to_csv(photos, index=False)
    data = prepare(experiment(photos, net, beauty=BEAUTY, data={"max_bad_share": 0.5}), ("train",))
    np.testing.assert_array_equal(data.parts["train"].labels["beauty"][:, 0], [np.nan, 1, 2, 3, 4, 5])
    assert not np.isnan(data.parts["train"].labels["copy"]).any()


def test_a_photo_of_two_sources_is_labelled_in_both(photos: Path, net: Path) -> None:
    rows = pd.DataFrame({"image": [f"{i}.png" for i in range(3)]})
    both = concatenate([build_manifest(Source(name, photos.parent), rows, []) for name in ("first", "second")])
    crops, both = load_crops(both, CropSpec(SIDE, "whole_photo"), "memory")
    config = TeacherConfig(path=str(net), crop=CropConfig(**CENTRE), scale="zero_one")
    plain = np.stack([np.broadcast_to(colour(i), (SIDE, SIDE, 3)) for i in (0, 1, 2, 0, 1, 2)])
    np.testing.assert_allclose(teacher.teacher_vectors(config, both, crops), said_by_hand(plain), rtol=1e-4, atol=1e-5)


def test_a_task_without_a_teacher_asks_for_one(photos: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.copy: whose vectors\? set tasks\.copy\.teacher\.path") as error:
        read_manifest(experiment(photos, None))
    assert "\n" not in str(error.value)


def test_files_that_are_no_teacher_are_refused(photos: Path, net: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.tflite"
    text.write_text("no net at all")
    half = tmp_path / "half.tflite"
    half.write_bytes(net.read_bytes()[: net.stat().st_size // 2])
    for path, line in (
        (tmp_path / "none.tflite", r"none\.tflite: no such file; give the path of a \.tflite file"),
        (text, r"text\.tflite: not a TFLite file"),
        (half, r"half\.tflite: the file is damaged or truncated"),
    ):
        with pytest.raises(ArtifactError, match=line) as error:
            prepare(experiment(photos, path), ("train",))
        assert "\n" not in str(error.value)


def test_a_teacher_that_does_not_tell_its_scale_is_asked_for_it(photos: Path, net: Path) -> None:
    with pytest.raises(ConfigError, match="does not tell how pixels are scaled"):
        read_manifest(experiment(photos, net, scale="auto"))
