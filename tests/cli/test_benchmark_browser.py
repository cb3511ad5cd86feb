"""`benchmark` with what browsers measured, from the outside: rows, table, verdicts, imports, refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stand_in_phone import Phone

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.measure.browser.results import save_result

from .conftest import Cli, Done

ALONE = ("--against", "none", "--seconds", "1")
USER_AGENT = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/141.0.0.0 Mobile Safari/537.36"


def times(p50: float, p90: float) -> dict[str, Any]:
    return {"p50_ms": p50, "p90_ms": p90, "low_ms": p50, "high_ms": p50, "runs": 77, "busy": False}


@pytest.fixture
def model(exported: dict[str, Artifact], tmp_path: Path) -> Path:
    """A file alone: no sidecar, no time from photo to number."""
    return shutil.copyfile(exported["int8_qat"].path, tmp_path / "net.tflite")


Posted = Callable[..., Path]


@pytest.fixture
def posted(model: Path, tmp_path: Path) -> Posted:
    """Writes a result as the page lets it be downloaded."""

    def write(name: str = "download.json", **changes: Any) -> Path:
        parts = {"model": times(12.3, 14.5), "detection": times(30.25, 31), "crop": None, "end_to_end": times(47.5, 50)}
        row = {
            "file": "net.tflite", "sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "recipe": "int8_qat",
            "threads": 1, "verified": True, "photo": "640 x 480", "parts": parts,
        }  # fmt: skip
        device = {"user_agent": USER_AGENT, "model": "Pixel 4", "platform": "Android 13", "cores": 8, "isolated": True}
        result = {
            "format": 2, "kind": "browser", "date": "2026-01-31T12:00:00Z", "package": "0.5.0",
            "device": {**device, **{k: v for k, v in changes.items() if k in device}},
            "runtime": {"name": "@litertjs/core", "version": "2.5.3", "build": "threaded"},
            "rows": [{**row, **{k: v for k, v in changes.items() if k in row}}],
        }  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps(result), encoding="utf-8")
        return path

    return write


@pytest.fixture
def benchmark(cli: Cli, model: Path, tmp_path: Path) -> Callable[..., Done]:
    """`benchmark` of the file with a results folder of its own; of browsers alone unless told."""
    (tmp_path / "results").mkdir()

    def run(*options: object, device: str = "browser") -> Done:
        return cli("benchmark", model, "--results", tmp_path / "results", "--device", device, *options)

    return run


def budget_file(folder: Path, limit: float) -> Path:
    path = folder / "own.yaml"
    path.write_text(f"name: own\nlatency: {{pixel_4: {{max_p90_ms: {limit}}}}}\n", encoding="utf-8")
    return path


def test_a_result_is_a_row_beside_the_hosts(benchmark, posted: Posted, tmp_path: Path) -> None:
    done = benchmark("--import", posted(), *ALONE, "--out", tmp_path / "out", "--json", device="host")
    assert done.code == 0
    result = done.json()
    assert [(row["name"], row["device"], row["threads"]) for row in result["rows"]] == [
        ("net.tflite", "host", 1), ("net.tflite", "browser", 1)
    ]  # fmt: skip
    host, browser = result["rows"]
    assert set(host) < set(browser) and all(host[key] == browser[key] for key in ("precision", "macs", "file_bytes"))
    assert (browser["p50_ms"], browser["p90_ms"], browser["ratios"]) == (12.3, 14.5, {})
    assert result["browser"] == [browser]
    # The one about reference nets, of the host alone.
    # On a busy machine a second one says so.
    assert "no reference net was measured" in result["warnings"][-1] and host["ratios"] == {}
    (written,) = (tmp_path / "out").glob("*_host_*_net.json")
    assert json.loads(written.read_text(encoding="utf-8")) == result
    (saved,) = (tmp_path / "results").iterdir()
    assert f"download.json: saved as {saved}" in done.err


def test_people_read_a_table_of_its_own(benchmark, posted: Posted) -> None:
    benchmark("--import", posted(), "--json")
    done = benchmark(*ALONE, device="host")
    lines = [line.split() for line in done.out.splitlines()]
    start = next(i for i, words in enumerate(lines) if words[:2] == ["in", "browsers:"])
    assert "p50 ms" in done.out.splitlines()[start + 1] and "end to end" in done.out.splitlines()[start + 1]
    shown = "net.tflite Chrome 141, Android 13, Pixel 4, 8 cores 1 12.30 14.50 30.25 47.50 77 yes yes"
    assert lines[start + 2] == shown.split()
    assert sum(words[:1] == ["net.tflite"] for words in lines[:start]) == 1


def test_browsers_alone_need_no_measuring(benchmark, posted: Posted) -> None:
    done = benchmark("--import", posted(), "--json")
    result = done.json()
    assert done.code == 0 and result["environment"] is None and result["warnings"] == []
    assert [row["device"] for row in result["rows"]] == ["browser"] and result["rows"] == result["browser"]
    assert "in browsers" in benchmark().out


def test_a_result_is_a_row_beside_a_phones(benchmark, posted: Posted, phone: Phone, tmp_path: Path) -> None:
    options = ("--benchmark-binary", phone.binary, "--budget", budget_file(tmp_path, 14))
    done = benchmark("--import", posted(), *options, "--out", tmp_path / "out", "--json", device="android")
    result = done.json()
    own, browser = result["rows"]
    # Nothing says how good a file without a sidecar is.
    assert done.code == 3 and done.err.splitlines()[-1] == "not measured: gates of the export"
    assert result["browser"] == [browser] and "warnings" not in result
    assert (own["model"], own["median_ms"]) == ("net.tflite", pytest.approx(5.29))
    assert (browser["name"], browser["device"], browser["p50_ms"]) == ("net.tflite", "browser", 12.3)
    # The phone's p90 lies below its p95 of 5.6 ms; the browser's of 14.5 ms proves nothing.
    assert [(gate["name"], gate["met"]) for gate in result["verdicts"]["net.tflite"]] == [
        ("p90 on pixel_4", True), ("gates of the export", None), ("p90 on pixel_4 (browser)", None)
    ]  # fmt: skip
    (written,) = (tmp_path / "out").iterdir()
    assert json.loads(written.read_text(encoding="utf-8")) == {**own, "class": "pixel_4"}
    shown = benchmark(*options, device="android").out
    words = ["peak memory", "in browsers", "Chrome 141", "budget own", "p90 on pixel_4 ", "p90 on pixel_4 (browser)"]
    places = [shown.index(text) for text in words]
    assert places == sorted(places)


def test_beside_a_phone_too_it_is_said_what_is_not_shown_or_judged(benchmark, posted: Posted, phone: Phone) -> None:
    options = ("--benchmark-binary", phone.binary)
    benchmark("--import", posted(sha256="ab" * 32), "--import", posted("b.json", verified=False), "--json")
    other, unverified = benchmark(*options, "--json", device="android").json()["warnings"]
    assert other == "not shown: 1 browser measurement of another net.tflite (another SHA-256)"
    assert unverified.startswith("1 of 1 browser rows are unverified")
    shown = " ".join(benchmark(*options, device="android").out.split())
    assert f"warning: {other}" in shown and f"warning: {unverified}" in shown


def test_hostile_names_are_shown_as_they_are_and_move_nothing(
    benchmark, posted: Posted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    model, platform = "[red]x[/nope]:smile:\n\x1b[2Jy" + "z" * 200, "\u202e[link=http://a]\\"
    benchmark("--import", posted(model=model, platform=platform), "--json")
    done = benchmark()
    assert done.code == 0
    (line,) = (line for line in done.out.splitlines() if line.startswith("net.tflite"))
    assert r"[link=http://a]\, [red]x[/nope]:smile:  [2Jyzzz" in line and "z…, 8 cores" in line
    assert (
        line.split()[-2:] == ["yes", "yes"] and "\x1b" not in done.out and "\u202e" not in done.out and len(line) < 250
    )


def test_what_is_not_verified_is_marked_and_not_judged(benchmark, posted: Posted, tmp_path: Path) -> None:
    budget = ("--budget", budget_file(tmp_path, 100))
    gates = benchmark("--import", posted(verified=False), "--json", *budget).json()["verdicts"]["net.tflite"]
    assert gates[-1] == {
        "name": "p90 on pixel_4 (browser)", "limit": "≤ 100 ms", "measured": "not measured", "met": None,
        "applies": True,
    }  # fmt: skip
    done = benchmark(*budget)
    (line,) = (line for line in done.out.splitlines() if "Pixel 4" in line)
    assert line.split()[-2] == "NO"
    assert "1 of 1 browser rows are unverified" in " ".join(done.out.split())


@pytest.mark.parametrize(("limit", "met"), [(14.5, True), (14.4, None)])
def test_a_limit_is_met_in_a_browser_or_left_open(
    benchmark, posted: Posted, tmp_path: Path, limit: float, met: bool | None
) -> None:
    options = ("--import", posted(), "--budget", budget_file(tmp_path, limit))
    alone = benchmark(*options, "--json")
    beside = benchmark(*options, *ALONE, "--json", device="host")
    gate = {"name": "p90 on pixel_4 (browser)", "limit": f"≤ {limit} ms", "measured": "14.5 ms", "met": met}
    assert alone.json()["browser"][0]["verdict"] == {**gate, "applies": True}
    for done, applies in ((alone, True), (beside, False)):
        native, export, browser = done.json()["verdicts"]["net.tflite"]
        assert (native["name"], native["met"], native["applies"]) == ("p90 on pixel_4", None, False)
        assert browser == {**gate, "applies": applies}
        # Without a sidecar nothing says how good the file is.
        assert (export["name"], export["met"], done.code) == ("gates of the export", None, 3)


def test_a_posted_result_turns_no_budget_to_met(
    benchmark, posted: Posted, exported: dict[str, Artifact], model: Path, tmp_path: Path
) -> None:
    sidecar = json.loads(exported["int8_qat"].path.with_suffix(".json").read_text(encoding="utf-8"))
    sidecar["file"]["name"], status = model.name, sidecar["status"]
    model.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    save_result(posted().read_bytes(), tmp_path / "results")
    budget = ("--budget", budget_file(tmp_path, 14.5))
    done = benchmark("--json", *budget)
    *_, gate = done.json()["verdicts"][model.name]
    assert (gate["met"], gate["measured"]) == (None, "not measured: posted, not imported")
    (warning,) = done.json()["warnings"]
    assert "1 of 1 browser rows were posted" in warning and "--import FILE" in warning
    assert "p90 on pixel_4 (browser)" in done.err.splitlines()[0] and done.code == (1 if status == "failed" else 3)
    # The user may vouch for the very same result.
    (saved,) = (tmp_path / "results").iterdir()
    done = benchmark("--import", saved, "--json", *budget)
    *_, gate = done.json()["verdicts"][model.name]
    assert (gate["met"], len(done.json()["rows"])) == (True, 1)
    assert done.code == (1 if status == "failed" else 0)


def test_with_browsers_alone_the_file_and_its_sidecar_are_judged_too(
    cli: Cli, benchmark, posted: Posted, model: Path, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    budget = tmp_path / "own.yaml"
    budget.write_text("name: own\nfile: {max_bytes: 10, max_parameters: 3.0e+6}\n", encoding="utf-8")
    done = benchmark("--import", posted(), "--budget", budget, "--json")
    assert (done.code, done.err.splitlines()[-1]) == (1, "limit not met: file size")
    assert {g["name"]: g["met"] for g in done.json()["verdicts"]["net.tflite"]} == {
        "parameters": True, "file size": False, "gates of the export": None
    }  # fmt: skip
    sidecar = json.loads(exported["int8_qat"].path.with_suffix(".json").read_text(encoding="utf-8"))
    sidecar["file"]["name"], sidecar["status"] = model.name, "failed"
    sidecar["gates"].append({"name": "own", "limit": "≤ 1", "measured": "2", "met": False})
    model.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    budget.write_text("name: own\n", encoding="utf-8")
    assert benchmark("--budget", budget).err.splitlines()[-1] == "limit not met: gates of the export"


def test_rubbish_is_refused_before_anything_is_kept_or_measured(benchmark, posted: Posted, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.json"
    rubbish.write_bytes(b"\xff\xd8 no result")
    for options, words in [
        (["--import", posted(), "--import", rubbish], f"{rubbish}: no result of the demo's page: invalid JSON"),
        (["--import", posted("x.json", threads=0)], "rows.0.threads: input should be greater than or equal to 1"),
        (["--import", tmp_path / "none.json"], "none.json: cannot be read: No such file"),
        (["--import", tmp_path], "cannot be read: Is a directory"),
    ]:
        done = benchmark(*options, *ALONE, device="host")
        assert (done.code, done.out) == (2, "") and words in done.error
    assert not list((tmp_path / "results").iterdir())


def test_a_damaged_result_is_told_and_the_others_shown(benchmark, posted: Posted, tmp_path: Path) -> None:
    benchmark("--import", posted(), "--json")
    (saved,) = (tmp_path / "results").iterdir()
    saved.with_name(saved.name.replace("2026", "2025")).write_bytes(b"{")
    done = benchmark("--json")
    (warning,) = done.json()["warnings"]
    assert done.code == 0 and len(done.json()["browser"]) == 1
    assert "2025-01-31T120000" in warning and "no result of the demo's page: invalid JSON" in warning
    assert "warning: not shown: " in benchmark().out


def test_a_result_of_another_file_is_not_shown_and_that_is_said(benchmark, posted: Posted) -> None:
    done = benchmark("--import", posted(sha256="ab" * 32))
    told = " ".join(done.err.split())
    assert done.code == 2 and done.out == "" and "no browser has measured these files" in done.error
    assert "download.json holds no measurement of these files" in told
    assert "not shown: 1 browser measurement of another net.tflite (another SHA-256)" in told
    host = benchmark(*ALONE, "--json", device="host").json()
    assert host["browser"] == [] and [row["device"] for row in host["rows"]] == ["host"]
    # A busy machine is warned of too.
    assert [line for line in host["warnings"] if "browser" in line] == [
        "not shown: 1 browser measurement of another net.tflite (another SHA-256)"
    ]


def test_a_damaged_model_is_told_before_what_browsers_did_not_measure(benchmark, model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-1000])
    assert "net.tflite: the file is damaged" in benchmark().error
    model.unlink()
    assert "net.tflite: no such file" in benchmark().error


def test_what_cannot_be_shown_is_one_line(cli: Cli, benchmark, posted: Posted, model: Path, tmp_path: Path) -> None:
    assert "no browser has measured these files" in benchmark().error
    assert "--out: nothing is measured with --device browser" in benchmark("--import", posted(), "--out", "x").error
    missing = cli("benchmark", model, "--results", tmp_path / "none", *ALONE)
    assert missing.code == 2 and "none: no such folder" in missing.error
    results = tmp_path / "others"
    gone = cli("benchmark", tmp_path / "gone.tflite", "--results", results, "--import", posted())
    assert gone.code == 2 and "gone.tflite: no such file" in gone.error and not results.exists()


def test_the_folder_of_results_is_the_projects_own_without_one_named(
    cli: Cli, posted: Posted, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("benchmark", model, "--device", "browser", "--import", posted(), "--json").code == 0
    assert len(list((tmp_path / "export" / "results").glob("2026-01-31T120000_imported_pixel-4_*.json"))) == 1
