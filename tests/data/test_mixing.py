"""Batches from several data sets: each source has its share, whatever the sources' sizes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from batches import training_batches, with_rows

from keras_faceattr.config import SourceConfig
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.crop_cache import Crops, LabelledCrops
from keras_faceattr.data.mixing import mixed_order, source_weights
from keras_faceattr.data.pipeline import batch_feed
from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper

SIDE = 16


def shares(*weights: float) -> np.ndarray:
    return np.array(weights) / sum(weights)


def source_of(*sizes: int) -> np.ndarray:
    """Numbers of sources of these sizes, shuffled, so that a position does not tell its source."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


def counts(source: np.ndarray, order: np.ndarray, size: int, sources: int) -> np.ndarray:
    """(batches, sources) photos of each source in each batch."""
    return np.stack([np.bincount(source[batch], minlength=sources) for batch in order.reshape(-1, size)])


def labelled(source: np.ndarray) -> LabelledCrops:
    """Photo r is all of value r."""
    rows = np.arange(len(source))
    pixels = np.broadcast_to(rows.astype(np.uint8)[:, None, None, None], (len(rows), SIDE, SIDE, 3))
    crops = Crops(Cropper(CropSpec(SIDE)), [Path()] * len(rows), pixels, rows, np.zeros(len(rows), bool))
    return LabelledCrops(crops, {"age": rows[:, None].astype("float32")}, rows, source)


@pytest.mark.parametrize("weight", [1, 2, 3, 7, 30])
def test_any_stretch_of_two_sources_is_within_one_photo_of_its_shares(weight: int) -> None:
    source, weights = source_of(50, 20), shares(weight, 3)
    taken = source[mixed_order(source, weights, 8, 25, seed=0, epoch=0)]
    passed = np.insert(np.cumsum(taken == 0), 0, 0)
    for start in range(len(passed)):
        stretches = np.arange(len(passed) - start)
        assert (np.abs(passed[start:] - passed[start] - weights[0] * stretches) < 1 + 1e-9).all()


@pytest.mark.parametrize("weights", [(5, 3, 2), (8, 1, 1), (20, 20, 10, 5, 5, 1), (1, 1, 1, 1)])
def test_after_each_batch_each_source_is_within_one_photo_of_its_share(weights: tuple[int, ...]) -> None:
    source = source_of(*(10 * (i + 1) for i in range(len(weights))))
    order = mixed_order(source, shares(*weights), 16, 40, seed=0, epoch=0)
    passed = counts(source, order, 16, len(weights)).cumsum(axis=0)
    assert (np.abs(passed - 16 * np.arange(1, 41)[:, None] * shares(*weights)) < 1).all()


@pytest.mark.parametrize("weights", [(3, 1), (2, 1, 1), (10, 3, 2, 1)])
def test_shares_that_are_whole_photos_are_met_by_every_batch(weights: tuple[int, ...]) -> None:
    source = source_of(*(7 * (i + 1) for i in range(len(weights))))
    order = mixed_order(source, shares(*weights), 16, 30, seed=1, epoch=2)
    np.testing.assert_array_equal(counts(source, order, 16, len(weights)), [16 * shares(*weights)] * 30)


def test_every_batch_of_three_sources_is_within_two_photos_of_its_shares() -> None:
    source, weights = source_of(30, 30, 30), shares(1, 10, 10)
    order = mixed_order(source, weights, 8, 60, seed=0, epoch=0)
    assert (np.abs(counts(source, order, 8, 3) - 8 * weights) < 2).all()


def test_any_beginning_of_six_sources_is_within_one_photo_of_its_shares() -> None:
    source, weights = source_of(*[30] * 6), shares(1, 20, 20, 1, 1, 1.5)
    taken = source[mixed_order(source, weights, 8, 60, seed=0, epoch=0)]
    passed = np.cumsum(taken[:, None] == np.arange(6), axis=0)
    assert (np.abs(passed - np.arange(1, 481)[:, None] * weights) < 1).all()


def test_seed_and_epoch_alone_decide_the_order() -> None:
    source, weights = source_of(40, 12), shares(1, 1)
    order = mixed_order(source, weights, 8, 6, seed=3, epoch=5)
    np.testing.assert_array_equal(mixed_order(source, weights, 8, 6, seed=3, epoch=5), order)
    for seed, epoch in ((4, 5), (3, 6)):
        assert not np.array_equal(mixed_order(source, weights, 8, 6, seed, epoch), order)


