"""From crops and labels to batches, by tf.data: shuffled, augmented, prefetched, the same for a seed everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_faceattr.config import AugmentationConfig, Experiment
from keras_faceattr.data.augmentation import augment
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.mixing import mixed_order, people_order, source_weights
from keras_faceattr.errors import ConfigError, DataError

SHARD = 1 << 16
"""A large set is shuffled within this many photos at a time, which keeps reads from a disk close together.

Wherever its crops lie: free memory, which chooses that, must not decide the order."""

PREFETCH = 4


def epoch_order(count: int, seed: int, epoch: int, shard: int | None = None) -> np.ndarray:
    """(count,) order in which an epoch visits the photos.

    Args:
        shard: shuffles the shards of this length, and within each; None shuffles all at once.
    """
    rng = np.random.default_rng([seed, epoch])
    if shard is None or shard >= count:
        return rng.permutation(count)
    starts = rng.permutation(np.arange(0, count, shard))
    return np.concatenate([start + rng.permutation(min(shard, count - start)) for start in starts])


def training_batches(
    data: LabelledCrops,
    batch_size: int,
    augmentation: AugmentationConfig | None,
    *,
    seed: int,
    epoch: int,
    steps: int | None = None,
    weights: np.ndarray | None = None,
    people: tuple[str, int] | None = None,
) -> tf.data.Dataset:
    """Batches of one epoch, in an order and with augmentations that (seed, epoch) alone decide.

    Args:
        steps: batches of the epoch; more than the data holds go round again. None: as many as are whole.
        weights: (sources,) share of each data set in every batch; None to visit each photo once.
        people: name of a task of identities, and how many photos of each person a batch holds.

    Returns:
        Batches `(rows (b,), images (b, side, side, 3) float32 0–255, {task: labels (b, width)})`; each is full, except
        where the data is smaller than one batch.
    """
    whole = steps or max(1, len(data) // batch_size)
    if people is not None:
        order = people_order(data.labels[people[0]][:, 0], people[1], batch_size, whole, seed, epoch)
    elif weights is not None and data.sources is not None:
        order = mixed_order(data.sources, weights, batch_size, whole, seed, epoch)
    else:
        order = epoch_order(len(data), seed, epoch, SHARD)
        order = np.resize(order, whole * batch_size) if len(order) >= batch_size or steps else order
    batches = tf.data.Dataset.from_tensor_slices(order.astype("int64")).batch(batch_size)

    def change(step: int, images: np.ndarray) -> np.ndarray:
        return augment(images, augmentation, (seed, epoch, step)) if augmentation else images.astype("float32")

    batches = batches.enumerate().map(
        lambda step, places: _gather(data, step, places, change),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return _prefetched(batches)


def epoch_batches(experiment: Experiment, data: LabelledCrops, epoch: int) -> tf.data.Dataset:
    """Batches of one epoch of an experiment, as of `training_batches`."""
    training, people = experiment.training, people_in_batches(experiment)
    if people and people[0] not in data.labels:
        people = None  # An export may have left this task out.
    return training_batches(
        data,
        training.batch_size,
        experiment.data.augmentation,
        seed=experiment.seed,
        epoch=epoch,
        steps=training.steps_per_epoch,
        weights=source_weights(experiment.data.sources),
        people=people,
    )


def people_in_batches(experiment: Experiment) -> tuple[str, int] | None:
    """The task of identities of which batches are made, and how many photos of each person they hold.

    Raises:
        ConfigError: no task knows who is on a photo, photos of other sources would be left out, or triplets would be
            left to chance.
    """
    count = experiment.training.photos_per_person
    names = [name for name, task in experiment.tasks.items() if task.kind == "identity"]
    if count is None:
        triplets = [name for name in names if experiment.tasks[name].method == "triplet"]
        if triplets:
            raise ConfigError(f"tasks.{triplets[0]}.method triplet: set training.photos_per_person, such as 4")
        return None
    if not names or count > experiment.training.batch_size // 2:
        raise ConfigError(
            f"training.photos_per_person {count}: needs a task of kind identity, and batches of two people or more"
        )
    if len(experiment.data.sources) > 1 or len(experiment.tasks) > 1:
        raise ConfigError("training.photos_per_person: batches of people are for one source and one task")
    return names[0], count


def iterate(batches: tf.data.Dataset) -> Iterator[Any]:
    """The batches; a photo that can no longer be read is the user's error, not TensorFlow's.

    Raises:
        DataError: naming the photo.
    """
    try:
        yield from batches
    except tf.errors.OpError as error:
        match = re.search(r"PhotoError: (.*)", str(error))
        if match is None:
            raise
        raise DataError(f"{match[1]}; it could be read when the run started") from None


def _gather(
    data: LabelledCrops, step: Any, places: Any, change: Callable[[int, np.ndarray], np.ndarray]
) -> tuple[Any, Any, dict[str, Any]]:
    """Rows, changed crops and labels at places, inside tf.data."""
    names = list(data.labels)

    def take(step: np.int64, at: np.ndarray) -> list[np.ndarray]:
        rows = data.rows[at]
        return [rows, change(int(step), data.crops.take(rows)), *(data.labels[name][at] for name in names)]

    types = [tf.int64, tf.float32, *(tf.float32 for _ in names)]
    rows, images, *labels = tf.numpy_function(take, [step, places], types, stateful=False)
    size = data.crops.spec.size
    rows.set_shape([None])
    images.set_shape([None, size, size, 3])
    for name, label in zip(names, labels, strict=True):
        label.set_shape([None, data.labels[name].shape[1]])
    return rows, images, dict(zip(names, labels, strict=True))


def _prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Data threads on every core would interrupt the training step, which waits for its slowest core.
    options.threading.private_threadpool_size = max(1, (os.cpu_count() or 1) // 2)
    dataset = dataset.prefetch(PREFETCH).with_options(options)
    if tf.config.list_logical_devices("GPU"):
        # The last step of a pipeline: copies to the device run beside the training step.
        dataset = dataset.apply(tf.data.experimental.prefetch_to_device("/GPU:0"))
    return dataset
