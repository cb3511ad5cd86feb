"""Proving and writing one artifact: whole, judged by recipe and budget, and never half-written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small import Quiet

from keras_faceattr.artifact.loading import Artifact, load_artifact, replay_golden, write_golden
from keras_faceattr.budget.limits import Budget
from keras_faceattr.convert import export
from keras_faceattr.convert.export import export_recipe
from keras_faceattr.convert.page import write_page
from keras_faceattr.convert.recipe import load_recipe
from keras_faceattr.convert.source import Source
from keras_faceattr.errors import RunError
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.models.loading import load_model
from keras_faceattr.run import Run

BUDGET = Budget.model_validate(
    {
        "name": "own",
        "file": {"max_bytes": 10_000, "max_parameters": 2e6},
        "drop": {"mae": {"relative": 0.5}},
        "speed_up": {"resnet50": {"minimum": 3}},
        "latency": {"pixel_4": {"max_p90_ms": 33}},
    }
)


@pytest.fixture(scope="module")
def plotted() -> dict[str, np.ndarray]:
    """Differences in the histogram of `judged`, by task."""
    return {}


@pytest.fixture(scope="module")
def judged(source: Source, plotted: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A float16 file that is too large for its budget."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "plot_differences", lambda path, differences: plotted.update(differences))
        return export_recipe(source, load_recipe("float16"), folder, Quiet(), BUDGET, batch=2)


def test_everything_of_an_artifact_is_written(exported: dict[str, Artifact]) -> None:
    for artifact in exported.values():
        read = load_artifact(artifact.path)
        assert read.sidecar.recipe in artifact.path.name
        names = {path.name for path in artifact.path.parent.iterdir()} - {"qat"}
        assert names == {
            artifact.path.name, artifact.path.with_suffix(".json").name, "golden", "model_card.md", "differences.png"
        }  # fmt: skip


def test_sizes_fall_with_the_bits(exported: dict[str, Artifact]) -> None:
    sizes = {name: artifact.sidecar.cost.file_bytes for name, artifact in exported.items()}
    parameters = exported["float32"].sidecar.cost.parameters
    assert 4 * parameters < sizes["float32"] < 4.1 * parameters
    assert sizes["int8_qat"] < sizes["float32"] / 3 and sizes["int8_full"] < sizes["float32"] / 3


def test_what_fails_its_budget_is_written_and_marked(judged: Artifact) -> None:
    gates = {gate.name: gate.met for gate in judged.sidecar.gates}
    assert judged.sidecar.status == "failed"
    assert gates["file size"] is False and gates["parameters"] is True
    assert gates["age mae (budget own)"] is True and gates["age mae (recipe float16)"] is True
    assert gates["speed against resnet50"] is None and gates["p90 on pixel_4"] is None
    assert load_artifact(judged.path).sidecar.status == "failed"
    card = judged.model_card_path.read_text(encoding="utf-8")
    assert "gates failed" in card and "| file size | ≤ 0.01 MB |" in card and "| not met |" in card
    assert "| p90 on pixel_4 | ≤ 33 ms | not measured | not measured |" in card


@pytest.fixture
def without_ages(source: Source) -> Source:
    """The small run, of whose test photos none is labelled with an age."""
    part, rows = source.held_out, source.data.manifest.rows.copy()
    rows.loc[rows["split"] == "test", "age"] = np.nan
    blank = dataclasses.replace(part, labels={**part.labels, "age": np.full_like(part.labels["age"], np.nan)})
    manifest = dataclasses.replace(source.data.manifest, rows=rows)
    data = dataclasses.replace(source.data, manifest=manifest, parts={**source.data.parts, "test": blank})
    return dataclasses.replace(source, data=data)


def test_a_task_that_no_photo_judges_is_not_proven_and_the_file_is_written(
    without_ages: Source, tmp_path: Path
) -> None:
    budget = BUDGET.model_copy(update={"file": BUDGET.file.model_copy(update={"max_bytes": None})})
    artifact = export_recipe(without_ages, load_recipe("float32"), tmp_path, Quiet(), budget)
    gates = {gate.name: (gate.met, gate.measured) for gate in artifact.sidecar.gates}
    assert artifact.sidecar.status == load_artifact(artifact.path).sidecar.status == "not proven"
    assert gates["age (recipe float32)"] == (None, "not judged: no labelled test photos")
    assert gates["age mae (budget own)"] == (None, "not measured")
    assert gates["finite outputs"] == (True, "on every photo")
    card = artifact.model_card_path.read_text(encoding="utf-8")
    assert "gates not proven" in card and "| not judged: no labelled test photos | not measured |" in card
    write_page(tmp_path / "index.html", [artifact], {})
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "float32: not proven" in page and "not judged: no labelled test photos" in page


@pytest.mark.parametrize("labelled", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_file_whose_outputs_are_no_numbers_fails_and_is_told_of(
    source: Source, without_ages: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled: bool
) -> None:
    def broken(predictor: object, data: object) -> dict[str, np.ndarray]:
        outputs = predict_split(predictor, data)
        return {name: np.full_like(v, np.nan) if name.startswith("age") else v for name, v in outputs.items()}

    monkeypatch.setattr(export, "predict_split", broken)
    artifact = export_recipe(source if labelled else without_ages, load_recipe("float32"), tmp_path, Quiet())
    gates = {gate.name: gate for gate in artifact.sidecar.gates}
    assert load_artifact(artifact.path).sidecar.status == "failed"
    assert gates["finite outputs"].met is False
    assert gates["finite outputs"].measured == "age not on 12 photos, age_distribution not on 12 photos"
    assert gates["age mae (recipe float32)" if labelled else "age (recipe float32)"].met is (
        False if labelled else None
    )
    write_page(tmp_path / "index.html", [artifact], {})


def test_a_file_for_more_photos_at_once_gives_the_same_numbers(judged: Artifact, exported: dict[str, Artifact]) -> None:
    assert judged.sidecar.input.shape == (2, 32, 32, 3)
    assert max(replay_golden(judged).values()) <= 1
    one = exported["float32"].sidecar.metrics["age"]["metrics"]["mae"]["value"]
    assert judged.sidecar.metrics["age"]["metrics"]["mae"]["value"] == pytest.approx(one, rel=0.005)


def test_a_float32_file_gives_what_the_float_model_gives(exported: dict[str, Artifact]) -> None:
    # Years, of 100: a few units of float32's last place.
    assert exported["float32"].sidecar.parity["differences"]["float_to_file"]["age"]["largest"] < 5e-5


def test_an_integer_file_gives_what_the_fake_quantized_model_gives_but_for_ties(
    exported: dict[str, Artifact], source: Source
) -> None:
    """They sum in another order: a sum between two integers may fall to either side, in few photos and by one step."""
    for name in ("int8_qat", "int8_full"):
        pairs = exported[name].sidecar.parity["differences"]
        assert pairs.keys() == {"float_to_fake_quantized", "float_to_file", "fake_quantized_to_file"}
    full = exported["int8_full"].sidecar
    step, gap = full.outputs["age"].scale, full.parity["differences"]["fake_quantized_to_file"]["age"]
    assert step is not None and gap["largest"] <= 1.001 * step and gap["mean"] <= step / 4
    artifact = exported["int8_qat"]
    fake = load_model(Run(artifact.path.parent / "qat").model_path)
    expected = predict_split(keras_predictor(fake), source.held_out)["age"]
    gaps = np.abs(predict_split(artifact.model().predict, source.held_out)["age"] - expected)
    # Its head is in floats: without a tie the years agree to float32's last places.
    assert np.quantile(gaps, 0.75) <= 2e-5
    assert gaps.max() <= 100 / 255


@pytest.fixture(scope="module")
def shipped(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """One head of a run that is called like another folder and began with a model that lies in somebody's."""
    model = source.experiment.model.model_copy(update={"init_from": "/home/somebody/secret/model.keras"})
    experiment = source.experiment.model_copy(update={"model": model, "name": "../../evil/x"})
    outputs = {name: values for name, values in source.outputs.items() if name.startswith("age")}
    one = dataclasses.replace(
        source, experiment=experiment, tasks={"age": source.tasks["age"]}, outputs=outputs, folded=_only_age(source)
    )
    folder = tmp_path_factory.mktemp("shipped") / "a" / "b" / "float32"
    return export_recipe(one, load_recipe("float32"), folder, Quiet())


