"""Outputs of all photos of a split, once each and in order, and their average with the mirrored photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_faceattr.data.crop_cache import Crops, LabelledCrops
from keras_faceattr.evaluation.predictions import (
    keras_predictor,
    predict_split,
    prediction_columns,
    with_augmentation,
)
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.tasks import CategoricalTask

SIDE = 16


def crops(count: int, offset: int) -> LabelledCrops:
    """Photos whose left half is their own number, and whose right half is 0; rows start at `offset`."""
    pixels = np.zeros((count + offset, SIDE, SIDE, 3), np.uint8)
    pixels[:, :, : SIDE // 2] = np.arange(count + offset)[:, None, None, None]
    paths = [Path(str(i)) for i in range(count + offset)]
    rows = np.arange(offset, count + offset)
    return LabelledCrops(
        Crops(Cropper(CropSpec(SIDE)), paths, pixels, np.arange(len(pixels)), np.zeros(len(pixels), bool)), {}, rows
    )


def left_corner(images: np.ndarray) -> dict[str, np.ndarray]:
    assert images.dtype == np.float32
    return {"left": images[:, 0, 0, 0]}


@pytest.mark.parametrize("count", [1, 3, 8, 10])
def test_every_photo_is_predicted_once_and_in_order(count: int) -> None:
    outputs = predict_split(left_corner, crops(count, 2), batch_size=4)
    np.testing.assert_array_equal(outputs["left"], np.arange(2, count + 2))


class Traced:
    """A stand-in for a Keras model, which is traced anew for each size of a batch."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict_on_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.sizes.append(len(images))
        return {"mean": images.mean(axis=(1, 2, 3))}


def test_a_keras_model_sees_batches_of_a_few_sizes_alone() -> None:
    model = Traced()
    predictor = keras_predictor(model)  # type: ignore[arg-type]
    for count in range(1, 65):
        images = np.arange(count, dtype="float32")[:, None, None, None] * np.ones((1, 2, 2, 3), "float32")
        np.testing.assert_array_equal(predictor(images)["mean"], np.arange(count))
    assert set(model.sizes) == {1, 2, 4, 8, 16, 32, 64}


def test_flip_averages_with_the_mirrored_photo() -> None:
    data = crops(5, 10)
    plain = predict_split(with_augmentation(left_corner, "none"), data)["left"]
    averaged = predict_split(with_augmentation(left_corner, "flip"), data)["left"]
    np.testing.assert_array_equal(averaged, plain / 2)


def test_a_class_of_no_number_is_an_empty_cell_and_not_the_first_class() -> None:
    values = np.array([[0.2, 0.8], [np.nan, np.nan], [0.9, np.nan]])
    columns = prediction_columns(CategoricalTask("mood", ("happy", "sad")), values)
    assert list(columns["mood_predicted"]) == ["sad", None, None]
    np.testing.assert_array_equal(columns["mood_probability"], [0.8, np.nan, np.nan])
