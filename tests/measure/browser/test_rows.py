"""Results of the demo's page: which rows and verdicts of a file they become."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_results import CHROME, MODEL, TIMES, body

from keras_faceattr.budget.limits import Budget
from keras_faceattr.measure.browser.results import results_folder, save_result
from keras_faceattr.measure.browser.rows import browser_gates, browser_rows

Saved = Callable[..., Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 1 × 1 convolution of 3 to 4 channels over two photos of 32 × 32 pixels."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((2, 32, 32, 3), tf.float32)])
    def serve(pixels):
        return tf.reduce_mean(tf.nn.conv2d(pixels, tf.ones((1, 1, 3, 4)), 1, "SAME"), axis=(1, 2))

    path = tmp_path_factory.mktemp("net") / "net.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()]).convert())
    return path


@pytest.fixture
def saved(model: Path, tmp_path: Path) -> Saved:
    """Saves the result as one of the model, with changes; imported by the user, unless told."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return lambda *changes, origin="imported": save_result(body(("rows.0.sha256", digest), *changes), tmp_path, origin)


def test_a_result_is_a_row_with_the_files_own_cost(saved: Saved, model: Path, tmp_path: Path) -> None:
    saved()
    (row,), warnings = browser_rows(tmp_path, [model])
    assert warnings == []
    assert (row["name"], row["kind"], row["device"], row["precision"]) == ("net.tflite", "model", "browser", "float32")
    assert (row["file_bytes"], row["macs"], row["side"]) == (model.stat().st_size, 32 * 32 * 3 * 4, 32)
    assert (row["p50_ms"], row["p90_ms"], row["interval"], row["runs"]) == (8, 10, (7.5, 8.5), 60)
    assert (row["images_per_s"], row["spread"], row["batch"]) == (250, 0.25, 2)
    assert (row["ratios"], row["verdict"], row["device_class"]) == ({}, None, "pixel_4")
    assert row["title"] == "Chrome 141, Android 13, Pixel 4, 8 cores"
    assert row["parts"] == {"model": TIMES, "detection": None, "crop": None, "end_to_end": None}
    assert (row["verified"], row["isolated"], row["date"]) == (True, True, "2026-01-31T12:00:00+00:00")
    json.dumps(row)


@pytest.mark.parametrize("change", [(f"{MODEL}.p90_ms", None), ("format", 1)])
def test_a_row_has_no_p90_where_no_single_call_was_timed(
    saved: Saved, model: Path, tmp_path: Path, change: tuple[str, Any]
) -> None:
    saved(change)
    ((row,), _) = browser_rows(tmp_path, [model])
    assert (row["p50_ms"], row["p90_ms"], row["spread"]) == (8, None, None)


@pytest.mark.parametrize("place", ["run", "cache"])
def test_what_the_demo_kept_in_the_run_or_the_cache_is_shown_too(
    model: Path, tmp_path: Path, own_cache: Path, place: str
) -> None:
    run = tmp_path / "runs" / "a"
    own = run / "export" / "int8" / "net.tflite"
    own.parent.mkdir(parents=True)
    own.write_bytes(model.read_bytes())
    (run / "config.yaml").touch()
    (run / "tasks.yaml").touch()
    assert browser_rows(tmp_path / "none", [own]) == ([], [])
    # A result of files of two runs lies in no run.
    folder = results_folder([own] if place == "run" else [own, model])
    assert folder.is_relative_to(run if place == "run" else own_cache)
    kept = save_result(body(("rows.0.sha256", hashlib.sha256(own.read_bytes()).hexdigest())), folder)
    (row,) = browser_rows(tmp_path / "none", [own])[0]
    assert (row["name"], row["imported"]) == ("net.tflite", False)
    # One that was imported, too, is one.
    save_result(kept.read_bytes(), tmp_path, "imported")
    assert [row["imported"] for row in browser_rows(tmp_path, [own])[0]] == [True]


def test_a_run_that_cannot_be_written_leaves_results_to_the_cache(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "tasks.yaml").touch()
    assert results_folder([tmp_path / "export/int8/net.tflite"]) == tmp_path / "browser_results"
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert results_folder([tmp_path / "export/int8/net.tflite"]) == own_cache / "browser_results"


def test_of_a_device_and_a_number_of_threads_the_newest_is_shown(saved: Saved, model: Path, tmp_path: Path) -> None:
    changes: list[tuple[str, str, int, float]] = [
        ("2026-03-01T00:00:00+02:00", "Pixel 4", 1, 7.9),
        ("2026-02-28T23:00:00Z", "Pixel 4", 1, 7.8),  # an hour later than the one before
        ("2026-01-01T00:00:00Z", "Pixel 4", 1, 7.7),
        ("2026-01-01T00:00:00Z", "Pixel 4", 2, 7.6),
        ("2026-01-01T00:00:00Z", "Other 9", 1, 7.55),
    ]
    for i, (date, phone, threads, p50) in enumerate(changes):
        battery = ("device.battery.level", i / 10)
        saved(("date", date), ("device.model", phone), ("rows.0.threads", threads), (f"{MODEL}.p50_ms", p50), battery)
    rows, _ = browser_rows(tmp_path, [model])
    assert [(row["title"].split(", ")[2], row["threads"], row["p50_ms"]) for row in rows] == [
        ("Other 9", 1, 7.55), ("Pixel 4", 1, 7.8), ("Pixel 4", 2, 7.6)
    ]  # fmt: skip