def test_another_epoch_shows_other_photos_of_a_large_source() -> None:
    source = source_of(1000, 10)
    shown = [set(mixed_order(source, shares(1, 1), 10, 8, 0, epoch)) for epoch in range(20)]
    large = [{photo for photo in photos if source[photo] == 0} for photos in shown]
    assert all(len(photos) == 40 for photos in large)
    assert all(first != second for first, second in pairwise(large))
    # Of 1000 photos, 20 draws of 40 miss 0.96^20 = 44 %.
    assert len(set().union(*large)) == pytest.approx(1000 * (1 - 0.96**20), rel=0.1)


def test_a_small_source_is_gone_through_wholly_before_it_repeats_and_each_time_in_another_order() -> None:
    source = source_of(500, 7)
    order = mixed_order(source, shares(1, 1), 10, 14, seed=0, epoch=0)
    rounds = order[source[order] == 1].reshape(10, 7)
    for photos in rounds:
        assert sorted(photos) == np.flatnonzero(source == 1).tolist()
    assert len({tuple(photos) for photos in rounds}) > 5


def test_a_source_without_train_photos_leaves_its_share_to_the_others() -> None:
    source = source_of(20, 0, 10)
    order = mixed_order(source, shares(3, 5, 1), 8, 10, seed=0, epoch=0)
    np.testing.assert_array_equal(counts(source, order, 8, 3), [[6, 0, 2]] * 10)


def test_weights_become_shares_and_none_are_none() -> None:
    def given(*weights: float | None) -> list[SourceConfig]:
        return [SourceConfig(reader="csv_file", weight=weight) for weight in weights]

    assert source_weights(given(None, None)) is None
    np.testing.assert_allclose(source_weights(given(3, 1)), [0.75, 0.25])


def test_weights_of_some_sources_only_are_an_error_that_names_the_source_without() -> None:
    sources = [SourceConfig(reader="utkface", weight=2), SourceConfig(reader="fer2013")]
    with pytest.raises(ConfigError, match=r"data\.sources\.1\.weight: fer2013 has none.*give it to all") as error:
        source_weights(sources)
    assert "\n" not in str(error.value)


def test_batches_hold_the_sources_in_their_shares_with_pictures_and_labels_of_their_own() -> None:
    source = source_of(60, 5)
    batches = training_batches(labelled(source), 8, None, seed=0, epoch=0, weights=shares(1, 1))
    seen = 0
    for rows, images, labels in batches.as_numpy_iterator():
        assert np.bincount(source[rows]).tolist() == [4, 4]
        np.testing.assert_array_equal(images[:, 0, 0, 0], rows)
        np.testing.assert_array_equal(labels["age"][:, 0], rows)
        seen += 1
    assert seen == 65 // 8


@pytest.mark.parametrize(("count", "steps", "expected"), [(5, None, [8]), (5, 3, [8] * 3), (40, 2, [8] * 2)])
def test_mixed_batches_are_always_full(count: int, steps: int | None, expected: list[int]) -> None:
    data = labelled(source_of(count - 2, 2))
    batches = training_batches(data, 8, None, seed=0, epoch=0, steps=steps, weights=shares(1, 1))
    assert [len(rows) for rows, _, _ in batches.as_numpy_iterator()] == expected


def test_without_weights_each_photo_is_shown_once() -> None:
    batches = training_batches(labelled(source_of(30, 10)), 8, None, seed=0, epoch=0)
    assert sorted(np.concatenate([rows for rows, _, _ in batches.as_numpy_iterator()])) == list(range(40))


@pytest.mark.parametrize(("weight", "expected"), [(7, [7, 1]), (1, [4, 4])])
def test_an_experiments_weights_are_those_of_its_epochs(weight: int, expected: list[int]) -> None:
    sources = [{"reader": "synthetic", "weight": weight}, {"reader": "csv_file", "weight": 1}]
    plain = {"name": "mine", "data": {"sources": sources, "augmentation": None}, "tasks": {"age": {}}}
    experiment = parse_experiment({**plain, "training": {"batch_size": 8, "steps_per_epoch": 5}}, "test")
    source = source_of(20, 20)
    batches = [rows for rows, _, _ in with_rows(batch_feed(experiment, labelled(source), {}), 0).as_numpy_iterator()]
    assert [np.bincount(source[rows]).tolist() for rows in batches] == [expected] * 5
