"""Batches of one epoch with the rows that they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_faceattr.config import AugmentationConfig
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.pipeline import BatchFeed, BatchPlan
from keras_faceattr.tasks import BinaryTask, ScalarTask


def with_rows(feed: BatchFeed, epoch: int) -> tf.data.Dataset:
    """`(rows, images, labels)` of each batch of an epoch."""

    def look_up(step: Any, batch: Any) -> Any:
        rows = tf.numpy_function(lambda number: feed.rows(epoch, int(number)), [step], tf.int64)
        rows.set_shape([None])
        return rows, batch[0], batch[1]

    return feed.batches(epoch, epoch + 1).enumerate().map(look_up)


def training_batches(
    data: LabelledCrops,
    batch_size: int,
    augmentation: AugmentationConfig | None,
    *,
    seed: int,
    epoch: int,
    steps: int | None = None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """The same for labels that are scalars where two wide, else yes or no."""
    tasks = {
        name: ScalarTask(name, 0.0, 100.0, 1.0) if labels.shape[1] == 2 else BinaryTask(name)
        for name, labels in data.labels.items()
    }
    plan = BatchPlan(data, batch_size, seed=seed, steps=steps, weights=weights)
    return with_rows(BatchFeed(plan, augmentation, tasks), epoch)
