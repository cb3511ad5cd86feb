"""Crops with a teacher's answers: about the very crop that a batch shows, asked along or stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_faceattr.config import AugmentationConfig
from keras_faceattr.data import teaching
from keras_faceattr.data.crop_cache import Crops, LabelledCrops
from keras_faceattr.data.pipeline import BatchFeed, BatchPlan, readable_photos
from keras_faceattr.data.targets import photo_weights
from keras_faceattr.data.teaching import Along, Answers, Stored, Subjects, Teaching, ask_all, stored_crops
from keras_faceattr.errors import ModelError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.tasks import BinaryTask, CategoricalTask

SIDE, COUNT, SEED, NAN = 16, 11, 5, float("nan")
TASKS = {"mood": CategoricalTask("mood", ("a", "b", "c")), "smile": BinaryTask("smile")}
SUBJECTS = Subjects({"mood": 3})
CHANGES = AugmentationConfig(flip=0.5, grey=0.2, jitter=0.3, erase=0.3)
Batch = tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]


def photos() -> LabelledCrops:
    """Photos whose `mood` is known of every other one; they are rows 2 and on of the crops."""
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT + 2, SIDE, SIDE, 3), np.uint8)
    files = [Path(f"{i}.png") for i in range(COUNT + 2)]
    crops = Crops(Cropper(CropSpec(SIDE)), files, pixels, np.arange(COUNT + 2), np.zeros(COUNT + 2, bool))
    mood = np.where(np.arange(COUNT) % 2, NAN, np.arange(COUNT) % 3)[:, None].astype("float32")
    labels = {"mood": mood, "smile": np.where(np.arange(COUNT) < 4, NAN, 1.0)[:, None].astype("float32")}
    return LabelledCrops(crops, labels, np.arange(2, COUNT + 2))


class Colours:
    """A teacher that tells the mean of each colour."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: np.ndarray) -> Answers:
        self.seen += len(images)
        return {"mood": images.mean(axis=(1, 2), dtype="float64").astype("float32")}


def batches(taught: Teaching | None, epoch: int, weights: dict[str, Any] | None = None) -> list[Batch]:
    feed = BatchFeed(BatchPlan(photos(), 4, seed=SEED), CHANGES, TASKS, weights, taught)
    return list(feed.batches(epoch, epoch + 1).as_numpy_iterator())


def stored(count: int = 2, **more: Any) -> Stored:
    settings = {"identity": "colours", "augmentation": CHANGES, "seed": SEED} | more
    teacher = settings.pop("teacher", None) or Colours()
    return ask_all(teacher, SUBJECTS, data=photos(), count=count, **settings)


def test_a_teacher_asked_along_answers_about_the_crops_of_a_training_without_one() -> None:
    along = batches(Along(Colours(), SUBJECTS, CHANGES, SEED), epoch=3)
    plain = batches(None, epoch=3)
    assert len(along) == len(plain) == 2
    for (images, labels, _), (own_images, own_labels, _) in zip(along, plain, strict=True):
        np.testing.assert_array_equal(images, own_images)
        np.testing.assert_array_equal(labels["mood"][:, :1], own_labels["mood"])
        np.testing.assert_allclose(labels["mood"][:, 1:], images.mean(axis=(1, 2)), rtol=1e-5)
        np.testing.assert_array_equal(labels["smile"], own_labels["smile"])


def test_stored_answers_are_about_the_crops_that_the_epochs_go_round_through(own_cache: Path) -> None:
    epochs = [batches(stored(count=2), epoch) for epoch in range(4)]
    by_photo: list[dict[int, np.ndarray]] = [{} for _ in epochs]
    plan = BatchPlan(photos(), 4, seed=SEED)
    for epoch, shown in enumerate(epochs):
        for step, (images, labels, _) in enumerate(shown):
            # The very answer that the teacher gives when it is asked along.
            np.testing.assert_allclose(labels["mood"][:, 1:], Colours()(images)["mood"], rtol=1e-5)
            by_photo[epoch] |= dict(zip(plan.places(epoch, step).tolist(), images, strict=True))
    twice = [place for place in by_photo[0] if place in by_photo[2]]
    assert twice
    for place in twice:
        np.testing.assert_array_equal(by_photo[0][place], by_photo[2][place])
    other = [place for place in by_photo[0] if place in by_photo[1]]
    assert other and all((by_photo[0][place] != by_photo[1][place]).any() for place in other)


