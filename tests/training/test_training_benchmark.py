"""`benchmark pipeline` and `benchmark tasks` on a clock of their own: a feed that is slow is told as slow."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats

from keras_faceattr.api.configs import read_experiment
from keras_faceattr.config import Experiment
from keras_faceattr.data.crop_cache import LabelledCrops
from keras_faceattr.data.prepare import prepare
from keras_faceattr.training import pipeline_benchmark, task_benchmark

STEP = 0.020
"""Seconds of a training step, on the clock of these tests."""
BATCH = 8
AHEAD = 12
"""Batches that a feed makes before anybody asks for them, more than `PREFETCH` says: a device's feed keeps some too."""
SOURCES = (
    "data.sources=[{reader: synthetic, name: one, options: {count: 40, size: 40, seed: 0}}, "
    "{reader: synthetic, name: two, options: {count: 24, size: 40, seed: 1}}]"
)
SMALL = ["data.crop.size=32", f"training.batch_size={BATCH}", "tasks={gender: {}}"]


class Clock:
    """Time that passes only where a step, a sleep or a wait for a batch says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def batches(self, part: LabelledCrops, pace: float) -> Iterator[Any]:
        """Batches that take `pace` seconds each, made one after another, `AHEAD` of them while nobody asks."""
        made, taken = self.now, [self.now] * AHEAD
        labels = {name: values[:BATCH] for name, values in part.labels.items()}
        while True:
            # A batch can be begun when the one before is made, and one of those that lie ready has been taken.
            made = max(made, taken[-AHEAD]) + pace
            self.now = max(self.now, made)
            taken.append(self.now)
            yield np.zeros((BATCH, 32, 32, 3), "float32"), labels, dict.fromkeys(labels, np.ones(BATCH, "float32"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock on which a training step takes `STEP`."""
    clock = Clock()
    watch = SimpleNamespace(perf_counter=lambda: clock.now, sleep=clock.pass_by)
    monkeypatch.setattr(pipeline_benchmark, "time", watch)
    monkeypatch.setattr(keras.Model, "train_on_batch", lambda *_, **__: clock.pass_by(STEP))
    return clock


@pytest.mark.parametrize(
    ("pace", "ratio", "steps"), [(0.002, 1.0, 40), (0.021, 1.05, 40), (0.024, 1.2, 40), (0.040, 2.0, 5)]
)
def test_fit_is_slower_than_the_bare_step_by_as_much_as_it_waits(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, pace: float, ratio: float, steps: int
) -> None:
    def batches(experiment: Experiment, part: LabelledCrops, *_: Any) -> Iterator[Any]:
        return clock.batches(part, pace * (3 if part.crops.pixels is None else 1))

    def bare(*_: Any) -> Iterator[None]:
        while True:
            yield clock.pass_by(STEP)

    def fit(part: LabelledCrops, *_: Any) -> Iterator[None]:
        return (clock.pass_by(STEP) for _ in clock.batches(part, pace))

    monkeypatch.setattr(pipeline_benchmark, "endless_batches", batches)
    monkeypatch.setattr(pipeline_benchmark, "keras_fit", lambda *_: pipeline_benchmark.stepping(bare))
    monkeypatch.setattr(
        pipeline_benchmark,
        "our_fit",
        lambda model, experiment, data: pipeline_benchmark.stepping(partial(fit, data.parts["train"])),
    )
    result = pipeline_benchmark.benchmark_pipeline(read_experiment("quickstart", {}, [*SMALL, SOURCES]), steps)
    low, high = result["intervals"]["fit_to_bare_step"]
    assert low <= result["ratios"]["fit_to_bare_step"] <= high
    assert result["ratios"] == pytest.approx(
        {"fit_to_bare_step": ratio, "decode_and_augment_to_step": STEP / (3 * pace)}
    )
    speed = {name: part["median"] for name, part in result["images_per_s"].items()}
    assert speed == pytest.approx(
        {
            "bare training step": BATCH / STEP,
            "fit on cached crops": BATCH / STEP / ratio,
            "cached crops and augmentation": BATCH / pace,
            "decoding and augmentation": BATCH / (3 * pace),
        }
    )