def test_damaged_results_and_those_of_another_file_are_warnings(saved: Saved, model: Path, tmp_path: Path) -> None:
    whole = saved()
    damaged = tmp_path / whole.name.replace("12", "13", 1)
    damaged.write_bytes(whole.read_bytes()[:-20])
    large = tmp_path / whole.name.replace("12", "14", 1)
    large.write_bytes(b" " * 500_000)
    (tmp_path / "2026-01-31T120000_host_cpu_my_browser_net.json").write_text("{}")
    saved(("rows.0.sha256", "cd" * 32), ("device.model", "Other 9"))
    saved(("rows.0.file", "unheard.tflite"), ("rows.0.sha256", "ef" * 32))
    rows, warnings = browser_rows(tmp_path, [model])
    assert len(rows) == 1
    assert [line.split(": no result")[0] for line in warnings[:1]] == [f"not shown: {damaged}"]
    assert warnings[1].startswith(f"not shown: {large}: larger than")
    assert warnings[2:] == ["not shown: 1 browser measurement of another net.tflite (another SHA-256)"]


def test_a_folder_that_is_missing_has_no_rows(model: Path, tmp_path: Path) -> None:
    assert browser_rows(tmp_path / "none", [model]) == ([], [])


def budget(**limits: float) -> Budget:
    return Budget.model_validate({"name": "own", "latency": {k: {"max_p90_ms": v} for k, v in limits.items()}})


FIREFOX = "Mozilla/5.0 (Android 13; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"


@pytest.mark.parametrize(
    ("changes", "limit", "met", "measured"),
    [
        ([], 10, True, "10.0 ms"),
        ([], 9.99, None, "10.0 ms"),  # a browser is slower than the phone: nothing is proven
        ([("rows.0.verified", False)], 10, None, "not measured"),
        ([("rows.0.threads", 2)], 10, None, "not measured"),
        ([(f"{MODEL}.busy", True)], 10, None, "not measured: busy"),
        ([(f"{MODEL}.p90_ms", None)], 10, None, "not measured: no p90 of single calls"),
        ([("format", 1)], 10, None, "not measured: no p90 of single calls"),
        ([("device.model", "Pixel 9")], 10, None, "not measured"),
        ([("device.model", "PIXEL 4 XL")], 10, True, "10.0 ms"),
        ([("device.model", None), ("device.user_agent", CHROME.replace("10; K", "13; Pixel 4"))], 10, True, "10.0 ms"),
        ([("device.model", None), ("device.user_agent", FIREFOX)], 10, None, "not measured"),
    ],
)
def test_a_limit_kept_in_a_browser_is_kept_and_no_other_is_judged(
    saved: Saved, model: Path, tmp_path: Path, changes: list[Any], limit: float, met: bool | None, measured: str
) -> None:
    saved(*changes)
    limits = budget(pixel_4=limit, mid_range_phone=1000, raspberry_pi_5=1000)
    rows, _ = browser_rows(tmp_path, [model], limits)
    gate, other = browser_gates(limits, rows, alone=True)
    assert (gate.name, gate.met, gate.measured) == ("p90 on pixel_4 (browser)", met, measured)
    assert (other.name, other.met, other.measured) == ("p90 on mid_range_phone (browser)", None, "not measured")
    assert rows[0]["verdict"] == (gate.model_dump() if rows[0]["device_class"] else None)
    assert (gate.applies, other.applies) == (bool(rows[0]["device_class"]), False)
    assert not any(gate.applies for gate in browser_gates(limits, rows, alone=False))


@pytest.mark.parametrize(("limit", "met"), [(40, True), (39, None)])
def test_of_several_browsers_the_slowest_counts(
    saved: Saved, model: Path, tmp_path: Path, limit: float, met: bool | None
) -> None:
    saved((f"{MODEL}.p90_ms", 40))
    saved(("device.user_agent", FIREFOX))
    rows, _ = browser_rows(tmp_path, [model])
    (gate,) = browser_gates(budget(pixel_4=limit), rows, alone=True)
    assert len(rows) == 2 and (gate.met, gate.measured) == (met, "40.0 ms")


def test_what_somebody_posted_is_shown_and_never_judged(saved: Saved, model: Path, tmp_path: Path) -> None:
    forged = [(f"{MODEL}.{key}_ms", 0.01) for key in ("p50", "p90", "low", "high")]
    saved(*forged, origin="browser")
    rows, _ = browser_rows(tmp_path, [model])
    (gate,) = browser_gates(budget(pixel_4=11), rows, alone=True)
    assert [row["p90_ms"] for row in rows] == [0.01]
    assert (gate.met, gate.measured, gate.applies) == (None, "not measured: posted, not imported", True)
    # A newer one takes nothing from what the user imported.
    saved((f"{MODEL}.p90_ms", 12.0))
    saved(*forged, ("date", "2026-02-01T12:00:00Z"), origin="browser")
    rows, _ = browser_rows(tmp_path, [model])
    assert [(row["imported"], row["p90_ms"]) for row in rows] == [(False, 0.01), (True, 12.0)]
    for limit, met in ((12, True), (11, None)):
        (gate,) = browser_gates(budget(pixel_4=limit), rows, alone=True)
        assert (gate.met, gate.measured) == (met, "12.0 ms")
