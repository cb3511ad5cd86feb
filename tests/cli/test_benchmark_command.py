"""`benchmark` of exported files from the outside: rows, verdicts, exit status; on this machine and on a phone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from stand_in_phone import PRINTED, Phone, elf

from keras_faceattr.api import benchmarking
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.budget import devices
from keras_faceattr.measure import benchmark
from keras_faceattr.measure.end_to_end import measure_end_to_end
from keras_faceattr.measure.latency import Latency

from .conftest import Cli, Done


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measure_end_to_end", partial(measure_end_to_end, budget_s=0.3))


ALONE = ("--against", "none", "--seconds", "1")

Timed = Callable[..., None]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Timed:
    """Replaces measuring: ten rounds of ten runs of 10 ms, of which two take longer by a factor."""
    monkeypatch.setattr(benchmarking, "_end_to_end", lambda *_: {})

    def take(slow: float = 1.0) -> None:
        times = Latency.of([[0.01] * 8 + [0.01 * slow] * 2] * 10, 1)
        monkeypatch.setattr(benchmark, "measure_latencies", lambda models, *_, **__: dict.fromkeys(models, times))

    take()
    return take


def budget_file(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(f"name: own\n{text}\n", encoding="utf-8")
    return path


def test_each_file_is_a_row_with_its_cost_its_metrics_and_its_time_from_photo_to_number(
    cli: Cli, exported: dict[str, Artifact]
) -> None:
    files = [exported["float32"].path, exported["int8_qat"].path]
    done = cli("benchmark", *files, *ALONE, "--json")
    assert done.code == 0
    result = done.json()
    assert [(row["name"], row["precision"], row["threads"]) for row in result["rows"]] == [
        ("quickstart_float32.tflite", "float32", 1), ("quickstart_int8_qat.tflite", "int8", 1)
    ]  # fmt: skip
    for path, row in zip(files, result["rows"], strict=True):
        sidecar = exported["float32" if path == files[0] else "int8_qat"].sidecar
        assert (row["file_bytes"], row["macs"], row["side"]) == (path.stat().st_size, sidecar.cost.macs, 32)
        assert {m["task"]: m["value"] for m in row["metrics"]}["age"] == pytest.approx(
            sidecar.metrics["age"]["metrics"]["mae"]["value"]
        )
        assert 0 < row["p50_ms"] <= row["p90_ms"] and row["ratios"] == {}
        times = result["end_to_end"][path.name]
        assert all(times[part]["p50_ms"] > 0 for part in ("preprocessing", "model", "end_to_end"))
        assert times["end_to_end"]["p50_ms"] > times["preprocessing"]["p50_ms"]
    assert any("no reference net was measured" in line for line in result["warnings"])
    assert result["verdicts"] == {}


def test_the_table_shows_the_same_to_people(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    done = cli("benchmark", exported["int8_qat"].path, *ALONE, "--ops", "--out", tmp_path)
    assert done.code == 0
    assert "quickstart_int8_qat.tflite" in done.out and "age mae" in done.out and "p90 ms" in done.out
    assert "operations as they run" in done.out and "QUANTIZE" in done.out
    assert "warning: no reference net was measured" in done.out
    (written,) = tmp_path.glob("*_host_*.json")
    assert f"written to {written}" in done.err
    assert json.loads(written.read_text(encoding="utf-8"))["rows"][0]["name"] == "quickstart_int8_qat.tflite"


def test_a_file_without_a_sidecar_is_timed_and_its_metrics_read_not_measured(
    cli: Cli, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    alone = tmp_path / "alone.tflite"
    shutil.copyfile(exported["float32"].path, alone)
    done = cli("benchmark", alone, *ALONE)
    assert done.code == 0 and "metrics not measured" in done.out and "end to end" not in done.out


def verdicts(done: Done, name: str = "quickstart_float32.tflite") -> dict[str, bool | None]:
    return {gate["name"]: gate["met"] for gate in done.json()["verdicts"][name]}


def test_a_budget_exits_0_where_all_that_applies_was_judged_and_met(
    cli: Cli, exported: dict[str, Artifact], timed: Timed, tmp_path: Path
) -> None:
    text = "file: {max_bytes: {float32: 5.0e+6}}\nlatency: {pixel_4: {max_p90_ms: 9}, raspberry_pi_5: {max_p90_ms: 9}}"
    options = (*ALONE, "--budget", budget_file(tmp_path, text))
    done = cli("benchmark", exported["float32"].path, *options, "--json")
    assert (done.code, done.err.splitlines()[-1][:9]) == (0, "measuring")
    assert verdicts(done) == {
        "file size": True, "p90 on pixel_4": None, "p90 on raspberry_pi_5": None, "gates of the export": True
    }  # fmt: skip
    # Other devices are listed, and not counted.
    gates = done.json()["verdicts"]["quickstart_float32.tflite"]
    assert [gate["applies"] for gate in gates] == [True, False, False, True]
    assert cli("benchmark", exported["float32"].path, *options).out.count("not measured (another device)") == 2


@pytest.mark.parametrize(
    ("text", "options", "name"),
    [
        ("speed_up: {resnet50: {minimum: 1}}", [], "speed against resnet50"),
        ("latency: {host: {max_p90_ms: 1.0e+6}}", ["--threads", "2"], "p90 on host"),
        ("file: {max_bytes: {int8: 5.0e+6}}", [], "file size"),
        ("drop: {auc: {absolute: 0.1}}", [], "auc (budget own)"),
    ],
)
def test_a_limit_that_was_not_measured_exits_3_and_is_named(
    cli: Cli, exported: dict[str, Artifact], timed: Timed, tmp_path: Path, text: str, options: list[str], name: str
) -> None:
    if "--threads" in options and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    budget = ("--budget", budget_file(tmp_path, text))
    done = cli("benchmark", exported["float32"].path, *ALONE, *budget, *options, "--json")
    assert (done.code, done.err.splitlines()[-1]) == (3, f"not measured: {name}")
    assert verdicts(done)[name] is None


def test_a_board_that_this_computer_is_not_is_refused_and_judged_on_itself(
    cli: Cli, exported: dict[str, Artifact], timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = tmp_path / "model"
    monkeypatch.setattr(devices, "BOARD_MODEL", board)
    budget = ("--budget", budget_file(tmp_path, "latency: {raspberry_pi_5: {max_p90_ms: 1.0e+6}}"), "--json")
    command = ("benchmark", exported["float32"].path, *ALONE, *budget)
    refused = cli(*command, "--device", "raspberry_pi_5")
    assert refused.code == 2 and refused.out == "" and "this computer is no Raspberry Pi 5" in refused.error
    assert cli(*command).json()["environment"]["classes"] == ["host"]
    board.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    for device in ("host", "raspberry_pi_5"):
        done = cli(*command, "--device", device)
        assert done.json()["environment"]["classes"] == ["host", "raspberry_pi_5"]
        assert (done.code, verdicts(done)["p90 on raspberry_pi_5"]) == (0, True)


def test_a_busy_machine_gives_no_p90_to_judge(
    cli: Cli, exported: dict[str, Artifact], timed: Timed, tmp_path: Path
) -> None:
    budget = ("--budget", budget_file(tmp_path, "latency: {host: {max_p90_ms: 1000}}"), "--json")
    for slow, busy in ((1.0, False), (2.0, True)):
        timed(slow)
        done = cli("benchmark", exported["float32"].path, *ALONE, *budget)
        (row,) = done.json()["rows"]
        assert row["busy"] is busy
        assert (done.code, verdicts(done)["p90 on host"]) == ((3, None) if busy else (0, True))


def test_a_budget_that_is_not_kept_exits_1_and_names_the_limit(
    cli: Cli, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    budget = budget_file(tmp_path, "file: {max_bytes: 10000, max_parameters: 3.0e+6}\nnote: Too small for anything.")
    done = cli("benchmark", exported["float32"].path, *ALONE, "--budget", budget)
    assert done.code == 1
    assert done.err.splitlines()[-1] == "limit not met: file size"
    assert "not met" in done.out and "Too small for anything." in done.out


def copied(artifact: Artifact, folder: Path, failed: bool = False, **drops: float) -> Path:
    """The file and its sidecar elsewhere, with a gate that was missed, or with larger errors than the float model."""
    folder.mkdir(parents=True)
    path = Path(shutil.copyfile(artifact.path, folder / artifact.path.name))
    sidecar = json.loads(artifact.path.with_suffix(".json").read_text(encoding="utf-8"))
    for task, drop in drops.items():
        parity = sidecar["parity"]
        for measured in (sidecar["metrics"], parity["metrics"]["file"]):
            before = parity["metrics"]["float"][task]["metrics"]["mae"]["value"]
            measured[task]["metrics"]["mae"]["value"] = before + drop
        parity["drop"][task]["mae"] = drop
    if failed:
        sidecar["status"] = "failed"
        sidecar["gates"].append({"name": "own", "limit": "≤ 1", "measured": "2", "met": False})
    path.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    return path


def test_what_the_sidecar_says_of_the_accuracy_is_part_of_the_verdict(
    cli: Cli, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    text = "drop: {mae: {absolute: 0.5}, auc: {absolute: 0.1}}"
    worse = copied(exported["float32"], tmp_path / "worse", age=0.6, attractiveness=0.4)
    done = cli("benchmark", worse, *ALONE, "--budget", budget_file(tmp_path, text), "--json")
    assert (done.code, done.err.splitlines()[-1]) == (1, "limit not met: age mae (budget own)")
    assert {gate["name"]: gate["met"] for gate in done.json()["verdicts"][worse.name]} == {
        "attractiveness mae (budget own)": True, "age mae (budget own)": False, "auc (budget own)": None,
        # Its gates say that both errors are within a thousandth.
        "gates of the export": None,
    }  # fmt: skip
    worse.with_suffix(".json").unlink()
    done = cli("benchmark", worse, *ALONE, "--budget", budget_file(tmp_path, text), "--json")
    assert done.code == 3 and {gate["met"] for gate in done.json()["verdicts"][worse.name]} == {None}


def test_a_file_whose_export_failed_keeps_no_budget(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    failed = copied(exported["float32"], tmp_path / "failed", failed=True)
    assert cli("benchmark", failed, *ALONE).code == 0
    done = cli("benchmark", failed, *ALONE, "--budget", budget_file(tmp_path, "file: {max_bytes: 5.0e+6}"))
    assert (done.code, done.err.splitlines()[-1]) == (1, "limit not met: gates of the export")
    assert "gates of the export" in done.out and "not met" in done.out


def test_files_of_one_name_in_folders_of_one_name_are_told_apart(
    cli: Cli, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    failed = copied(exported["float32"], tmp_path / "quickstart" / "export" / "float32", failed=True)
    passed = copied(exported["float32"], tmp_path / "quickstart-2" / "export" / "float32")
    budget = budget_file(tmp_path, "file: {max_bytes: 5.0e+6}")
    done = cli("benchmark", failed, passed, *ALONE, "--ops", "--budget", budget, "--json")
    names = [f"quickstart{run}/export/float32/quickstart_float32.tflite" for run in ("", "-2")]
    result = done.json()
    assert done.code == 1
    assert [row["name"] for row in result["rows"]] == names
    for part in ("verdicts", "ops", "end_to_end"):
        assert list(result[part]) == names, part
    assert [result["verdicts"][name][-1]["met"] for name in names] == [False, True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threads", "0"], "--threads 0: "),
        (["--threads", "999"], "--threads 999: "),
        (["--threads", "two"], "--threads 'two': write whole numbers"),
        (["--threads", "1.5"], "--threads '1.5': write whole numbers"),
        (["--device", "pixel_5"], "no device class 'pixel_5'; did you mean 'pixel_4'?"),
        (["--budget", "tiny_at_net"], "no budget 'tiny_at_net'"),
        (["--against", "resnet5"], "unknown reference net 'resnet5'; did you mean 'resnet50'?"),
        (["--against", "vgg16", "--precision", "int7"], "unknown precision 'int7'"),
        (["--device", "android"], "name it with --benchmark-binary PATH"),
    ],
)
def test_a_wrong_option_is_one_line(cli: Cli, exported: dict[str, Artifact], options: list[str], words: str) -> None:
    done = cli("benchmark", exported["float32"].path, *(() if "--against" in options else ALONE), *options)
    assert done.code == 2 and words in done.error and done.out == ""


def test_a_budget_with_an_unknown_field_is_one_line(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    done = cli("benchmark", exported["float32"].path, *ALONE, "--budget", budget_file(tmp_path, "fiel: {}"))
    assert done.code == 2 and "unknown key 'fiel'; did you mean 'file'?" in done.error


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty"), (b"PK\x03\x04 no model", "not a TFLite file"), (None, "no such file")]
)
def test_a_damaged_file_without_a_sidecar_is_one_line(
    cli: Cli, tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "x.tflite").write_bytes(content)
    done = cli("benchmark", tmp_path / "x.tflite", *ALONE)
    assert done.code == 2 and words in done.error


@pytest.fixture
def android(cli: Cli, phone: Phone, exported: dict[str, Artifact], tmp_path: Path):
    """`benchmark` of an exported file that passed on the stand-in phone, a Pixel 4 without connection to the world."""
    alone = copied(exported["float32"], tmp_path / "alone")

    def run(*options: object, device: str = "android", models: Sequence[Path] = ()):
        binary = ("--benchmark-binary", phone.binary)
        return cli("benchmark", *(models or [alone]), "--device", device, *binary, *options)

    return run


LIMIT = "latency: {pixel_4: {max_p90_ms: 5.5}}"


def test_a_phone_is_measured_and_its_result_stands_in_a_folder(android, tmp_path: Path) -> None:
    done = android("--out", tmp_path / "results", "--json")
    assert done.code == 0
    result = done.json()
    assert result["class"] == "pixel_4"
    (row,) = result["rows"]
    assert (row["model"], row["threads"], row["runs"]) == ("quickstart_float32.tflite", 1, 188)
    # The transcript says median=5290 and p95=5600, in microseconds, and no p90.
    assert (row["median_ms"], row["p95_ms"], row["p90_ms"]) == (pytest.approx(5.29), pytest.approx(5.6), None)
    (written,) = (tmp_path / "results").glob("*_android_Pixel-4_quickstart_float32.tflite_1.json")
    stored = json.loads(written.read_text(encoding="utf-8"))
    assert stored == {**row, "class": "pixel_4"} and stored["device"]["android_version"] == "13"


def test_people_read_a_table_and_of_the_p90_that_it_was_not_measured(android) -> None:
    done = android()
    text = " ".join(done.out.split())
    assert done.code == 0 and "Google Pixel 4, Android 13" in text
    assert "p90 not measured" in text and "p95 5.60 ms" in text


def test_without_results_of_browsers_nothing_stands_beside_the_phone(cli: Cli, phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    # Its bytes after the head are nothing: whether a file runs is the phone's to say.
    options = ("--device", "android", "--benchmark-binary", phone.binary, "--results", tmp_path / "results")
    result = cli("benchmark", phone.model, *options, "--json").json()
    assert [row["model"] for row in result["rows"]] == ["tiny.tflite"]
    assert {**result, "rows": []} == {"class": "pixel_4", "rows": [], "verdicts": {}, "browser": []}
    shown = cli("benchmark", phone.model, *options)
    assert shown.code == 0 and shown.out.strip().splitlines()[-1].split()[0] == "runtime"


def printed(times: str) -> str:
    return PRINTED.replace("p5=5110 median=5290 p95=5600", times)


@pytest.mark.parametrize(
    ("times", "code", "met"),
    [
        ("p5=5110 median=5290 p95=5600", 3, None),  # the p90 lies on either side of 5.5 ms
        ("", 3, None),  # an old binary prints no percentile at all
        ("p5=5110 median=5290", 3, None),
        ("p5=5110 median=5290 p95=5400", 0, True),
        ("p5=5110 median=5600 p95=5900", 1, False),
        ("p5=5110 median=5290 p90=5400 p95=5600", 0, True),
        ("p5=5110 median=5290 p90=5550 p95=5600", 1, False),
    ],
)
def test_a_p90_is_judged_only_by_what_the_binary_printed(
    android, phone: Phone, tmp_path: Path, times: str, code: int, met: bool | None
) -> None:
    phone.print(printed(times))
    budget = budget_file(tmp_path, LIMIT)
    done = android("--budget", budget, "--json")
    gate, _ = done.json()["verdicts"]["quickstart_float32.tflite"]
    assert (gate["name"], gate["met"], done.code) == ("p90 on pixel_4", met, code)
    shown = android("--budget", budget)
    (row,) = (line.rstrip() for line in shown.out.splitlines() if "p90 on pixel_4" in line)
    assert row.endswith({True: "  met", False: "  not met", None: "  not measured"}[met])
    told = {True: "", False: "limit not met: p90 on pixel_4", None: "not measured: p90 on pixel_4"}[met]
    assert shown.err.splitlines() == ([told] if told else [])


def test_what_one_thread_gave_is_judged_whatever_else_was_measured(android, phone: Phone, tmp_path: Path) -> None:
    phone.print(printed("p5=5110 median=5600 p95=5900"))
    for threads in ("1,2", "2,1"):
        done = android("--budget", budget_file(tmp_path, LIMIT), "--threads", threads, "--json")
        assert [row["threads"] for row in done.json()["rows"]] == [int(n) for n in threads.split(",")]
        assert done.code == 1, threads
    assert android("--budget", budget_file(tmp_path, LIMIT), "--threads", "2").code == 3


def test_another_class_of_phones_is_not_judged(android, phone: Phone, tmp_path: Path) -> None:
    properties = phone.folder / "properties"
    properties.write_text(properties.read_text().replace("Pixel 4", "Other 9").replace("msmnile", "unheard"))
    phone.print(printed("p5=5110 median=5600 p95=5900"))
    done = android("--budget", budget_file(tmp_path, LIMIT), "--json")
    assert done.code == 0 and done.json()["class"] is None
    gate, _ = done.json()["verdicts"]["quickstart_float32.tflite"]
    assert (gate["name"], gate["met"], gate["measured"]) == ("p90 on pixel_4", None, "not measured")
    assert not gate["applies"]


def test_on_a_phone_too_every_limit_is_judged_or_not_measured(
    android, phone: Phone, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    text = f"{LIMIT}\nfile: {{max_bytes: 1}}\nspeed_up: {{resnet50: {{minimum: 99}}}}\ndrop: {{mae: {{absolute: 9}}}}"
    options = ("--budget", budget_file(tmp_path, text), "--json")
    path = copied(exported["float32"], tmp_path / "copied")
    done = android(*options, models=[path])
    assert done.code == 1
    assert {gate["name"]: gate["met"] for gate in done.json()["verdicts"][path.name]} == {
        "file size": False, "attractiveness mae (budget own)": True, "age mae (budget own)": True,
        "speed against resnet50": None, "p90 on pixel_4": None, "gates of the export": True,
    }  # fmt: skip
    # What only the phone can read is timed, and nothing else is known of it.
    unheard = android(*options, models=[phone.model]).json()["verdicts"]["tiny.tflite"]
    assert {gate["met"] for gate in unheard} == {None} and len(unheard) == 5


def test_of_two_files_of_one_name_each_has_its_own_verdict_and_result(
    android, phone: Phone, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    paths = [copied(exported["float32"], tmp_path / run / "export" / "float32") for run in ("one", "other")]
    (phone.folder / "slow").write_text(printed("p5=5110 median=5600 p95=5900"))
    (phone.folder / "fast").write_text(printed("p5=5110 median=5290 p95=5400"))
    # The first file is too slow, the second is not.
    phone.play(f'cd "{phone.folder}"; cat slow; cp fast slow')
    done = android("--budget", budget_file(tmp_path, LIMIT), "--json", "--out", tmp_path / "out", models=paths)
    names = [f"{run}/export/float32/quickstart_float32.tflite" for run in ("one", "other")]
    result = done.json()
    assert [row["model"] for row in result["rows"]] == names == list(result["verdicts"])
    assert [result["verdicts"][name][0]["met"] for name in names] == [False, True]
    assert (done.code, done.err.splitlines()[-1]) == (1, "limit not met: p90 on pixel_4")
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_phone_of_another_class_than_the_named_is_refused_before_it_is_touched(android, phone: Phone) -> None:
    assert android(device="pixel_4").code == 0
    phone.print(PRINTED)
    before = len(phone.calls())
    done = android(device="mid_range_phone")
    assert done.code == 2
    assert "the connected Pixel 4 (msmnile) is of the class 'pixel_4', not 'mid_range_phone'" in done.error
    assert not any("push" in call for call in phone.calls()[before:])


def test_what_is_missing_or_wrong_is_one_line(
    android, phone: Phone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "threads = 0: must be at least 1" in android("--threads", "0").error
    assert "cpu_mask = 'x'" in android("--cpu-mask", "x").error
    phone.binary.write_bytes(elf(62))
    assert "built for x86-64, but Pixel 4 runs arm64-v8a" in android().error
    phone.binary.unlink()
    assert "the benchmark binary cannot be read" in android().error
    phone.answer("devices", "List of devices attached\n\n", 0)
    assert "no Android device is connected" in android().error
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    done = android()
    assert done.code == 2 and "no adb in PATH" in done.error and "platform-tools" in done.error
