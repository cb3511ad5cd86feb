"""A sidecar is believed only where it agrees with itself and with the bytes of its file; each fault is one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_faceattr.artifact.loading import Artifact, load_artifact
from keras_faceattr.errors import ArtifactError

Change = Callable[[dict[str, Any]], object]


def put(value: Any, *keys: Any) -> Change:
    """Sets one value deep inside."""

    def change(plain: dict[str, Any]) -> None:
        for key in keys[:-1]:
            plain = plain[key]
        plain[keys[-1]] = value

    return change


def drop(*keys: Any) -> Change:
    """Leaves out one value deep inside."""

    def change(plain: dict[str, Any]) -> None:
        for key in keys[:-1]:
            plain = plain[key]
        del plain[keys[-1]]

    return change


def rename_task(plain: dict[str, Any]) -> None:
    plain["tasks"]["years"] = plain["tasks"].pop("age")


def rename_everywhere(plain: dict[str, Any]) -> None:
    plain.update(json.loads(json.dumps(plain).replace('"age"', '"years"').replace('"age_dis', '"years_dis')))


def both_metrics(value: Any, *keys: Any) -> Change:
    """The same change of the metrics in both places that hold them."""

    def change(plain: dict[str, Any]) -> None:
        put(value, "metrics", *keys)(plain)
        put(value, "parity", "metrics", "file", *keys)(plain)

    return change


MET = ("gates", 1, "met")
CONTRADICTIONS: dict[str, tuple[Change, str]] = {
    "a missed gate in a file that passed": (put(False, *MET), "status: 'passed' although its gates say 'failed' (attr"),
    "no gate": (put([], "gates"), "status: 'passed' although its gates say 'not proven'"),
    "a gate that nobody judged": (
        put({"name": "x", "limit": "judged", "measured": "not judged: no labels", "met": None}, "gates", 0),
        "status: 'passed' although its gates say 'not proven'",
    ),
    "a renamed task": (rename_task, "tasks.years: its name is 'age'"),
    "a task that nothing trained": (put("years", "tasks", "age", "name"), "tasks.age: its name is 'years'"),
    "no output of a task": (drop("outputs", "gender"), "outputs: none for the task 'gender'"),
    "an output of no task": (put("smile", "outputs", "age", "task"), "outputs.age.task: there is no task 'smile'"),
    "an output of another task": (put("gender", "outputs", "age", "task"), "outputs.age: a task 'gender' has no such"),
    "another meaning": (put("probability", "outputs", "age", "meaning"), "outputs.age.meaning: 'probability' instead"),
    "other labels": (put(["male", "female"], "outputs", "gender", "labels"), "outputs.gender.labels: not those of"),
    "another unit": (put("months", "outputs", "age", "unit"), "outputs.age.unit: 'months' instead of 'years'"),
    "an empty shape": (put([], "input", "shape"), "input.shape:  is no batch of RGB crops of 32 pixels"),
    "an empty output shape": (put([], "outputs", "age", "shape"), "outputs.age.shape:  is not a batch of 1"),
    "another crop size": (put(64, "crop", "size"), "input.shape: 1 × 32 × 32 × 3 is no batch of RGB crops of 64"),
    "another crop": (put("whole_photo", "crop", "method"), "crop.method: 'whole_photo', but experiment.data.crop.meth"),
    "a metric without a unit": (drop("metrics", "age", "unit"), "metrics.age.unit: Field required"),
    "a metric in another unit": (
        both_metrics("months", "age", "unit"), "parity.metrics.file.age: scalar in 'months' instead of scalar in"
    ),
    "a metric that is no number": (put("3", "metrics", "age", "metrics", "mae", "value"), "metrics.age.metrics.mae"),
    "a metric that is no mapping": (put(3, "metrics", "age", "metrics", "mae"), "metrics.age.metrics.mae: "),
    "an unknown metric": (
        both_metrics({"mea": {"value": 1, "low": None, "high": None}}, "age", "metrics"),
        "a scalar task has no metric 'mea'",
    ),
    "better metrics": (put(0.0, "metrics", "age", "metrics", "mae", "value"), "metrics: not those of parity.metrics"),
    "better metrics, twice": (
        both_metrics(0.0, "age", "metrics", "mae", "value"), "parity.drop.age.mae: "
    ),
    "a smaller drop": (put(-5.0, "parity", "drop", "age", "mae"), "parity.drop.age.mae: -5.0, but the metrics"),
    "no drop": (drop("parity", "drop", "age", "mae"), "parity.drop.age: not the metrics of the float model"),
    "no float model": (drop("parity", "metrics", "float"), "parity.metrics: none of the float model"),
    "an empty protocol": (put({}, "protocol"), "protocol.split: Field required"),
    "more photos": (put(5000, "protocol", "photos"), "parity.photos: 12, but protocol.photos is 5000"),
    "photos in words": (put("12", "protocol", "photos"), "protocol.photos: Input should be a valid integer"),
    "an empty parity": (put({}, "parity"), "parity.photos: Field required"),
    "gaps that are no gaps": (put({"age": 3}, "parity", "differences", "float_to_file"), "parity.differences"),
    "groups that are none": (put([], "parity", "groups", "age"), "parity.groups.age: "),
    "no recipe": (drop("quantization", "recipe"), "quantization.recipe: Field required"),
    "no licences": (put({}, "licences"), "licences.code: Field required"),
    "an empty training": (put({}, "training"), "training.photos: Field required"),
}  # fmt: skip

UNTRUE: dict[str, tuple[Change, str]] = {
    "another length": (put(5, "file", "bytes"), "file.bytes: 5, the file has "),
    "fewer parameters": (put(5, "cost", "parameters"), "cost.parameters: 5, by the file's graph 9"),
    "fewer multiply-adds": (put(5, "cost", "macs"), "cost.macs: 5, by the file's graph "),
    "less memory": (put(5, "cost", "peak_activation_bytes"), "cost.peak_activation_bytes: 5, by the file's"),
    "other operations": (put({"ADD": 1}, "operations"), "operations: not those of the file's graph"),
    "another input": (put("photo", "input", "name"), "input.name: 'photo', the file's are image"),
    "another type": (put("uint8", "input", "dtype"), "input.dtype: uint8, the file's is float32"),
    "another batch": (
        lambda plain: [put([4, 32, 32, 3], "input", "shape")(plain)]
        + [put([4, *o["shape"][1:]], "shape")(o) for o in plain["outputs"].values()],
        "input.shape: 4 × 32 × 32 × 3, the file's is 1 × 32 × 32 × 3",
    ),
    "another output type": (put("uint8", "outputs", "age", "dtype"), "outputs.age.dtype: uint8, the file's is float32"),
    "a scale": (put(0.5, "outputs", "age", "scale"), "outputs.age.scale: 0.5, the file's is None"),
    "an output fewer": (drop("outputs", "age_distribution"), "outputs: "),
}  # fmt: skip


@pytest.fixture
def copied(exported: dict[str, Artifact], tmp_path: Path) -> Path:
    """A float32 file and its sidecar, which may be changed."""
    path = exported["float32"].path
    for name in (path.name, path.with_suffix(".json").name):
        shutil.copyfile(path.parent / name, tmp_path / name)
    return tmp_path / path.name


def refusal(path: Path, change: Change) -> str:
    """The one line that refuses a file whose sidecar was changed."""
    told = path.with_suffix(".json")
    plain = json.loads(told.read_text(encoding="utf-8"))
    change(plain)
    told.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(ArtifactError) as error:
        load_artifact(path)
    assert "\n" not in str(error.value) and str(error.value).endswith("export it again")
    return str(error.value)


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_sidecar_that_contradicts_itself_is_refused_in_one_line(copied: Path, name: str) -> None:
    change, words = CONTRADICTIONS[name]
    line = refusal(copied, change)
    assert f".json is no sidecar of format 1: {words}" in line or (words in line and "format 1: " in line)


@pytest.mark.parametrize("name", UNTRUE)
def test_a_sidecar_that_is_not_true_of_the_files_bytes_is_refused_in_one_line(copied: Path, name: str) -> None:
    change, words = UNTRUE[name]
    assert f".json is not true of {copied.name}: {words}" in refusal(copied, change)


def test_a_task_that_was_renamed_everywhere_is_still_not_the_files(copied: Path) -> None:
    assert "is not true of" in refusal(copied, rename_everywhere)


def test_a_pair_under_another_name_is_refused_and_told_the_name(copied: Path, tmp_path: Path) -> None:
    for path in (copied, copied.with_suffix(".json")):
        path.rename(tmp_path / f"other{path.suffix}")
    with pytest.raises(ArtifactError, match=rf"other\.json describes {copied.name}, not other\.tflite: give both"):
        load_artifact(tmp_path / "other.tflite")


def test_an_integer_files_scales_are_compared_too(exported: dict[str, Artifact], tmp_path: Path) -> None:
    path = exported["int8_full"].path
    for name in (path.name, path.with_suffix(".json").name):
        shutil.copyfile(path.parent / name, tmp_path / name)
    assert "outputs.age.scale: 0.5, the file's is " in refusal(
        tmp_path / path.name, put(0.5, "outputs", "age", "scale")
    )
