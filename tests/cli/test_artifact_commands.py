"""`evaluate`, `predict` and `info` on an exported file: as on the run, without TensorFlow, or one clear line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.data.prepare import read_manifest
from keras_faceattr.data.synthetic import synthetic_photo

from .conftest import Cli


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn faces and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        assert cv2.imwrite(str(folder / f"{index}.png"), synthetic_photo(11, index, 70)[0][..., ::-1])
    (folder / "text.jpg").write_text("not a photo")
    return folder


def close(got: Any, expected: Any, where: str = "") -> None:
    """The same report, with numbers within 1e-4 of each other."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys(), where
        for key, value in expected.items():
            close(got[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), where
        for i, value in enumerate(expected):
            close(got[i], value, f"{where}.{i}")
    elif isinstance(expected, float):
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-4), where
    else:
        assert got == expected, where


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_evaluating_the_float32_file_gives_the_report_of_the_run(
    cli: Cli, small_run: Path, exported: dict[str, Artifact], tta: str
) -> None:
    run = cli("evaluate", small_run, "--tta", tta, "--json").json()
    file = cli("evaluate", exported["float32"].path, "--tta", tta, "--json")
    assert file.code == 0
    close(file.json(), run)
    assert file.json()["tta"] == tta


def test_a_file_is_averaged_over_the_flip_as_its_run_was_unless_told_otherwise(
    cli: Cli, exported: dict[str, Artifact]
) -> None:
    # The quickstart's own setting.
    assert cli("evaluate", exported["int8_qat"].path, "--json").json()["tta"] == "flip"


@pytest.mark.parametrize("recipe", ["float32", "int8_qat", "int8_full"])
def test_evaluate_repeats_the_numbers_of_the_sidecar(cli: Cli, exported: dict[str, Artifact], recipe: str) -> None:
    sidecar = exported[recipe].sidecar
    measured = cli("evaluate", exported[recipe].path, "--tta", "none", "--json").json()
    close(measured["tasks"], json.loads(json.dumps(sidecar.metrics)))
    assert measured["photos"] == sidecar.protocol["photos"]