def test_the_card_tells_only_of_heads_that_are_shipped_and_no_path(shipped: Artifact) -> None:
    assert shipped.sidecar.outputs.keys() == {"age", "age_distribution"}
    card = shipped.model_card_path.read_text(encoding="utf-8")
    assert "tasks: age;" in card
    for text in (card, shipped.path.with_suffix(".json").read_text(encoding="utf-8")):
        assert "/home/somebody" not in text and "model.keras" in text


def test_a_runs_name_never_leads_out_of_the_folder_of_its_export(shipped: Artifact) -> None:
    folder = shipped.path.parent
    assert folder.name == "float32" and shipped.path.name == "..-..-evil-x_float32.tflite"
    assert [path.name for path in folder.parents[1].rglob("*.tflite")] == [shipped.path.name]
    assert max(replay_golden(load_artifact(shipped.path)).values()) <= 1


def _only_age(source: Source):
    import keras

    outputs = {name: tensor for name, tensor in source.folded.output.items() if name.startswith("age")}
    return keras.Model(source.folded.input, outputs, name=source.folded.name)


def test_the_sidecar_is_written_last_so_that_a_killed_export_leaves_no_artifact(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RunError("cannot write model_card.md: No space left on device")

    monkeypatch.setattr(export, "write_text", full)
    with pytest.raises(RunError, match="No space left"):
        export_recipe(source, load_recipe("float32"), tmp_path, Quiet())
    assert not list(tmp_path.glob("*.json")) and not list(tmp_path.glob(".writing-*"))


def test_the_histogram_of_differences_is_of_file_minus_float(
    source: Source, judged: Artifact, plotted: dict[str, np.ndarray]
) -> None:
    part = source.held_out
    got = judged.model().predict(part.crops.take(part.rows).astype("float32"))
    for task in source.tasks:
        assert np.abs(plotted[task]).max() > 1e-5
        np.testing.assert_allclose(plotted[task], got[task] - source.outputs[task], atol=1e-6)
    json.loads(judged.path.with_suffix(".json").read_text(encoding="utf-8"))


def test_golden_crops_of_an_earlier_export_are_gone(exported: dict[str, Artifact], tmp_path: Path) -> None:
    for stale in ("7.png", "photos/7.png", "notes.txt"):
        (tmp_path / stale).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stale).write_text("of an earlier export")
    artifact = exported["float32"]
    write_golden(tmp_path, artifact.model(), artifact.sidecar.crop_spec())
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == {f"{place}{i}.png" for place in ("", "photos/") for i in range(6)} | {
        "expected.json",
        "photos.json",
    }


def test_a_second_export_into_the_same_folder_waits_for_nobody_and_destroys_nothing(
    source: Source, tmp_path: Path
) -> None:
    from keras_faceattr.storage import locked

    folder = tmp_path / "int8_qat"
    checkpoint = folder / "qat" / "checkpoints" / "last.npz"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("of the first export")
    with (
        locked(tmp_path / ".int8_qat.lock", folder),
        pytest.raises(RunError, match="another process is filling .*int8"),
    ):
        export_recipe(source, load_recipe("int8_qat"), folder, Quiet())
    assert checkpoint.read_text() == "of the first export"


def test_an_export_of_another_run_is_not_robbed_of_its_golden_crops(source: Source, tmp_path: Path) -> None:
    for name in ("other_float32.tflite", "other_float32.json"):
        (tmp_path / name).write_text("of another run")
    with pytest.raises(RunError, match=r"holds other_float32\.tflite of another run, .*choose another --out") as error:
        export_recipe(source, load_recipe("float32"), tmp_path, Quiet())
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other_float32.json", "other_float32.tflite"]
