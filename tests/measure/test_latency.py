"""Latency: nets take turns, percentiles are those of the timed runs, and the process is as it was afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from keras_faceattr.errors import ArtifactError, BenchmarkError
from keras_faceattr.measure import latency
from keras_faceattr.measure.latency import (
    BUSY_SPREAD,
    MIN_ROUNDS,
    WARMUP_RUNS,
    Latency,
    interleave,
    measure_latencies,
    ratio,
)


def tiny_net(path: Path, dtype: str = "float32", batch: int = 1) -> Path:
    """A convolution and a mean over 16 × 16 pixels, converted."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 4)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((batch, 16, 16, 3), tf.as_dtype(dtype))])
    def serve(pixels):
        return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(tf.cast(pixels, tf.float32), kernel, 1, "SAME")), axis=(1, 2))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_net(tmp_path_factory.mktemp("nets") / "tiny.tflite")


class Spy:
    """Functions that take a set time on a clock of their own, and what was called when."""

    def __init__(self, **milliseconds: float) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.functions = {name: self.function(name, ms / 1000) for name, ms in milliseconds.items()}

    def function(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.now += seconds

        return call

    def clock(self) -> float:
        return self.now

    def turns(self) -> list[str]:
        """Who ran after the warm-up, each turn once."""
        after = self.calls[WARMUP_RUNS * len(self.functions) :]
        return [name for i, name in enumerate(after) if i == 0 or after[i - 1] != name]


def test_nets_take_turns_and_nobody_always_follows_the_same_one() -> None:
    spy = Spy(a=10, b=10, c=10)
    interleave(spy.functions, rounds=6, budget_s=1.8, clock=spy.clock)
    # By hand: forwards and backwards, then begun one further; who ends a round may begin the next.
    order = "abc" + "cba" + "bca" + "acb" + "cab" + "bac"
    assert "".join(spy.turns()) == "".join(name for i, name in enumerate(order) if i == 0 or order[i - 1] != name)
    before = {name: {order[i - 1] for i in range(1, len(order)) if order[i] == name} - {name} for name in "abc"}
    assert before == {"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}}


def test_warm_up_and_the_first_run_of_a_turn_are_not_timed() -> None:
    spy = Spy(a=10, b=20)
    for name in spy.functions:
        plain = spy.functions[name]

        def cold(name: str = name, plain: Callable[[], None] = plain) -> None:
            """A hundred times slower the first time, ten times slower after the other net."""
            last = spy.calls[-1] if spy.calls else None
            spy.now += 1.0 if name not in spy.calls else 0.1 if last != name else 0.0
            plain()

        spy.functions[name] = cold
    seconds = interleave(spy.functions, rounds=5, budget_s=2.0, clock=spy.clock)
    assert set(np.round(seconds["a"].ravel(), 6)) == {0.01}
    assert set(np.round(seconds["b"].ravel(), 6)) == {0.02}


def test_fast_nets_run_often_slow_ones_often_enough_and_the_time_is_kept() -> None:
    spy = Spy(fast=2, slow=300)
    seconds = interleave(spy.functions, rounds=10, budget_s=10.0, clock=spy.clock)
    assert seconds["slow"].shape == (10, 1)
    assert seconds["fast"].shape == (10, 50)
    assert spy.now <= 10.0 + WARMUP_RUNS * 0.302 + 0.7


def test_rounds_are_dropped_whole_when_the_time_is_over_but_not_all() -> None:
    spy = Spy(a=1000, b=3000)
    seconds = interleave(spy.functions, rounds=10, budget_s=5.0, clock=spy.clock)
    assert len(seconds["a"]) == len(seconds["b"]) == MIN_ROUNDS


def test_percentiles_mean_and_images_per_second() -> None:
    # 1 … 11 ms: the 6th is the median, the 10th lies at 90 %.
    measured = Latency.of([ms / 1000 for ms in (11, 3, 1, 2, 10, 4, 5, 9, 6, 8, 7)], batch=3)
    assert measured.p50_ms == pytest.approx(6)
    assert measured.p90_ms == pytest.approx(10)
    assert measured.mean_ms == pytest.approx(6)
    assert measured.spread == pytest.approx(4 / 6)
    assert measured.images_per_s == pytest.approx(500)
    assert (measured.runs, measured.batch) == (11, 3)
    times = np.random.default_rng(1).exponential(0.01, 57)
    measured = Latency.of(times.tolist(), batch=1)
    assert measured.p90_ms == pytest.approx(1000 * np.percentile(times, 90))


def test_rounds_keep_their_medians_and_all_runs_give_the_interval_of_the_p90() -> None:
    # Ten rounds of ten runs, 1 … 100 ms.
    rounds = np.arange(1, 101).reshape(10, 10) / 1000
    measured = Latency.of(rounds, batch=1)
    assert measured.round_ms == pytest.approx([5.5 + 10 * n for n in range(10)])
    assert (measured.runs, measured.p50_ms) == (100, pytest.approx(50.5))
    low, high = measured.p90_bounds_ms
    assert low == pytest.approx(stats.binom.ppf(0.025, 100, 0.9)) == 84
    assert high == pytest.approx(stats.binom.isf(0.025, 100, 0.9) + 1)


def test_what_slows_a_whole_round_leaves_the_ratio_as_it_is() -> None:
    slowed = np.array([1, 1, 5, 1, 1, 1, 3, 1, 1, 1])[:, None]
    model, reference = Latency.of(0.01 * slowed, 1), Latency.of(0.04 * slowed, 1)
    assert model.busy
    assert ratio(model, reference) == pytest.approx((4, 4, 4))
    # Slowed in other rounds than the model: 4/5, 4/3, six times 4, 12 and 20, of which the 2nd and 9th are the ends.
    other = Latency.of(0.04 * np.roll(slowed, 1, axis=0), 1)
    assert ratio(model, other) == pytest.approx((4, 4 / 3, 12))
    few = Latency.of(np.full((5, 1), 0.01), 1)
    assert ratio(few, few) == (1.0, None, None)


@pytest.mark.parametrize(("ninth", "busy"), [(1 + BUSY_SPREAD / 2, False), (1 + 2 * BUSY_SPREAD, True)])
def test_a_wide_spread_says_that_the_machine_was_busy(ninth: float, busy: bool) -> None:
    assert Latency.of([1.0] * 8 + [ninth] * 3, batch=1).busy is busy


def test_files_are_measured_on_pinned_cores_and_the_process_is_free_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.sched_getaffinity(0)
    seen = []
    original = latency.interleave
    monkeypatch.setattr(
        latency, "interleave", lambda *a, **k: seen.append(os.sched_getaffinity(0)) or original(*a, **k)
    )
    measured = measure_latencies({"x": tiny, "y": tiny}, threads=1, rounds=2, budget_s=0.2)
    assert [len(cores) for cores in seen] == [1]
    assert seen[0] <= before
    assert os.sched_getaffinity(0) == before
    assert list(measured) == ["x", "y"]
    for each in measured.values():
        assert 0 < each.p50_ms <= each.p90_ms
        assert each.runs >= 2


def test_the_process_is_free_again_after_an_error(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)

    def refuse(**_: object) -> None:
        raise RuntimeError("Select TensorFlow op(s) are not supported.\nNode number 3 (FlexConv) failed to prepare.")

    monkeypatch.setattr(latency, "Interpreter", refuse)
    with pytest.raises(BenchmarkError, match=r"tiny\.tflite: .*Select TensorFlow op.*builtin ops") as error:
        measure_latencies({"x": tiny}, threads=1)
    assert "\n" not in str(error.value)
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("threads", [-1, 0, 10_000])
def test_a_number_of_threads_that_the_machine_lacks_is_refused(tiny: Path, threads: int) -> None:
    with pytest.raises(BenchmarkError, match=f"^--threads {threads}: .*choose 1 to {len(os.sched_getaffinity(0))}$"):
        measure_latencies({"x": tiny}, threads)


def test_a_damaged_file_is_refused_before_the_runtime_sees_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(tiny.read_bytes()[:200])
    monkeypatch.setattr(latency, "Interpreter", lambda **_: pytest.fail("the native runtime got a damaged file"))
    with pytest.raises(ArtifactError, match=r"cut\.tflite: ") as error:
        measure_latencies({"x": cut}, threads=1)
    assert "\n" not in str(error.value)


def test_images_per_second_count_the_batch_of_the_file(tmp_path: Path) -> None:
    measured = measure_latencies({"x": tiny_net(tmp_path / "four.tflite", batch=4)}, 1, rounds=2, budget_s=0.1)["x"]
    assert measured.batch == 4
    assert measured.images_per_s == pytest.approx(4000 / measured.p50_ms)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_inputs_are_random_pixels_the_same_in_every_run(tmp_path: Path, dtype: str) -> None:
    path = tiny_net(tmp_path / "net.tflite", dtype)
    pixels = [
        net.interpreter.get_tensor(net.inputs[0]["index"]) for net in (latency.Net(path, 1), latency.Net(path, 1))
    ]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert pixels[0].dtype == dtype
    assert pixels[0].min() < 20 and pixels[0].max() > 235 and pixels[0].max() <= 255
    assert len(np.unique(pixels[0])) > 200


def test_measuring_does_not_import_tensorflow(tiny: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from keras_faceattr.measure.latency import measure_latencies;"
        "measure_latencies({'x': Path(sys.argv[1])}, 1, rounds=1, budget_s=0.05);"
        "print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
    assert "XNNPACK" not in done.stderr
