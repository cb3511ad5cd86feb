"""Batches: an order that (seed, epoch) alone decide, labels that belong to their photos, every photo evaluated once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from batches import training_batches

from keras_faceattr.config import AugmentationConfig
from keras_faceattr.data.crop_cache import Crops, LabelledCrops
from keras_faceattr.data.pipeline import epoch_order
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper

SIDE = 16


def labelled(count: int, offset: int = 0) -> LabelledCrops:
    """`count` photos, crop r all of value r; row i is crop `offset + i`, its labels 10 r, 1 and -r."""
    rows = np.arange(offset, offset + count)
    pixels = np.broadcast_to(
        np.arange(offset + count, dtype=np.uint8)[:, None, None, None], (offset + count, 16, 16, 3)
    )
    labels = {
        "age": np.stack([10.0 * rows, np.ones(count)], axis=1).astype("float32"),
        "smile": -rows[:, None].astype("float32"),
    }
    return LabelledCrops(
        Crops(
            Cropper(CropSpec(SIDE)), [Path()] * len(pixels), pixels, np.arange(len(pixels)), np.zeros(len(pixels), bool)
        ),
        labels,
        rows,
    )


def drawn(dataset: tf.data.Dataset) -> list[np.ndarray]:
    return [rows for rows, _, _ in dataset.as_numpy_iterator()]


@pytest.mark.parametrize(("count", "shard"), [(1, None), (100, None), (100, 16), (100, 100), (96, 16), (5, 1)])
def test_an_epoch_visits_every_photo_once(count: int, shard: int | None) -> None:
    assert sorted(epoch_order(count, 0, 0, shard)) == list(range(count))


def test_a_sharded_order_stays_within_a_shard_until_it_is_done() -> None:
    order = epoch_order(100, 0, 0, 16)
    of_shard = order // 16
    visited = of_shard[np.insert(np.diff(of_shard) != 0, 0, True)]
    assert sorted(visited) == list(range(7))
    assert visited.tolist() != sorted(visited)
    assert any(np.diff(order[of_shard == visited[0]]) != 1)


@pytest.mark.parametrize("shard", [None, 16])
def test_seed_and_epoch_alone_decide_the_order(shard: int | None) -> None:
    order = epoch_order(100, 3, 5, shard)
    np.testing.assert_array_equal(epoch_order(100, 3, 5, shard), order)
    assert not np.array_equal(epoch_order(100, 3, 6, shard), order)
    assert not np.array_equal(epoch_order(100, 4, 5, shard), order)


def test_rows_pictures_and_labels_of_a_batch_belong_together() -> None:
    batches = training_batches(labelled(12, offset=7), 4, None, seed=1, epoch=0)
    seen = 0
    for rows, images, labels in batches.as_numpy_iterator():
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, np.broadcast_to(rows[:, None, None, None], (len(rows), SIDE, SIDE, 3)))
        np.testing.assert_array_equal(labels["age"], np.stack([10 * rows, np.ones(len(rows))], axis=1))
        np.testing.assert_array_equal(labels["smile"], -rows[:, None])
        seen += len(rows)
    assert seen == 12


def test_batches_are_the_same_twice_whatever_runs_in_parallel() -> None:
    data, settings = labelled(40), AugmentationConfig(erase=0.5, zoom=0.1)
    one_thread = tf.data.Options()
    one_thread.threading.private_threadpool_size = 1
    batches = training_batches(data, 8, settings, seed=2, epoch=3)
    again = training_batches(data, 8, settings, seed=2, epoch=3)
    runs = [list(b.as_numpy_iterator()) for b in (batches, batches, again.with_options(one_thread))]
    assert len(runs[0]) == 5
    for other in runs[1:]:
        for (rows, images, labels), (other_rows, other_images, other_labels) in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(rows, other_rows)
            np.testing.assert_array_equal(images, other_images)
            np.testing.assert_array_equal(labels["age"], other_labels["age"])


def test_another_epoch_has_another_order_and_other_changes() -> None:
    data = labelled(8)
    settings = AugmentationConfig()
    first, second = (next(iter(training_batches(data, 8, settings, seed=2, epoch=e))) for e in (0, 1))
    assert first[0].numpy().tolist() != second[0].numpy().tolist()
    by_row = [images.numpy()[np.argsort(rows.numpy())] for rows, images, _ in (first, second)]
    assert np.abs(by_row[0] - by_row[1]).mean() > 0.1


def test_batches_of_one_epoch_draw_different_changes() -> None:
    data = labelled(4)
    # Both batches show all four photos.
    first, second = list(training_batches(data, 4, AugmentationConfig(), seed=0, epoch=0, steps=2).as_numpy_iterator())
    assert sorted(first[0]) == sorted(second[0]) == [0, 1, 2, 3]
    assert np.abs(first[1][np.argsort(first[0])] - second[1][np.argsort(second[0])]).mean() > 0.1


def test_without_augmentation_training_photos_are_the_crops() -> None:
    for rows, images, _ in training_batches(labelled(6), 3, None, seed=0, epoch=0).as_numpy_iterator():
        np.testing.assert_array_equal(images[:, 0, 0, 0], rows)


def test_an_epoch_leaves_out_what_does_not_fill_a_batch() -> None:
    batches = drawn(training_batches(labelled(11), 4, None, seed=0, epoch=0))
    assert [len(rows) for rows in batches] == [4, 4]
    assert len(set(np.concatenate(batches))) == 8


def test_more_steps_than_the_data_holds_go_round_again() -> None:
    rows = np.concatenate(drawn(training_batches(labelled(5), 2, None, seed=0, epoch=0, steps=6)))
    order = epoch_order(5, 0, 0)
    np.testing.assert_array_equal(rows, [*order, *order, *order[:2]])


def test_fewer_steps_end_the_epoch_early() -> None:
    batches = drawn(training_batches(labelled(20), 4, None, seed=0, epoch=0, steps=2))
    np.testing.assert_array_equal(np.concatenate(batches), epoch_order(20, 0, 0)[:8])


def test_data_smaller_than_a_batch_is_one_smaller_batch() -> None:
    [rows] = drawn(training_batches(labelled(3), 8, None, seed=0, epoch=0))
    assert sorted(rows) == [0, 1, 2]
    full = drawn(training_batches(labelled(3), 4, None, seed=0, epoch=0, steps=2))
    assert [len(batch) for batch in full] == [4, 4]


def test_photos_decoded_anew_make_the_same_batches_as_photos_in_memory(tmp_path: Path, tiny_photos) -> None:
    paths = [tmp_path / name for name in tiny_photos(tmp_path, 9)]
    spec, rows = CropSpec(SIDE), np.arange(9)
    crops = Crops(Cropper(spec), paths, None, np.arange(len(paths)), np.zeros(len(paths), bool))
    kept = dataclasses.replace(crops, pixels=crops.take(rows))
    labels = {"age": np.zeros((9, 2), "float32")}
    settings = AugmentationConfig()
    runs = [
        list(training_batches(LabelledCrops(c, labels, rows), 3, settings, seed=0, epoch=0).as_numpy_iterator())
        for c in (crops, kept)
    ]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_batches_have_static_shapes_for_compiled_training() -> None:
    rows, images, labels = training_batches(labelled(6), 3, None, seed=0, epoch=0).element_spec
    assert rows.shape.as_list() == [None]
    assert images.shape.as_list() == [None, SIDE, SIDE, 3]
    assert {name: spec.shape.as_list() for name, spec in labels.items()} == {"age": [None, 2], "smile": [None, 1]}
