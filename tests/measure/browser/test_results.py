"""Results of the demo's page: what is refused, and how they are kept."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.browser import results as browser_results
from keras_faceattr.measure.browser.results import (
    BrowserDevice,
    read_bytes,
    read_result,
    save_result,
)

CHROME = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/141.0.0.0 Mobile Safari/537.36"
TIMES = {"p50_ms": 8.0, "p90_ms": 10, "low_ms": 7.5, "high_ms": 8.5, "runs": 60, "busy": False}
RESULT: dict[str, Any] = {
    "format": 2, "kind": "browser", "date": "2026-01-31T12:00:00Z", "package": "0.5.0",
    "device": {
        "user_agent": CHROME, "model": "Pixel 4", "platform": "Android 13", "cores": 8, "memory_gb": 8,
        "isolated": True, "battery": {"level": 0.5, "charging": False}, "screen": "393 x 830",
    },
    "runtime": {"name": "@litertjs/core", "version": "2.5.3", "build": "threaded"},
    "rows": [
        {
            "file": "net.tflite", "sha256": "ab" * 32, "recipe": "int8_qat", "threads": 1, "verified": True,
            "photo": "640 x 480", "parts": {"model": TIMES, "detection": None, "crop": None, "end_to_end": None},
        }
    ],
}  # fmt: skip
REMOVED = object()


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The result with values at dotted keys replaced, or removed."""
    result = copy.deepcopy(RESULT)
    for key, value in changes:
        *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
        place: Any = result
        for part in parents:
            place = place[part]
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    return result


def body(*changes: tuple[str, Any]) -> bytes:
    return json.dumps(changed(*changes)).encode()


def refusal(posted: bytes) -> str:
    with pytest.raises(BenchmarkError) as error:
        read_result(posted, "the post")
    line = str(error.value)
    assert line.startswith("the post: ") and line.isprintable() and len(line) < 400
    return line


def test_a_result_is_read_as_it_was_posted() -> None:
    assert read_result(body(), "x").model_dump(mode="json") == RESULT
    # A clock that is too coarse gives no p90 of single calls.
    coarse = ("rows.0.parts.model.p90_ms", None)
    assert read_result(body(coarse), "x").model_dump(mode="json") == changed(coarse)


def test_what_a_browser_does_not_tell_is_null_or_left_out() -> None:
    for value in (None, REMOVED):
        keys = ("model", "platform", "cores", "memory_gb", "battery", "screen")
        device = read_result(body(*((f"device.{key}", value) for key in keys)), "x").device
        assert device.title == "Chrome 141, Android"


MODEL = "rows.0.parts.model"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", 3, "format: input should be 1 or 2"),
        ("kind", "host", "kind: input should be 'browser'"),
        ("date", "yesterday", "date: input should be a valid datetime"),
        ("date", "2026-01-31T12:00:00", "date: input should have timezone info"),
        ("date", "9999-12-31T23:59:59-10:00", "date: must lie between 2020 and 2100"),
        ("date", 1.7e9, "date: input should be a valid datetime"),
        ("package", REMOVED, "package: field required"),
        ("extra", 1, "extra: extra inputs are not permitted"),
        ("e\n[red]\x1b" + "x" * 500, 1, "…: extra inputs are not permitted"),
        ("device.user_agent", "x" * 301, "device.user_agent: string should have at most 300 characters"),
        ("device.cores", 0, "device.cores: input should be greater than or equal to 1"),
        ("device.cores", 10**400, "device.cores: input should be less than or equal to 1024"),
        ("device.cores", "8", "device.cores: input should be a valid integer"),
        ("device.memory_gb", float("inf"), "device.memory_gb: input should be a finite number"),
        ("device.battery.level", 1.01, "device.battery.level: input should be less than or equal to 1"),
        ("device.isolated", 1, "device.isolated: input should be a valid boolean"),
        ("runtime.build", "fast", "runtime.build: input should be 'threaded', 'single' or 'compat'"),
        ("rows", [], "rows: tuple should have at least 1 item"),
        ("rows", RESULT["rows"] * 201, "rows: tuple should have at most 200 items"),
        ("rows", {}, "rows: input should be a valid array"),
        ("rows.0.sha256", "AB" * 32, "rows.0.sha256: string should match pattern"),
        ("rows.0.sha256", "ab" * 32 + "\n", "rows.0.sha256: string should match pattern"),
        ("rows.0.threads", 257, "rows.0.threads: input should be less than or equal to 256"),
        ("rows.0.verified", None, "rows.0.verified: input should be a valid boolean"),
        (MODEL, None, f"{MODEL}: input should be"),
        (f"{MODEL}.p50_ms", 0, f"{MODEL}.p50_ms: input should be greater than 0"),
        (f"{MODEL}.p50_ms", float("nan"), f"{MODEL}.p50_ms: input should be a finite number"),
        (f"{MODEL}.p50_ms", True, f"{MODEL}.p50_ms: input should be a valid number"),
        (f"{MODEL}.p90_ms", 1.1e6, f"{MODEL}.p90_ms: input should be less than or equal to 1000000"),
        (f"{MODEL}.p90_ms", 7.9, f"{MODEL}: p90_ms lies below p50_ms"),
        (f"{MODEL}.low_ms", 8.1, f"{MODEL}: p50_ms lies outside low_ms to high_ms"),
        (f"{MODEL}.high_ms", 7.9, f"{MODEL}: p50_ms lies outside low_ms to high_ms"),
        (f"{MODEL}.runs", 4, f"{MODEL}.runs: input should be greater than or equal to 5"),
    ],
)
def test_a_wrong_key_is_named_in_one_line(key: str, value: Any, words: str) -> None:
    assert words in refusal(body((key, value)))


