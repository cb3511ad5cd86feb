"""From crops and labels to batches, by tf.data: shuffled, augmented, prefetched, the same for a seed everywhere."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from keras_faceattr.config import AugmentationConfig, Experiment
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.mixing import mixed_order, people_order, source_weights, strata_of
from keras_faceattr.data.targets import class_factors, label_counts, photo_weights
from keras_faceattr.data.teaching import Answers, Subjects, Teaching, changed
from keras_faceattr.errors import ConfigError, DataError, ModelError, ResourceError
from keras_faceattr.machine import usable_cores
from keras_faceattr.tasks import Task

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


class BatchPlan:
    """Photos of each batch of each epoch; they depend only on (seed, epoch).

    Args:
        data: photos to learn from.
        steps: batches of an epoch; more than the data holds go round again. None: as many as are whole.
        weights: (sources,) share of each data set in every batch; None to visit each photo once.
        people: name of a task of identities, and how many photos of each person a batch holds.
        strata: (n,) number of each photo's stratum, and (strata,) share of each in every batch.
    """

    def __init__(
        self,
        data: LabelledCrops,
        batch_size: int,
        *,
        seed: int,
        steps: int | None = None,
        weights: np.ndarray | None = None,
        people: tuple[str, int] | None = None,
        strata: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.people = people
        self.strata = strata
        if strata is None and weights is not None and data.sources is not None:
            self.strata = (data.sources, weights)
        self.goes_round = steps is not None
        self.steps = steps or max(1, len(data) // batch_size)
        self._lock = threading.Lock()
        self._orders: dict[int, np.ndarray] = {}

    def order(self, epoch: int) -> np.ndarray:
        """(photos of an epoch,) positions in the data, in the order in which an epoch visits them."""
        with self._lock:
            if epoch not in self._orders:
                # Batches of two epochs are made at once where one ends and the next begins.
                self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
                self._orders[epoch] = self._new_order(epoch)
            return self._orders[epoch]

    def places(self, epoch: int, step: int) -> np.ndarray:
        """(b,) positions in the data of the photos of one batch."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def _new_order(self, epoch: int) -> np.ndarray:
        size, steps, seed = self.batch_size, self.steps, self.seed
        if self.people is not None:
            return people_order(self.data.labels[self.people[0]][:, 0], self.people[1], size, steps, seed, epoch)
        if self.strata is not None:
            return mixed_order(*self.strata, size, steps, seed, epoch)
        order = epoch_order(len(self.data), seed, epoch, SHARD)
        return np.resize(order, steps * size) if len(order) >= size or self.goes_round else order


def batch_plan(experiment: Experiment, data: LabelledCrops, tasks: dict[str, Task]) -> BatchPlan:
    """Plan the photos of each batch of an experiment.

    Args:
        tasks: those that are learned; an export may have left one out.
    """
    training, people = experiment.training, people_in_batches(experiment)
    balanced = training.balanced_by
    return BatchPlan(
        data,
        training.batch_size,
        seed=experiment.seed,
        steps=training.steps_per_epoch,
        weights=source_weights(experiment.data.sources),
        people=people if people and people[0] in data.labels else None,
        strata=strata_of(tasks[balanced], data.labels[balanced]) if balanced in tasks else None,
    )


