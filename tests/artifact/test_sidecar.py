"""The sidecar: by its published schema, true of the file beside it, and without a word about the machine."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.loading import Artifact
from keras_faceattr.artifact.sidecar import SCHEMA_PATH, read_sidecar, sidecar_schema
from keras_faceattr.convert.source import Source
from keras_faceattr.errors import ArtifactError
from keras_faceattr.storage import sha256

RECIPES = ("float32", "int8_qat", "int8_full")


@pytest.fixture(params=RECIPES)
def artifact(request: pytest.FixtureRequest, exported: dict[str, Artifact]) -> Artifact:
    return exported[request.param]


def plain(artifact: Artifact) -> dict[str, Any]:
    """The sidecar as anybody reads it."""
    return json.loads(artifact.path.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_published_schema_is_that_of_the_code() -> None:
    text = SCHEMA_PATH.read_text(encoding="utf-8")
    assert json.loads(text) == sidecar_schema()
    assert text == json.dumps(sidecar_schema(), indent=2, ensure_ascii=False) + "\n"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_a_sidecar_validates_against_the_published_schema(artifact: Artifact) -> None:
    jsonschema.validate(plain(artifact), json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"status": "fine"}, {"surprise": 1}, {"file": {"name": "x"}},
        {"input": {"name": "image", "shape": [1], "dtype": "int8"}},
    ],
)  # fmt: skip
def test_what_is_no_sidecar_is_refused_by_the_schema_and_by_the_code_alike(
    exported: dict[str, Artifact], tmp_path: Path, change: dict[str, Any]
) -> None:
    changed = {**plain(exported["float32"]), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, sidecar_schema())
    (tmp_path / "x.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ArtifactError, match="x.json is no sidecar of format 1") as error:
        read_sidecar(tmp_path / "x.json")
    assert "\n" not in str(error.value)


def test_a_sidecar_survives_writing_and_reading(artifact: Artifact) -> None:
    read = read_sidecar(artifact.path.with_suffix(".json"))
    assert read.model_dump(mode="json") == plain(artifact)
    assert read.task_objects() == artifact.sidecar.task_objects()


def test_neither_paths_nor_the_names_of_machine_and_user_are_told(artifact: Artifact, small_run: Path) -> None:
    text = artifact.path.with_suffix(".json").read_text(encoding="utf-8")

    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [s for k, v in value.items() for s in [k, *strings(v)]]
        return [s for v in value for s in strings(v)] if isinstance(value, list) else [str(value)]

    assert not [s for s in strings(json.loads(text)) if re.match(r"(/|~|[A-Za-z]:\\|file:)", s)]
    assert str(small_run) not in text and str(Path.home()) not in text
    for secret in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"\b{re.escape(secret)}\b", text), secret


def test_the_file_is_the_one_that_is_described(artifact: Artifact) -> None:
    sidecar = artifact.sidecar
    assert sidecar.file.name == artifact.path.name
    assert sidecar.file.bytes == artifact.path.stat().st_size == sidecar.cost.file_bytes
    assert sidecar.file.sha256 == sha256(artifact.path)
    assert sum(sidecar.operations.values()) == len(read_tflite(artifact.path).ops)


def test_input_and_outputs_are_described_as_the_files_own_bytes_say(artifact: Artifact) -> None:
    file, sidecar = read_tflite(artifact.path), artifact.sidecar
    taken = file.tensors[file.signature_inputs[sidecar.input.name]]
    assert (sidecar.input.shape, sidecar.input.dtype) == (taken.shape, taken.dtype)
    assert sidecar.input.shape == (1, 32, 32, 3)
    assert sidecar.input.dtype == ("float32" if sidecar.recipe == "float32" else "uint8")
    assert sidecar.outputs.keys() == file.signature_outputs.keys()
    for name, output in sidecar.outputs.items():
        given = file.tensors[file.signature_outputs[name]]
        assert (output.shape, output.dtype) == (given.shape, given.dtype)
        assert output.dtype == ("uint8" if sidecar.recipe == "int8_full" else "float32")
        if output.scale is None:
            assert given.scale == ()
        else:
            assert (output.scale,) == pytest.approx(given.scale)
            assert (output.zero_point,) == given.zero_point


def test_labels_units_and_meanings_are_those_of_the_tasks(artifact: Artifact) -> None:
    outputs = artifact.sidecar.outputs
    assert set(outputs) == {
        "attractiveness", "attractiveness_distribution", "age", "age_distribution", "gender"
    }  # fmt: skip
    assert (outputs["age"].meaning, outputs["age"].unit, outputs["age"].labels) == ("value", "years", ())
    assert outputs["age_distribution"].meaning == "distribution"
    # DLDL-v2, section 4.1: ages 0 to 100 in years, attractiveness 1 to 5 in steps of 0.1.
    assert outputs["age_distribution"].labels == tuple(map(float, range(101)))
    assert outputs["attractiveness_distribution"].labels == tuple(round(1 + 0.1 * i, 6) for i in range(41))
    assert (outputs["gender"].meaning, outputs["gender"].labels) == ("probabilities", ("female", "male"))


def test_what_the_outputs_are_said_to_mean_is_true_of_the_files_numbers(artifact: Artifact, source: Source) -> None:
    part = source.held_out
    got = artifact.model().predict(part.crops.take(part.rows).astype("float32"))
    specs = artifact.sidecar.outputs
    step = {name: spec.scale or 1e-3 for name, spec in specs.items()}
    for task in ("attractiveness", "age"):
        distribution, spec = got[f"{task}_distribution"], specs[f"{task}_distribution"]
        assert distribution.shape == (12, len(spec.labels))
        # In an integer file each probability may be off by half a step.
        slack = len(spec.labels) * step[f"{task}_distribution"] / 2
        np.testing.assert_allclose(distribution.sum(axis=1), 1, atol=max(slack, 1e-4) if spec.scale else 1e-4)
        labels = np.array(spec.labels, "float64")
        if spec.scale is None:
            np.testing.assert_allclose(distribution @ labels, got[task], rtol=1e-4)
        assert (got[task] >= labels[0]).all() and (got[task] <= labels[-1]).all()
    np.testing.assert_allclose(got["gender"].sum(axis=1), 1, atol=2 * step["gender"])


def test_metrics_are_those_of_this_very_file(artifact: Artifact, source: Source) -> None:
    part = source.held_out
    got = artifact.model().predict(part.crops.take(part.rows).astype("float32"))
    for task in ("attractiveness", "age"):
        expected = np.abs(got[task] - part.labels[task][:, 0]).mean()
        assert artifact.sidecar.metrics[task]["metrics"]["mae"]["value"] == pytest.approx(expected, rel=1e-5)
    right = got["gender"].argmax(axis=1) == part.labels["gender"][:, 0]
    assert artifact.sidecar.metrics["gender"]["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())
    protocol = artifact.sidecar.protocol
    assert (protocol["split"], protocol["photos"], protocol["tta"]) == ("test", 12, "none")


def test_the_split_hash_is_that_of_the_test_photos_as_a_run_has_it(artifact: Artifact, small_run: Path) -> None:
    measured = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    assert measured["split"] == "test"
    assert artifact.sidecar.protocol["split_hash"] == measured["split_hash"]
    assert artifact.sidecar.training["split_hash"] != measured["split_hash"]


def test_the_status_follows_from_the_gates(artifact: Artifact) -> None:
    failed = [gate for gate in artifact.sidecar.gates if gate.met is False]
    assert artifact.sidecar.status == ("failed" if failed else "passed")
    assert any("mae (recipe" in gate.name for gate in artifact.sidecar.gates)


def test_how_it_was_made_is_told(exported: dict[str, Artifact], source: Source) -> None:
    quantization = exported["int8_qat"].sidecar.quantization
    assert quantization["engine"] == "native" and quantization["calibration_photos"] == 42
    assert quantization["recipe"]["integer"]["fine_tuning"]["epochs"] == 1
    noisy = {row["layer"] for row in quantization["layers"]}
    assert noisy and noisy <= {layer.name for layer in source.folded.layers}
    assert exported["float32"].sidecar.quantization["recipe"]["weights"] == "float32"
    for artifact in exported.values():
        assert artifact.sidecar.licences["code"] == "Apache-2.0" and artifact.sidecar.licences["data"]
        assert {"keras", "tensorflow", "ai-edge-litert", "keras-faceattr"} <= artifact.sidecar.versions.keys()
        assert artifact.sidecar.training["photos"]["train"] == 42


def test_crop_and_experiment_can_be_used_from_the_sidecar_alone(artifact: Artifact) -> None:
    assert artifact.sidecar.crop_spec().size == 32
    experiment = artifact.sidecar.experiment_object()
    assert experiment.data.crop.size == 32
    assert [entry.path for entry in experiment.data.sources] == [None]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "cannot be read"), ("{", "cannot be read"), ("[" * 100_000, "cannot be read"), ("[]", "no sidecar")],
)
def test_a_damaged_sidecar_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError) as error:
        read_sidecar(tmp_path / "x.json")
    assert words in str(error.value) and "x.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"crop": {"size": 32, "colour": "BGR"}}, {"crop": {"size": "32"}}, {"crop": {"size": 3}},
        {"tasks": {"age": {"kind": "number"}}}, {"tasks": {"age": {"kind": "scalar", "name": "age"}}},
        {"tasks": {"age": {"kind": "scalar", "name": "age", "minimum": "a", "maximum": 3, "step": 1}}},
        {"experiment": {"name": "x"}},
    ],
)  # fmt: skip
def test_a_sidecar_whose_parts_cannot_be_used_is_one_line(
    exported: dict[str, Artifact], tmp_path: Path, change: dict[str, Any]
) -> None:
    (tmp_path / "x.json").write_text(json.dumps({**plain(exported["float32"]), **change}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=f"x.json is no sidecar of format 1: {next(iter(change))}") as error:
        read_sidecar(tmp_path / "x.json")
    assert "\n" not in str(error.value)