def test_every_split_can_be_measured_and_written(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    done = cli("evaluate", exported["float32"].path, "--split", "val", "--out", out)
    assert done.code == 0 and "6 photos of the split val" in done.out
    table = pd.read_csv(out)
    assert len(table) == 6 and {"age", "age_predicted", "gender_probability"} <= set(table.columns)


@pytest.mark.parametrize("how", [[], ["--jitter"]])
def test_photos_that_a_file_is_known_to_have_learned_from_are_no_test_photos(
    cli: Cli, small_run: Path, exported: dict[str, Artifact], tmp_path: Path, how: list[str]
) -> None:
    run, file = tmp_path / "run", tmp_path / "run" / "export" / "float32" / exported["float32"].path.name
    shutil.copytree(exported["float32"].path.parent, file.parent)
    manifest, _ = read_manifest(exported["float32"].sidecar.experiment_object())
    photos = manifest.rows[manifest.rows["split"] == "test"]
    (run / "trained_on.txt").write_text(f"{photos['sha1'].iloc[1][:16]}\n")
    refused = cli("evaluate", file, *how)
    assert refused.code == 2
    assert f"was trained on 1 of {len(photos)} test photos (the first: synthetic/{photos['image'].iloc[1]})" in (
        refused.error
    )
    (run / "trained_on.txt").write_text((small_run / "trained_on.txt").read_text())
    assert cli("evaluate", file, *how).code == 0


@pytest.mark.parametrize("options", [[], ["--tta", "flip"]])
def test_predicting_with_the_float32_file_gives_the_rows_of_the_run(
    cli: Cli, small_run: Path, exported: dict[str, Artifact], photos: Path, options: list[str]
) -> None:
    rows = []
    for model in (small_run, exported["float32"].path):
        done = cli("predict", model, photos, "--json", *options)
        assert done.code == 0 and "text.jpg: not a photo" in done.err
        rows.append([json.loads(line) for line in done.out.splitlines()])
    assert [list(row) for row in rows[1]] == [list(row) for row in rows[0]]
    close(rows[1], rows[0])
    assert len(rows[1]) == 3


@pytest.mark.parametrize("recipe", ["int8_qat", "int8_full"])
def test_predictions_of_integer_files_have_the_same_columns(
    cli: Cli, exported: dict[str, Artifact], photos: Path, tmp_path: Path, recipe: str
) -> None:
    tables = []
    for name in ("float32", recipe):
        out = tmp_path / f"{name}.csv"
        assert cli("predict", exported[name].path, photos, "--out", out).code == 0
        tables.append(pd.read_csv(out))
    assert list(tables[0].columns) == list(tables[1].columns)
    assert tables[1]["age"].between(0, 100).all() and tables[1]["attractiveness"].between(1, 5).all()
    assert set(tables[1]["gender"]) <= {"female", "male"}


def test_flip_averaging_is_the_mean_of_both_photos(
    cli: Cli, exported: dict[str, Artifact], photos: Path, tmp_path: Path
) -> None:
    pixels = cv2.imread(str(photos / "0.png"))
    # An even crop of an even photo, so that cropping and mirroring change places.
    cv2.imwrite(str(tmp_path / "plain.png"), pixels)
    cv2.imwrite(str(tmp_path / "mirrored.png"), pixels[:, ::-1])

    def age(name: str, *options: str) -> float:
        return json.loads(cli("predict", exported["float32"].path, tmp_path / name, "--json", *options).out)["age"]

    expected = (age("plain.png") + age("mirrored.png")) / 2
    assert age("plain.png", "--tta", "flip") == pytest.approx(expected, abs=0.02)


def test_info_tells_what_was_proven(cli: Cli, exported: dict[str, Artifact]) -> None:
    for recipe, artifact in exported.items():
        done = cli("info", artifact.path)
        text = " ".join(done.out.split())
        assert done.code == 0
        assert f"recipe {recipe}, {artifact.sidecar.status}" in text
        assert "golden 6 of 6 crops reproduced on this machine" in text
        assert artifact.sidecar.file.sha256 in text
        assert "CONV_2D" in text and f"{artifact.sidecar.cost.parameters:,} parameters" in text
        plain = cli("info", artifact.path, "--json").json()
        assert plain["golden"] == {"crops": 6, "reproduced": 6}
        assert len(plain["operation_table"]) == sum(artifact.sidecar.operations.values())
        assert plain["file"]["sha256"] == artifact.sidecar.file.sha256


def test_info_counts_crops_that_are_not_reproduced(cli: Cli, exported: dict[str, Artifact], tmp_path: Path) -> None:
    shutil.copytree(exported["float32"].path.parent, tmp_path / "a")
    golden = tmp_path / "a" / "golden"
    shutil.copyfile(golden / "1.png", golden / "0.png")
    done = cli("info", tmp_path / "a" / exported["float32"].path.name)
    assert "5 of 6 crops reproduced" in " ".join(done.out.split())


def changed_byte(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


# How a file is damaged, and what the line says.
DAMAGES: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "no sidecar": (lambda path, other: path.with_suffix(".json").unlink(), "no sidecar"),
    "another's sidecar": (
        lambda path, other: shutil.copyfile(other.with_suffix(".json"), path.with_suffix(".json")),
        "is not the file that",
    ),
    "another's file": (lambda path, other: shutil.copyfile(other, path), "is not the file that"),
    "a changed byte": (changed_byte, "is not the file that"),
    "truncated": (lambda path, other: path.write_bytes(path.read_bytes()[:5000]), "is not the file that"),
    "empty": (lambda path, other: path.write_bytes(b""), "is not the file that"),
    "absent": (lambda path, other: path.unlink(), "no file"),
    "a damaged sidecar": (lambda path, other: path.with_suffix(".json").write_text("{"), "cannot be read"),
    "another's JSON": (lambda path, other: path.with_suffix(".json").write_text("{}"), "no sidecar of format 1"),
}


CASES = [(command, damage) for command in ("evaluate", "predict", "info", "benchmark") for damage in DAMAGES]


# Times need no sidecar.
@pytest.mark.parametrize(("command", "damage"), [case for case in CASES if case != ("benchmark", "no sidecar")])
def test_a_damaged_artifact_is_one_line(
    cli: Cli, exported: dict[str, Artifact], photos: Path, tmp_path: Path, command: str, damage: str
) -> None:
    path, other = exported["float32"].path, exported["int8_qat"].path
    shutil.copytree(path.parent, tmp_path / "a")
    path = tmp_path / "a" / path.name
    change, words = DAMAGES[damage]
    change(path, other)
    more = {"predict": [photos], "benchmark": ["--against", "none", "--seconds", "1"]}.get(command, [])
    done = cli(command, path, *more)
    assert done.code == 2 and words in done.error and path.stem in done.error
    assert done.out == ""


def test_a_truncated_file_or_one_of_another_kind_is_refused_although_a_sidecar_vouches_for_it(
    cli: Cli, exported: dict[str, Artifact], photos: Path, tmp_path: Path
) -> None:
    from keras_faceattr.storage import sha256

    whole = exported["float32"].path
    path = tmp_path / whole.name
    for content, words in [
        (whole.read_bytes()[:5000], "damaged or truncated"),
        (b"PK\x03\x04" + bytes(100), "not a TFLite file"),
        (b"", "empty"),
    ]:
        path.write_bytes(content)
        sidecar = json.loads(whole.with_suffix(".json").read_text(encoding="utf-8"))
        sidecar["file"]["sha256"] = sha256(path)
        path.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
        for command in (["evaluate", path], ["predict", path, photos]):
            done = cli(*command)
            assert done.code == 2 and words in done.error


def test_where_the_data_lies_has_to_be_said_anew(
    cli: Cli, exported: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_FACEATTR_DATA", raising=False)
    path = exported["float32"].path
    shutil.copyfile(path, tmp_path / path.name)
    sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    sidecar["experiment"]["data"]["sources"] = [{"reader": "scut_fbp5500", "path": None, "options": {}}]
    (tmp_path / path.name).with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    assert "where is SCUT-FBP5500? give --data scut_fbp5500=PATH" in cli("evaluate", tmp_path / path.name).error
    refused = cli("evaluate", tmp_path / path.name, "--data", "scut=/x").error
    assert "no such source" in refused and "scut_fbp5500" in refused
    assert "no such folder or file" in cli("evaluate", tmp_path / path.name, "--data", "utkface=/nowhere").error
    nowhere = cli("evaluate", tmp_path / path.name, "--data", f"scut_fbp5500={tmp_path / 'nowhere'}").error
    assert "no such folder or file" in nowhere


# Four commands in one process, because each start costs seconds. Who tries an import that is blocked is told of too.
LIGHT = """
import json, sys
path, photos = sys.argv[1:]
tried = []

class Blocking:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("tensorflow", "keras", "tf_keras", "jax", "tensorflow_model_optimization"):
            tried.append(name)
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Blocking())
from keras_faceattr.cli import main
for command in (["predict", path, photos, "--json"], ["evaluate", path, "--json"], ["info", path],
                ["benchmark", path, "--against", "none", "--seconds", "1", "--json"]):
    sys.argv = ["keras-faceattr", *command]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, command
print("tried", tried)
"""


def test_tensorflow_is_neither_imported_nor_needed(exported: dict[str, Artifact], photos: Path) -> None:
    arguments = [sys.executable, "-c", LIGHT, exported["int8_qat"].path, photos]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "tried []"
    first = json.loads(done.stdout.splitlines()[0])
    assert Path(first["image"]).name == "0.png" and np.isfinite(first["age"])
