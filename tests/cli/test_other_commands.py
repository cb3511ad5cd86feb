"""`evaluate`, `predict`, `info`, `data` and `benchmark` from the outside."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.data.prepare import read_manifest
from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.run import Run
from keras_faceattr.tasks import task_to_dict

from .conftest import SMALL, Cli


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn faces, and two files that are no photos."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(5):
        pixels, _, _ = synthetic_photo(7, index, 80)
        assert cv2.imwrite(str(folder / f"{index}.png"), pixels[..., ::-1])
    (folder / "text.jpg").write_text("not a photo")
    (folder / "empty.png").touch()
    return folder


def test_evaluate_repeats_the_numbers_of_the_run(cli: Cli, small_run: Path) -> None:
    recorded = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    assert cli("evaluate", small_run, "--json").json()["tasks"] == recorded["tasks"]


def test_flip_averaging_changes_the_predictions_and_is_named(cli: Cli, small_run: Path) -> None:
    plain = cli("evaluate", small_run, "--tta", "none", "--json").json()
    flipped = cli("evaluate", small_run, "--tta", "flip", "--json").json()
    assert (plain["tta"], flipped["tta"]) == ("none", "flip")
    assert plain["tasks"]["age"]["metrics"]["mae"] != flipped["tasks"]["age"]["metrics"]["mae"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_can_be_measured(cli: Cli, small_run: Path, split: str) -> None:
    expected = {"train": 42, "val": 6, "test": 12}
    assert cli("evaluate", small_run, "--split", split, "--json").json()["photos"] == expected[split]


def test_an_unknown_split_or_augmentation_is_refused(cli: Cli, small_run: Path) -> None:
    assert "valid: test, train, val" in cli("evaluate", small_run, "--split", "dev").error
    assert "valid: flip, none" in cli("evaluate", small_run, "--tta", "flop").error


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_predict_writes_a_row_a_readable_photo(
    cli: Cli, small_run: Path, photos: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"predictions{suffix}"
    done = cli("predict", small_run, photos, "--out", out)
    assert done.code == 0
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".jsonl": lambda p: pd.read_json(p, lines=True)}[suffix]
    table = read(out)
    assert [Path(p).name for p in table["image"]] == [f"{i}.png" for i in range(5)]
    assert table["age"].between(0, 100).all() and set(table["gender"]) <= {"female", "male"}
    assert "text.jpg: not a photo" in done.err and "empty.png: the file is empty" in done.err
    assert "5 photos predicted, 2 left out" in done.out


def test_what_predict_writes_labels_photos_that_only_train(
    cli: Cli, small_run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(photos, tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    assert cli("predict", small_run, "faces", "--tta", "flip", "--out", "faces.csv").code == 0
    predicted = pd.read_csv("faces.csv").set_index("image")
    before = Run(small_run).experiment()
    age = {key: value for key, value in task_to_dict(Run(small_run).tasks()["age"]).items() if key != "name"}
    source = {"reader": "csv_file", "path": "faces.csv", "split": {"method": "train"}}
    plain = before.model_dump(mode="json")
    plain["data"]["sources"].append(source)
    manifest, _ = read_manifest(parse_experiment({**plain, "tasks": {"age": age}}, "test"))
    rows = manifest.rows[manifest.rows["source"] == "csv_file"].set_index("image")
    assert len(manifest.quarantine) == 0 and set(rows["split"]) == {"train"}
    assert rows["age"].to_dict() == pytest.approx(predicted["age"].to_dict())
    assert rows["age_std"].to_dict() == pytest.approx(predicted["age_std"].to_dict())


def test_predict_averages_runs_and_files(
    cli: Cli, small_run: Path, exported: dict[str, Artifact], photos: Path, tmp_path: Path
) -> None:
    def ages(*arguments: object) -> np.ndarray:
        done = cli("predict", *arguments, "--out", tmp_path / "p.csv")
        assert done.code == 0, done.err
        return pd.read_csv(tmp_path / "p.csv")["age"].to_numpy()

    file = exported["int8_qat"].path
    alone, other = ages(small_run, photos), ages(file, photos)
    assert not np.allclose(alone, other, atol=1e-3)
    np.testing.assert_allclose(ages(small_run, photos, "--with", file), (alone + other) / 2, rtol=1e-4)
    np.testing.assert_allclose(
        ages(file, photos, "--with", small_run, "--with", small_run), (2 * alone + other) / 3, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"tasks": {"age": {"kind": "scalar", "minimum": 0, "maximum": 80, "step": 1}}},
            "age is defined in another way",
        ),
        ({"tasks": {"glasses": {"kind": "binary"}}}, "says nothing of age"),
        (
            {"crop": {"method": "whole_photo"}},
            "cuts photos in another way than",
        ),
    ],
)
def test_what_has_no_common_mean_is_refused(
    cli: Cli, small_run: Path, photos: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    other = Run(Path(shutil.copytree(small_run, tmp_path / "other")))
    tasks = yaml.safe_load(other.tasks_path.read_text())
    changed = {name: {"name": name, **task} for name, task in change.get("tasks", {}).items()}
    left = {name: task for name, task in tasks.items() if name != "age" or not changed}
    other.tasks_path.write_text(yaml.safe_dump({**left, **changed}))
    config = yaml.safe_load(other.config_path.read_text())
    config["data"]["crop"].update(change.get("crop", {}))
    config["tasks"] = {name: config["tasks"].get(name, {}) for name in (left | changed)}
    other.config_path.write_text(yaml.safe_dump(config))
    done = cli("predict", small_run, photos, "--with", other.folder)
    assert done.code == 2 and f"--with {other.folder}: it" in done.error and words in done.error


def test_a_photo_is_predicted_alike_alone_in_a_folder_and_from_a_csv(cli: Cli, small_run: Path, photos: Path) -> None:
    table = photos / "list.csv"
    table.write_text("image\n3.png\n")
    rows = [
        cli("predict", small_run, source, "--json").out.splitlines() for source in (photos, photos / "3.png", table)
    ]
    folder, alone, listed = (json.loads(lines[i]) for lines, i in zip(rows, (3, 0, 0), strict=True))
    assert alone["image"] == listed["image"] == folder["image"]
    for key in ("age", "attractiveness"):
        np.testing.assert_allclose([alone[key], listed[key]], folder[key], rtol=1e-4)


def test_predicting_nothing_readable_is_an_error(cli: Cli, small_run: Path, photos: Path) -> None:
    done = cli("predict", small_run, photos / "text.jpg")
    assert done.code == 2 and "none of 1 photos" in done.error


def test_an_unknown_output_kind_is_refused_before_any_work(cli: Cli, small_run: Path, photos: Path) -> None:
    assert ".csv, .jsonl, .parquet" in cli("predict", small_run, photos, "--out", "x.xlsx").error


def test_info_tells_the_papers_size(cli: Cli) -> None:
    profile = cli("info", "tiny_att_net", "--json").json()
    assert profile["trainable_parameters"] == 927_129
    assert profile["gmacs"] == 0.975


@pytest.mark.parametrize("size", ["-5", "0", "16", "100000"])
def test_info_refuses_a_size_that_no_net_takes(cli: Cli, size: str) -> None:
    done = cli("info", "hmtnet_mobile", "--size", size)
    assert done.code == 2 and "--size" in done.err and "Traceback" not in done.err


def test_info_reads_a_run(cli: Cli, small_run: Path) -> None:
    done = cli("info", small_run)
    assert done.code == 0 and "tiny_att_net at 32²" in done.out


def test_info_says_which_tasks_of_a_run_or_a_file_are_sensitive(
    cli: Cli, small_run: Path, exported: dict[str, Artifact], tmp_path: Path
) -> None:
    line = "gender is a sensitive task: predictions answer it only where it is named (--task gender)."
    run = Run(Path(shutil.copytree(small_run, tmp_path / "run")))
    file = Path(shutil.copytree(exported["float32"].path.parent, tmp_path / "file")) / exported["float32"].path.name
    for name in (run.folder, file):
        assert line not in cli("info", name).out
    tasks = yaml.safe_load(run.tasks_path.read_text())
    tasks["gender"]["sensitive"] = True
    run.tasks_path.write_text(yaml.safe_dump(tasks, sort_keys=False))
    sidecar = json.loads(file.with_suffix(".json").read_text())
    sidecar["tasks"]["gender"]["sensitive"] = True
    file.with_suffix(".json").write_text(json.dumps(sidecar))
    for name in (run.folder, file):
        assert line in cli("info", name).out.splitlines()
    assert cli("info", run.folder, "--json").json()["notices"] == [line]
    assert cli("info", file, "--json").json()["tasks"]["gender"]["sensitive"] is True


def test_info_counts_a_keras_file_and_tells_of_other_files_what_they_are(
    cli: Cli, small_run: Path, tmp_path: Path
) -> None:
    done = cli("info", Run(small_run).model_path)
    assert done.code == 0 and done.out == cli("info", small_run).out
    (tmp_path / "net.h5").write_bytes(b"x")
    assert "old HDF5 format" in cli("info", tmp_path / "net.h5").error
    assert "is not a run folder: it has no model.keras" in cli("info", tmp_path).error


def test_info_counts_a_fake_quantized_run(cli: Cli, exported: dict[str, Artifact]) -> None:
    qat = exported["int8_qat"].path.parent / "qat"
    done = cli("info", qat, "--json")
    assert done.code == 0 and "Warning" not in done.err
    kinds = {layer["kind"] for layer in done.json()["layers"]}
    assert "QuantizedConv2D" in kinds and "FakeQuantize" not in kinds


def test_inspect_counts_and_draws(cli: Cli, tmp_path: Path, photos: Path) -> None:
    (photos / "labels.csv").write_text("image,score\n0.png,1\n1.png,2\n2.png,2\ntext.jpg,2\n")
    config = tmp_path / "own.yaml"
    config.write_text(
        "name: own\n"
        f"data: {{sources: [{{reader: csv_file, path: {photos / 'labels.csv'}}}]}}\n"
        "tasks: {score: {kind: scalar, minimum: 0, maximum: 4, step: 0.5}}\n"
    )
    picture = tmp_path / "look.png"
    found = cli("data", "inspect", config, "--picture", picture, "--json").json()
    assert found["photos"] == 3 and found["tasks"]["score"]["labelled"] == 3
    assert [b["reason"].split(": ")[-1] for b in found["put_aside"]] == [
        "not a photo (its first bytes are of no known image format)"
    ]
    assert cv2.imread(str(picture)) is not None


def test_the_readers_and_configs_are_listed(cli: Cli) -> None:
    listed = cli("data", "list", "--json").json()
    assert "utkface" in listed["readers"] and "quickstart" in listed["configs"]


@pytest.mark.slow
def test_benchmark_pipeline_gives_the_ratios(cli: Cli) -> None:
    small = SMALL[: SMALL.index("evaluation.bootstrap_samples=20") - 1]
    result = cli("benchmark", "pipeline", "quickstart", *small, "--steps", "5", "--json").json()
    assert set(result["ratios"]) == {"fit_to_bare_step", "decode_and_augment_to_step"}
    assert all(speed["median"] > 0 for speed in result["images_per_s"].values())


def test_a_model_with_code_or_of_another_kind_is_refused(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    import keras

    pixels = keras.Input((32, 32, 3))
    coded = tmp_path / "coded.keras"
    keras.Model(pixels, keras.layers.Lambda(lambda x: x + 1)(pixels)).save(coded)
    other = tmp_path / "other.keras"
    keras.Model(pixels, keras.layers.Dense(3, name="foreign")(pixels)).save(other)
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    empty = tmp_path / "empty.keras"
    with zipfile.ZipFile(empty, "w"):
        pass
    for path, words in [(coded, "carries code"), (other, "another model"), (broken, "damaged"), (empty, "safely")]:
        done = cli("fit", *SMALL, "--runs", tmp_path / "runs", "--set", f"model.init_from={path}")
        assert done.code == 2 and words in done.error, path


def test_init_from_a_run_reports_what_matched(cli: Cli, small_run: Path, tmp_path: Path) -> None:
    fast = [*SMALL, "--set", "training.epochs=1", "--set", "training.steps_per_epoch=1"]
    done = cli("fit", *fast, "--runs", tmp_path, "--set", f"model.init_from={small_run}", "--set", "tasks.age.step=2")
    assert done.code == 0
    assert "other shape: age_raw/kernel, age_raw/bias" in done.err
    assert "69 variables initialised" in done.err