@pytest.mark.parametrize(
    "posted", [b"", b"\xff\xd8\xff", b"[" * 100_000, b"null", b"[]", b'{"format": 1', b'"\\ud800"', b"{" * 500]
)
def test_rubbish_is_refused_in_one_line(posted: bytes) -> None:
    assert "no result of the demo's page" in refusal(posted)


def test_a_body_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    assert "larger than 400 kB" in refusal(body() + b" " * 400_000)
    endless = tmp_path / "endless"
    with endless.open("wb") as stream:
        stream.truncate(10**12)
    assert len(read_bytes(endless)) == 400_001
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BenchmarkError, match=f"{path}: cannot be read"):
            read_bytes(path)


def test_the_most_rows_of_a_page_fit_into_a_result() -> None:
    rows = [changed(("rows.0.parts", dict.fromkeys(("model", "detection", "crop", "end_to_end"), TIMES)))["rows"][0]]
    assert len(read_result(body(("rows", rows * 200)), "x").rows) == 200


def test_control_signs_and_turns_of_direction_are_taken_out_of_every_text() -> None:
    device = read_result(body(("device.model", "Pix\x1b[31mel\n\u202e4\x00")), "x").device
    assert device.model == "Pix [31mel  4"


@pytest.mark.parametrize(
    ("told", "title"),
    [
        ({"user_agent": CHROME, "platform": "Android 16", "model": "Pixel 9", "cores": 8},
         "Chrome 141, Android 16, Pixel 9, 8 cores"),
        ({"user_agent": "Mozilla/5.0 (Linux; Android 13; Pixel 4 Build/TP1A.2; wv) AppleWebKit/537.36 Version/4.0 "
          "Chrome/120.0.0.0 Mobile Safari/537.36"}, "Chrome 120, Android 13, Pixel 4"),
        ({"user_agent": "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S928B) AppleWebKit/537.36 SamsungBrowser/28.0 "
          "Chrome/130.0.0.0 Mobile Safari/537.36"}, "Samsung Internet 28, Android 14, SAMSUNG SM-S928B"),
        ({"user_agent": "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "cores": 1},
         "Firefox 140, Android 15, 1 core"),
        ({"user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
          "Version/18.1 Mobile/15E148 Safari/604.1"}, "Safari 18, iOS 18"),
        ({"user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/141.0.0.0 Safari/537.36"},
         "Chrome 141, Linux"),
        ({"user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0"},
         "Edge 141, Windows"),
        ({"user_agent": ""}, "unknown browser"),
    ],
)  # fmt: skip
def test_the_title_says_what_a_person_knows_the_device_by(told: dict[str, Any], title: str) -> None:
    assert BrowserDevice.model_validate({"isolated": True, **told}).title == title


def test_the_same_result_is_one_file_however_it_was_spaced(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    path = save_result(body(), folder)
    assert save_result(json.dumps(RESULT, indent=4).encode(), folder) == path
    other = save_result(body(("rows.0.threads", 2)), folder)
    assert sorted(folder.iterdir()) == sorted([path, other])
    assert path.name.startswith("2026-01-31T120000_browser_pixel-4_")
    assert json.loads(path.read_text(encoding="utf-8")) == RESULT


@pytest.mark.parametrize(
    ("model", "platform", "slug"),
    [
        ("../../etc/passwd", None, "etc-passwd"),
        ("小米", "Android 13", "android-13"),
        ("小米", "…", "unknown"),
        ("x" * 300, None, "x" * 40),
    ],
)
def test_a_name_from_outside_is_no_path(tmp_path: Path, model: str, platform: str | None, slug: str) -> None:
    path = save_result(body(("device.model", model), ("device.platform", platform)), tmp_path / "results")
    assert path.parent == tmp_path / "results"
    assert path.name.split("_")[:-1] == ["2026-01-31T120000", "browser", slug]
    assert [child.name for child in tmp_path.iterdir()] == ["results"]


def test_what_is_refused_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="the posted result: .*format"):
        save_result(body(("format", 3)), tmp_path)
    # Small enough without spaces, but not as it would be kept.
    rows = [{**RESULT["rows"][0], "file": "\u20ac" * 300, "recipe": "\u20ac" * 260}] * 200
    long = json.dumps(changed(("rows", rows)), ensure_ascii=False, separators=(",", ":")).encode()
    assert 380_000 < len(long) <= 400_000
    with pytest.raises(BenchmarkError, match="larger than"):
        save_result(long, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_folder_takes_only_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_results, "MAX_RESULTS", 2)
    (tmp_path / "2026-01-31T120000_host_cpu_my_browser_net.json").write_text("{}")
    paths = [save_result(body(("rows.0.threads", n)), tmp_path) for n in (1, 2)]
    with pytest.raises(BenchmarkError, match="holds 2 browser results: move some of them away"):
        save_result(body(("rows.0.threads", 3)), tmp_path)
    assert save_result(body(("rows.0.threads", 2)), tmp_path) == paths[1]