@pytest.mark.parametrize(
    ("mixed", "one", "two", "ratio"),
    [(0.025, 0.001, 0.001, 0.8), (0.04, 0.03, 0.01, 0.625), (0.01, 0.04, 0.03, 1.75)],
)
def test_mixed_batches_are_slower_than_single_ones_by_as_much_as_they_take_longer(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, mixed: float, one: float, two: float, ratio: float
) -> None:
    def batches(experiment: Experiment, part: LabelledCrops, *_: Any) -> Iterator[Any]:
        assert part.sources is not None
        alone = len(np.unique(part.sources)) == 1
        return clock.batches(part, (one, two)[part.sources[0]] if alone else mixed)

    monkeypatch.setattr(task_benchmark, "endless_batches", batches)
    result = task_benchmark.benchmark_tasks(read_experiment("quickstart", {}, [*SMALL, SOURCES]), 40)
    assert result["images_per_s"] == pytest.approx(
        {"mixed": BATCH / max(STEP, mixed), "one": BATCH / max(STEP, one), "two": BATCH / max(STEP, two)}
    )
    assert result["mixed_to_single"] == pytest.approx(ratio)
    assert result["step_ms"] == pytest.approx({"all tasks": 1000 * STEP, "all tasks again": 1000 * STEP})


def test_a_task_costs_what_it_adds_to_the_mean_of_two_equal_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(parts: dict[str, Any], steps: int) -> dict[str, list[float]]:
        # The second round is slow for all of them.
        return {name: [took, 3 * took, took] for name, took in zip(parts, (1.0, 0.9, 0.855, 0.95), strict=True)}

    monkeypatch.setattr(task_benchmark, "measure_parts", measure)
    source = "data.sources=[{reader: synthetic, options: {count: 40, size: 40}}]"
    experiment = read_experiment("quickstart", {}, [*SMALL[:2], source, "tasks={gender: {}, race: {}}"])
    result = task_benchmark.benchmark_tasks(experiment, 15)
    assert result["shares"] == pytest.approx({"task gender": 0.1, "task race": 0.0})
    assert result["noise"] == pytest.approx(0.1)


def test_each_feed_begins_anew_in_every_round_and_ends_before_the_next(clock: Clock) -> None:
    told: list[tuple[str, str, int]] = []

    def begin(name: str, pace: float, number: int) -> Generator[None, None, None]:
        told.append(("begins", name, number))
        try:
            while True:
                clock.pass_by(pace)
                yield
        finally:
            told.append(("ends", name, number))

    parts = {name: pipeline_benchmark.stepping(partial(begin, name, pace)) for name, pace in (("one", 1), ("two", 3))}
    rounds = pipeline_benchmark.ROUNDS
    assert pipeline_benchmark.measure_parts(parts, 16) == {"one": [1] * rounds, "two": [3] * rounds}
    assert told == [(what, name, i) for i in range(rounds) for name in ("one", "two") for what in ("begins", "ends")]


def test_only_the_steps_behind_the_warm_up_of_each_round_are_timed(clock: Clock) -> None:
    def begin(number: int) -> Generator[None, None, None]:
        for step in count():
            clock.pass_by(100 if step < pipeline_benchmark.WARMUP_STEPS else number + 1)
            yield

    part = pipeline_benchmark.stepping(begin)
    assert pipeline_benchmark.measure_parts({"part": part}, 64) == {"part": [1, 2, 3, 4, 5, 6, 7, 8]}


def test_the_interval_of_paired_ratios_is_students_of_their_logs() -> None:
    ratios = np.array([1.02, 0.99, 1.05, 1.01])
    expected = scipy.stats.t.interval(0.95, 3, np.log(ratios).mean(), scipy.stats.sem(np.log(ratios)))
    assert pipeline_benchmark.paired_interval(ratios) == pytest.approx(np.exp(expected))
    assert pipeline_benchmark.paired_interval(np.full(4, 1.5)) == pytest.approx((1.5, 1.5))


@pytest.mark.parametrize(
    ("interval", "verdict"), [((1.0, 1.04), "met"), ((1.06, 1.2), "not met"), ((1.0, 1.06), "not shown")]
)
def test_a_limit_is_met_only_by_the_whole_interval(interval: tuple[float, float], verdict: str) -> None:
    assert pipeline_benchmark.LIMITS["fit_to_bare_step"].line(1.03, *interval).endswith(f"aim ≤ 1.05: {verdict})")


def test_every_round_of_a_feed_shows_other_photos() -> None:
    # Without augmentation, pixels tell which photo it is.
    experiment = read_experiment("quickstart", {}, [*SMALL, SOURCES, "data.augmentation=null"])
    data = prepare(experiment, ("train",))
    part = data.parts["train"]
    whole = len(part) // BATCH
    photos = []
    for epoch in range(2):
        feed = pipeline_benchmark.endless_batches(experiment, part, data.tasks, epoch)
        photos.append([next(feed)[0].numpy().tolist() for _ in range(2 * whole)])
        feed.close()
    assert photos[0][whole:] == photos[1][:whole]
    assert photos[0][:whole] != photos[1][:whole]