def test_seed_photo_and_number_alone_decide_a_stored_crop() -> None:
    data = photos()
    crops = data.crops.take(data.rows)
    places = np.arange(COUNT)
    whole = stored_crops(crops, places, 1, CHANGES, SEED)
    some = np.array([7, 2])
    np.testing.assert_array_equal(stored_crops(crops[some], some, 1, CHANGES, SEED), whole[some])
    assert (stored_crops(crops, places, 0, CHANGES, SEED) != whole).any(axis=(1, 2, 3)).all()
    assert (stored_crops(crops, places, 1, CHANGES, SEED + 1) != whole).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(stored_crops(crops, places, 1, None, SEED), crops.astype("float32"))


def test_a_teacher_is_asked_once_and_tells_how_far_it_is(own_cache: Path) -> None:
    teacher, told = Colours(), []
    first = stored(3, teacher=teacher, progress=lambda done, total: told.append((done, total)))
    assert teacher.seen == 3 * COUNT and told == [(COUNT, COUNT)]
    again = stored(3, teacher=lambda images: pytest.fail("the teacher was asked again"))
    np.testing.assert_array_equal(again.answers, first.answers)
    assert first.answers.shape == (COUNT, 3, 3)


def test_another_teacher_seed_or_augmentation_has_answers_of_its_own(own_cache: Path) -> None:
    for more in ({}, {"identity": "others"}, {"seed": 6}, {"augmentation": None}, {"count": 1}):
        stored(**more)
    assert len(list((own_cache / "teachers").glob("*.npy"))) == 5


def test_answers_about_crops_that_are_drawn_otherwise_now_are_not_used(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored().answers
    original = teaching.augment
    monkeypatch.setattr(teaching, "augment", lambda *given: 255 - original(*given))
    np.testing.assert_allclose(stored().answers, 255 - before, rtol=1e-4)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:90], lambda data: b"no numbers"])
def test_damaged_answers_are_asked_for_again(own_cache: Path, damage: Any) -> None:
    expected = np.array(stored().answers)
    (path,) = (own_cache / "teachers").glob("*.npy")
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(stored().answers, expected)


def test_photos_count_that_have_a_label_or_an_answer_and_class_weights_multiply_them() -> None:
    def half(images: np.ndarray) -> Answers:
        said = Colours()(images)["mood"]
        said[::2] = NAN
        return {"mood": said}

    (_, labels, weights), _ = batches(Along(half, SUBJECTS, CHANGES, SEED), 0, {"mood": {"a": 3.0}})
    known = ~np.isnan(labels["mood"])
    counts = (known[:, 0] | known[:, 1]).astype("float32")
    assert 0 < known[:, 0].sum() < 4 and counts.sum() > known[:, 1].sum()
    factors = np.where(labels["mood"][:, 0] == 0, 3.0, 1.0)
    np.testing.assert_allclose(weights["mood"], factors * counts * 4 / counts.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights["smile"], photo_weights(~np.isnan(labels["smile"][:, 0])), rtol=1e-6)


def test_feature_maps_travel_under_their_own_name_and_every_photo_counts() -> None:
    def mapped(images: np.ndarray) -> Answers:
        return {**Colours()(images), "features.0": images[:, ::8, ::8]}

    subjects = Subjects({"mood": 3}, {"features.0": (2, 2, 3)})
    (images, labels, weights), _ = batches(Along(mapped, subjects, CHANGES, SEED), 0)
    np.testing.assert_array_equal(labels["features.0"], images[:, ::8, ::8])
    assert weights["features.0"].tolist() == [1, 1, 1, 1]


def test_a_teacher_that_fails_within_the_pipeline_is_one_line() -> None:
    def broken(images: np.ndarray) -> Answers:
        raise ModelError("teacher x: its answer for mood is no number: choose another teacher")

    with pytest.raises(ModelError, match="teacher x: its answer for mood is no number") as error, readable_photos():
        batches(Along(broken, SUBJECTS, CHANGES, SEED), 0)
    assert "\n" not in str(error.value)
