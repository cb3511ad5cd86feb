"""One documented call in Python for each thing that the command line does, with the same results and errors."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from small import SMALL, CommandLine, frameworks_after

import keras_faceattr as kfa
from keras_faceattr.api import benchmarking, exporting
from keras_faceattr.api.configs import as_overrides
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.config_files import apply_overrides
from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.errors import ConfigError, ModelError, RunError
from keras_faceattr.measured import metrics_of


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three drawn faces in a folder, and a file that is no photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        assert cv2.imwrite(str(folder / f"{number}.png"), synthetic_photo(9, number, 64)[0][..., ::-1])
    (folder / "3.png").write_text("no photo")
    return folder


def test_every_call_says_what_it_takes_and_what_it_raises() -> None:
    calls = [found for found in (getattr(kfa, name) for name in kfa.__all__) if inspect.isfunction(found)]
    assert len(calls) >= 8
    for call in calls:
        text, parameters = inspect.getdoc(call) or "", inspect.signature(call).parameters
        for name in parameters:
            assert f"{name}" in text, f"{call.__name__}: {name} is not described"
        assert "Raises:" in text or call in (kfa.readers, kfa.config_names)


def test_the_calls_stay_calls_whatever_modules_are_imported() -> None:
    import keras_faceattr.alignment.job
    import keras_faceattr.convert.recipe  # noqa: F401

    assert callable(kfa.align) and callable(kfa.export)


def test_settings_arrive_as_they_were_given() -> None:
    given = {
        "training.epochs": 5,
        "training.optimizer.learning_rate": 1e-05,
        "data.augmentation": None,
        "data.sources": [{"reader": "csv_file", "path": "a: b", "weight": 2.5e-07}],
        "name": "yes",
        "model.init_from": Path("runs/one"),
        "seed": np.int64(3),
    }
    data: dict[str, object] = {}
    apply_overrides(data, as_overrides(given))
    assert data == {
        "training": {"epochs": 5, "optimizer": {"learning_rate": 1e-05}},
        "data": {"augmentation": None, "sources": given["data.sources"]},
        "name": "yes",
        "model": {"init_from": "runs/one"},
        "seed": 3,
    }
    assert as_overrides(["a.b=1"]) == ["a.b=1"] == as_overrides("a.b=1") and as_overrides(None) == []
    with pytest.raises(ConfigError, match="'model.name': function is no value of a config"):
        as_overrides({"model.name": lambda: None})


def test_a_run_that_was_stopped_goes_on_and_its_metrics_are_numbers_with_intervals(
    small_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(small_run, tmp_path / "run")
    run = kfa.fit(resume=folder, verbose=False)
    told = json.loads((folder / "metrics.json").read_text())["tasks"]["age"]
    age = run.metrics["age"]
    assert age["mae"] == told["metrics"]["mae"]["value"] and age.unit == "years" and age.photos == told["labelled"]
    assert age.intervals["mae"] == (told["metrics"]["mae"]["low"], told["metrics"]["mae"]["high"])
    assert list(age) == list(told["metrics"]) and "years" in repr(age) and "<table>" in age._repr_html_()
    captured = capfd.readouterr()
    assert captured.out == "" and "epoch" not in captured.err
    with pytest.raises(ConfigError, match="leave out --set"):
        kfa.fit(resume=folder, set={"seed": 1}, verbose=False)


def test_groups_are_metrics_too_and_what_was_not_measured_is_nan() -> None:
    number = {"value": 2.0, "low": 1.0, "high": 3.0}
    unknown = {"value": None, "low": None, "high": None}
    group = {"labelled": 4, "metrics": {"mae": unknown}}
    plain = {"unit": "years", "labelled": 9, "metrics": {"mae": number}, "groups": {"gender": {"female": group}}}
    age = metrics_of({"age": plain})["age"]
    assert age["mae"] == 2.0 and age.intervals == {"mae": (1.0, 3.0)}
    female = age.groups["gender"]["female"]
    assert np.isnan(female["mae"]) and female.intervals == {} and female.photos == 4


def test_a_table_run_has_results_and_no_metrics_of_tasks(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("kind: table\n")
    (tmp_path / "metrics.json").write_text('{"regressors": {}}')
    with pytest.raises(RunError, match="no run of a net on photos"):
        kfa.Run(tmp_path).metrics  # noqa: B018


def test_an_export_is_a_list_of_files_with_what_was_proven(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SECONDS_A_FILE", 0.1)
    files = kfa.export(kfa.Run(small_run), ["float32"], out=tmp_path / "out", verbose=False)
    (file,) = files
    assert len(files) == 1 and files[0] is file and file.path.is_file() and file.recipe == "float32"
    assert file.status == "passed" and file.verdict in ("met", "not measured") and file.gates
    assert file.file_bytes == file.path.stat().st_size and file.latency.p50_ms > 0
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    assert told == json.loads(json.dumps(files.to_json())) and told["artifacts"][0]["file"] == str(file.path)
    assert file.metrics["age"]["mae"] == told["artifacts"][0]["metrics"]["age"]["metrics"]["mae"]["value"]
    assert "passed" in repr(files) and "float32" in files._repr_html_()
    report = kfa.evaluate(file, tta="none", verbose=False)
    assert report.metrics["age"]["mae"] == pytest.approx(file.metrics["age"]["mae"])


def test_what_was_measured_is_the_same_from_a_path_a_net_and_the_command_line(
    exported: dict[str, Artifact], command_line: CommandLine, tmp_path: Path
) -> None:
    path = exported["int8_qat"].path
    report = kfa.evaluate(path, split="val", out=tmp_path / "said.csv", verbose=False)
    _, out, _ = command_line("evaluate", path, "--split", "val", "--json")
    assert json.loads(json.dumps(report.results)) == json.loads(out)
    assert kfa.evaluate(kfa.load(path), split="val", verbose=False).results == report.results
    assert report.split == "val" and report.photos == len(pd.read_csv(tmp_path / "said.csv"))
    assert "age" in repr(report) and "<table>" in report._repr_html_()


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (lambda p: kfa.evaluate(p, split="tset"), ["evaluate", "{}", "--split", "tset"]),
        (lambda p: kfa.evaluate(p, data={"utkfase": "x"}), ["evaluate", "{}", "--data", "utkfase=x"]),
        (lambda p: kfa.compare([p, p]), ["compare", "{}", "{}"]),
        (lambda p: kfa.compare([p]), ["compare", "{}"]),
        (lambda p: kfa.predict(p, "nowhere.jpg", "out.csv"), ["predict", "{}", "nowhere.jpg", "--out", "out.csv"]),
        (lambda p: kfa.align("nowhere", "out"), ["align", "nowhere", "--out", "out"]),
        (lambda p: kfa.fit("quickstrat"), ["fit", "quickstrat"]),
        (lambda p: kfa.fit(set={"training.epoch": 1}), ["fit", "--set", "training.epoch=1"]),
        (lambda p: kfa.export(p, ["int9"]), ["export", "{}", "--recipe", "int9"]),
        (
            lambda p: kfa.benchmark([p], against=["resnet51"]),
            ["benchmark", "{}", "--against", "resnet51"],
        ),
        (lambda p: kfa.load(f"{p}x"), ["predict", "{}x", "photo.jpg"]),
    ],
)
def test_an_error_is_the_line_of_the_command_line(
    exported: dict[str, Artifact],
    command_line: CommandLine,
    call: Callable[[Path], object],
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = exported["float32"].path
    code, _, err = command_line(*(word.format(path) for word in command))
    with pytest.raises(kfa.FaceAttrError) as caught:
        call(path)
    assert code == 2 and err.strip().splitlines()[-1] == f"error: {caught.value}"


def test_what_comes_with_the_package_and_what_data_holds_is_the_command_lines(
    photos: Path, command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*words: object) -> Any:
        code, out, _ = command_line(*words, "--json")
        assert code == 0
        return json.loads(out)

    assert [dataclasses.asdict(net) for net in kfa.shipped_nets()] == told("zoo")
    assert {"readers": kfa.readers(), "configs": kfa.config_names()} == told("data", "list")
    table = tmp_path / "faces.csv"
    table.write_text("image,age\n" + "".join(f"photos/{n}.png,{20 + n}\n" for n in (0, 1, 2, 3)))
    found = kfa.inspect_data(table, picture=tmp_path / "seen.png")
    assert found == {key: value for key, value in told("data", "inspect", table).items() if key != "picture"}
    assert found["photos"] == 3 and len(found["put_aside"]) == 1 and (tmp_path / "seen.png").is_file()
    with pytest.raises(ConfigError, match=r"--picture seen.jpg: unknown kind '.jpg'; valid: .png"):
        kfa.inspect_data(table, picture="seen.jpg")
    net = told("info", "tiny_att_net", "--size", 64)
    counted = kfa.info("tiny_att_net", size=64)
    assert counted.macs == net["macs"]
    assert [layer.name for layer in counted.layers] == [layer["name"] for layer in net["layers"]]
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(tmp_path / "cache"))
    entry = tmp_path / "cache" / "crops" / "old.npy"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"12345")
    assert [e.path for e in kfa.cache_entries()] == [entry] and kfa.cache_entries(older_than_days=1) == []
    cleaned = kfa.clean_cache(["crops"])
    assert cleaned.freed_bytes == 5 and not entry.exists() and cleaned.in_use == []


def test_a_model_at_hand_is_counted_and_a_file_tells_what_holds(exported: dict[str, Artifact]) -> None:
    import keras

    dense = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert kfa.info(dense).macs == 8 * 8 * 3 * 2
    with pytest.raises(ModelError, match="only a model of one input picture of fixed size is counted"):
        kfa.info(keras.Sequential([keras.layers.Dense(2)]))
    artifact = exported["int8_qat"]
    found = kfa.file_info(artifact.path)
    assert found.sidecar == artifact.sidecar and found.reproduced == len(found.golden) > 0 and found.operations


def test_a_comparison_is_a_table(small_run: Path, exported: dict[str, Artifact], command_line: CommandLine) -> None:
    nets = [kfa.Run(small_run), kfa.load(exported["int8_qat"].path)]
    found = kfa.compare(nets, tasks=["age"], by="gender")
    _, out, _ = command_line("compare", small_run, exported["int8_qat"].path, "--task", "age", "--json")
    assert json.loads(json.dumps(found.results)) == json.loads(out)
    table = found.table()
    whole = table[(table["metric"] == "mae") & (table["group"] == "")]
    assert len(whole) == 2
    mae = kfa.Run(small_run).metrics["age"]["mae"]
    assert whole["value"].iloc[0] == pytest.approx(mae)
    assert "mae" in repr(found) and "<table" in found._repr_html_()


def test_faces_are_cut_once_and_predicted_from_the_crops(
    exported: dict[str, Artifact], photos: Path, tmp_path: Path
) -> None:
    path = exported["float32"].path
    spec = kfa.load(path).crop
    done = kfa.align(
        photos, tmp_path / "cut", size=spec.size, method="face_box", fallback="whole_photo", workers=1, verbose=False
    )
    assert (done.photos, done.crops, done.put_aside, done.already_done) == (4, 3, 1, 0)
    assert len(pd.read_csv(done.manifest)) == 3 and done.config is None and done.quarantine.is_file()
    again = kfa.align(
        photos, tmp_path / "cut", size=spec.size, method="face_box", fallback="whole_photo", workers=1, verbose=False
    )
    assert again.already_done == 4 and again.crops == 3


def test_a_table_of_predictions_is_the_command_lines(
    exported: dict[str, Artifact], photos: Path, command_line: CommandLine, tmp_path: Path
) -> None:
    path = exported["float32"].path
    summary = kfa.predict(path, photos, tmp_path / "own.jsonl", others=[exported["int8_qat"].path], verbose=False)
    command_line(
        "predict", path, photos, "--with", exported["int8_qat"].path, "--out", tmp_path / "command.jsonl"
    )  # fmt: skip
    assert (tmp_path / "own.jsonl").read_text() == (tmp_path / "command.jsonl").read_text()
    assert (summary.photos, summary.predicted, summary.left_out, summary.no_answer) == (4, 3, 1, 0)
    assert summary.out == tmp_path / "own.jsonl" and "3 photos predicted, 1 left out" in str(summary)
    assert not list(tmp_path.glob(".predicting-*"))


def test_times_are_a_table_with_a_row_per_file_and_number_of_threads(
    exported: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarking, "_end_to_end", lambda *_: {})
    paths = [exported[name].path for name in ("float32", "int8_qat")]
    found = kfa.benchmark(paths, against=[], seconds=0.2, budget="quickstart", out=tmp_path, verbose=False)
    table = found.table()
    assert table["name"].tolist() == [path.name for path in paths] and (table["p50_ms"] > 0).all()
    assert found.written and json.loads(found.written.read_text()) == json.loads(json.dumps(found.results))
    assert list(found.verdicts) == [path.name for path in paths]
    met = [gate.met for gates in found.verdicts.values() for gate in gates if gate.applies]
    # The budget limits speed-ups, and no reference net ran.
    assert None in met and found.verdict == ("not met" if False in met else "not measured")
    assert "p50_ms" in repr(found) and "<table" in found._repr_html_()


def test_a_file_is_measured_compared_and_predicted_without_tensorflow_and_keras(
    exported: dict[str, Artifact], photos: Path, tmp_path: Path
) -> None:
    one, other = (str(exported[name].path) for name in ("float32", "int8_qat"))
    code = (
        f"import keras_faceattr as kfa; kfa.evaluate({one!r}, verbose=False); kfa.compare([{one!r}, {other!r}]); "
        f"kfa.predict({one!r}, {str(photos)!r}, {str(tmp_path / 'out.csv')!r}, verbose=False)"
    )
    assert frameworks_after(code).endswith("[]")


@pytest.mark.slow
def test_a_training_is_one_call(tmp_path: Path) -> None:
    made: list[Path] = []

    def callbacks(run: kfa.Run) -> list[object]:
        made.append(run.folder)
        return []

    changes = dict(text.split("=", 1) for text in SMALL[1::2])
    settings = {key: int(value) for key, value in changes.items()} | {"training.epochs": 1, "name": "mine"}
    run = kfa.fit("quickstart", set=settings, runs=tmp_path, callbacks=callbacks, verbose=False)
    assert run.folder == tmp_path / "mine" and made == [run.folder]
    assert run.experiment().training.epochs == 1 and run.metrics["age"]["mae"] > 0