class BatchFeed:
    """Batches of several epochs, one after the other, as `fit` takes them.

    Args:
        augmentation: None for the crops as they are.
        tasks: whose labels a batch carries.
        class_weights: by task, as of `data.targets.class_factors`.
        teaching: makes the crops in place of the augmentation, with a teacher's answers; these stand behind the labels
            of their tasks, and feature maps by names of their own.

    Attributes:
        plan: which photos they hold.
    """

    def __init__(
        self,
        plan: BatchPlan,
        augmentation: AugmentationConfig | None,
        tasks: dict[str, Task],
        class_weights: Mapping[str, dict[str, float] | str | None] | None = None,
        teaching: Teaching | None = None,
    ) -> None:
        self.plan, self._augmentation, self._teaching = plan, augmentation, teaching
        labels, factors = plan.data.labels, class_weights or {}
        self._tasks = tasks
        self._factors = {name: class_factors(task, labels[name], factors.get(name)) for name, task in tasks.items()}
        self._made: dict[int, tuple[float, float]] = {}

    def batches(self, first_epoch: int, last_epoch: int | None) -> tf.data.Dataset:
        """Batches of the epochs from the first up to, but not including, the last; without end where that is None.

        Returns:
            `(images (b, side, side, 3) float32 0–255, {task: labels (b, width)}, {task: weights (b,)})`. The weights
            make Keras' mean over the batch the mean over its labels.
        """
        data, steps, size = self.plan.data, self.plan.steps, self.plan.data.crops.spec.size
        subjects = self._teaching.subjects if self._teaching else Subjects({})
        shapes: dict[str, tuple[int, ...]] = dict(subjects.maps)
        for name in self._tasks:
            shapes[name] = (data.labels[name].shape[1] + subjects.widths.get(name, 0),)

        def take(number: np.int64) -> list[np.ndarray]:
            begun = time.perf_counter()
            epoch, step = divmod(int(number), steps)
            places = self.plan.places(epoch, step)
            images, answers = self._seen(data.crops.take(data.rows[places]), places, epoch, step)
            labels = {name: self._labels(name, places, answers) for name in shapes}
            weights = [self._weights(name, places, labels[name]) for name in shapes]
            self._made[int(number)] = (begun, time.perf_counter())
            return [images, *labels.values(), *weights]

        def shaped(number: Any) -> Any:
            found = tf.numpy_function(take, [number], [tf.float32] * (1 + 2 * len(shapes)), stateful=False)
            images, labels, weights = found[0], found[1 : 1 + len(shapes)], found[1 + len(shapes) :]
            images.set_shape([None, size, size, 3])
            for shape, label, weight in zip(shapes.values(), labels, weights, strict=True):
                label.set_shape([None, *shape])
                weight.set_shape([None])
            return images, dict(zip(shapes, labels, strict=True)), dict(zip(shapes, weights, strict=True))

        end = np.iinfo("int64").max if last_epoch is None else last_epoch * steps
        numbers = tf.data.Dataset.range(first_epoch * steps, end)
        return _prefetched(numbers.map(shaped, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))

    def _seen(self, crops: np.ndarray, places: np.ndarray, epoch: int, step: int) -> tuple[np.ndarray, Answers]:
        """The crops as the student sees them, and what the teacher says about them."""
        if self._teaching:
            return self._teaching(crops, places, epoch, step)
        return changed(crops, self._augmentation, (self.plan.seed, epoch, step)), {}

    def _labels(self, name: str, places: np.ndarray, answers: Answers) -> np.ndarray:
        """Labels of a task with the teacher's answer behind them; of a feature map the teacher's."""
        parts = [self.plan.data.labels[name][places]] if name in self._tasks else []
        return np.concatenate([*parts, *([answers[name]] if name in answers else [])], axis=-1, dtype="float32")

    def _weights(self, name: str, places: np.ndarray, labels: np.ndarray) -> np.ndarray:
        if name not in self._tasks:
            return np.ones(len(places), "float32")
        weights = photo_weights(label_counts(self._tasks[name], labels))
        return np.asarray(self._factors[name][places] * weights)

    def made(self, epoch: int, step: int) -> tuple[float, float] | None:
        """Times when a batch was begun and when it was ready, by `time.perf_counter`; each can be read once."""
        return self._made.pop(epoch * self.plan.steps + step, None)

    def rows(self, epoch: int, step: int) -> np.ndarray:
        """(b,) rows of the manifest that a batch shows."""
        rows: np.ndarray = self.plan.data.rows[self.plan.places(epoch, step)]
        return rows


def batch_feed(
    experiment: Experiment, data: LabelledCrops, tasks: dict[str, Task], teaching: Teaching | None = None
) -> BatchFeed:
    """Batches of an experiment, as of `batch_plan`."""
    weights = {name: experiment.tasks[name].class_weights for name in tasks}
    return BatchFeed(batch_plan(experiment, data, tasks), experiment.data.augmentation, tasks, weights, teaching)


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


@contextmanager
def readable_photos() -> Iterator[None]:
    """Make a photo that can no longer be read the user's error, not TensorFlow's.

    Raises:
        DataError: naming the photo.
        ModelError: a teacher answers with what is no number.
        ResourceError: memory or open files ran out.
    """
    try:
        yield
    except tf.errors.OpError as error:
        for kind in (ResourceError, ModelError):
            if match := re.search(rf"{kind.__name__}: (.*)", str(error)):
                raise kind(match[1]) from None
        match = re.search(r"PhotoError: (.*)", str(error))
        if match is None:
            raise
        raise DataError(f"{match[1]}; it could be read when the run started") from None


def _prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Data threads on every core would interrupt the training step, which waits for its slowest core.
    options.threading.private_threadpool_size = max(1, usable_cores() // 2)
    dataset = dataset.prefetch(PREFETCH).with_options(options)
    if tf.config.list_logical_devices("GPU"):
        # The last step of a pipeline: copies to the device run beside the training step.
        dataset = dataset.apply(tf.data.experimental.prefetch_to_device("/GPU:0"))
    return dataset
