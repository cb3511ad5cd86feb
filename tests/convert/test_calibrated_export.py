"""Intervals of an exported file: measured on validation photos, kept in the file, and refused if edited."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from small import Quiet

import keras_faceattr as kfa
from keras_faceattr.artifact.loading import Artifact, load_artifact
from keras_faceattr.calibration import conformal, temperature
from keras_faceattr.convert.export import export_recipe
from keras_faceattr.convert.page import write_page
from keras_faceattr.convert.recipe import load_recipe
from keras_faceattr.convert.source import Source
from keras_faceattr.convert.temperatures import divide_logits
from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.errors import ArtifactError, ConfigError
from keras_faceattr.evaluation.predictions import keras_predictor, predict_split
from keras_faceattr.metrics.reliability import class_certainty, expected_calibration_error

PHOTO = synthetic_photo(5, 1, 96)[0]


@pytest.fixture
def calibrated(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """A file whose intervals come from the train photos, as the small run has too few others."""
    monkeypatch.setattr(conformal, "FEWEST", 20)
    parts = {**source.data.parts, "val": source.data.parts["train"]}
    data = dataclasses.replace(source.data, parts=parts)
    return export_recipe(dataclasses.replace(source, data=data), load_recipe("float32"), tmp_path / "file", Quiet())


def test_a_file_answers_with_intervals_that_were_measured_on_it(calibrated: Artifact, source: Source) -> None:
    spec = calibrated.sidecar.calibration["age"]
    assert spec.photos == len(source.data.parts["train"])
    net = kfa.load(calibrated.path)
    (face,) = net.predict(PHOTO)
    age = face["age"]
    assert list(age.intervals) == [0.5, 0.8, 0.9, 0.95]
    narrow, low, high = age.interval(0.5), *age.interval()
    assert low <= narrow[0] <= age.value <= narrow[1] <= high
    row = face.row()
    assert (row["age_low"], row["age_high"]) == (low, high) == age.interval(0.9)
    factor = next(entry.factor for entry in spec.intervals if entry.level == 0.9)
    assert high == pytest.approx(min(100.0, age.value + factor * max(age.std, 0.5)), rel=1e-5)
    with pytest.raises(ConfigError, match=r"no interval of level 0.85; the net has 0.5, 0.8, 0.9, 0.95"):
        age.interval(0.85)
    # They hold for crops as they are.
    assert net.predict(PHOTO, tta="flip")[0]["age"].intervals == {}


def test_answers_that_are_too_uncertain_are_left_empty_and_counted(calibrated: Artifact, tmp_path: Path) -> None:
    net = kfa.load(calibrated.path)
    (face,) = net.predict(PHOTO)
    (low, high), chance = face["age"].interval(), face["gender"].probability
    (strict,) = net.predict(PHOTO, max_width=0.99 * (high - low), min_probability=min(0.999, chance + 1e-4))
    assert strict.abstained == ("age", "gender") and strict["age"].value == face["age"].value
    row = strict.row()
    assert row["age"] is None and row["gender"] is None
    assert (row["age_low"], row["gender_probability"]) == (face.row()["age_low"], chance)
    assert net.predict(PHOTO, max_width=1.01 * (high - low), min_probability=chance - 1e-4)[0].abstained == ()
    assert cv2.imwrite(str(tmp_path / "a.png"), PHOTO[..., ::-1])
    out = tmp_path / "said.csv"
    said = kfa.predict(net, tmp_path / "a.png", out, max_width=0.99 * (high - low), verbose=False)
    assert said.abstained == 1 and "1 answers too uncertain (empty cells)" in str(said)
    assert pd.read_csv(out)["age"].isna().all() and said.to_json()["abstained"] == 1
    assert kfa.predict(net, tmp_path / "a.png", out, verbose=False).abstained is None
    for wrong, message in (
        ({"min_probability": 1.5}, "--min-probability 1.5: needs a number between 0 and 1"),
        ({"max_width": -1}, "--max-width -1: needs a number above 0"),
        ({"max_width": 5, "tasks": ["gender"]}, "--max-width: no measured intervals"),
        ({"max_width": 5, "tta": "flip"}, "--max-width: no measured intervals"),
    ):
        with pytest.raises(ConfigError, match=message):
            net.predict(PHOTO, **wrong)  # type: ignore[arg-type]


def test_its_coverage_is_measured_on_the_test_photos_and_shown(calibrated: Artifact) -> None:
    told = calibrated.sidecar.metrics["age"]["reliability"]
    assert set(told["metrics"]) == {"coverage", "width", "distance@90%", "distance@80%", "distance@50%"}
    measured = kfa.evaluate(calibrated.path, tta="none", verbose=False).results["tasks"]
    assert measured["age"]["reliability"]["metrics"]["coverage"]["value"] == told["metrics"]["coverage"]["value"]
    assert set(measured["gender"]["reliability"]["metrics"]) >= {"ece", "error@50%"}
    card = calibrated.model_card_path.read_text()
    assert "coverage of the 90 % interval" in card and "calibration error (ECE)" in card
    page = calibrated.path.parent / "index.html"
    write_page(page, [calibrated], {})
    text = page.read_text()
    assert "Do the answers hold?" in text and "width of the 90 % interval (years)" in text


@pytest.mark.parametrize("edit", ["factor", "removed"])
def test_an_edited_table_is_refused(calibrated: Artifact, edit: str) -> None:
    path = calibrated.path.with_suffix(".json")
    told = json.loads(path.read_text())
    if edit == "removed":
        told["calibration"] = {}
    else:
        told["calibration"]["age"]["intervals"][0]["factor"] *= 0.9
    path.write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match=r"calibration: not the table that .*tflite holds; export it again"):
        load_artifact(calibrated.path)


def test_too_few_validation_photos_are_said_and_give_no_intervals(source: Source, tmp_path: Path) -> None:
    listener = Quiet()
    artifact = export_recipe(source, load_recipe("float32"), tmp_path / "file", listener)
    count = len(source.data.parts["val"])
    assert any(
        f"age has no intervals: {count} labelled validation photos are too few" in line for line in listener.lines
    )
    (face,) = kfa.load(artifact.path).predict(PHOTO)
    assert "age_low" not in face.row() and np.isfinite(face["age"].std)
    with pytest.raises(ConfigError, match="the net has no measured intervals: export its run anew"):
        face["age"].interval()


def test_an_overconfident_last_layer_is_divided_and_no_answer_changes(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temperature, "FEWEST", 20)
    model = keras.models.clone_model(source.model)
    model.set_weights(source.model.get_weights())
    part, own = source.data.parts["train"], {"gender": source.tasks["gender"]}
    # A net that is right about four photos of five.
    labels = predict_split(keras_predictor(model), part)["gender"].argmax(axis=1)[:, None].astype("float32")
    labels[::5] = 1 - labels[::5]
    part = dataclasses.replace(part, labels={"gender": labels})

    def said() -> np.ndarray:
        return predict_split(keras_predictor(model), part)["gender"]

    def error(outputs: np.ndarray) -> float:
        return expected_calibration_error(labels, class_certainty(labels, outputs))

    raw = model.get_layer("gender_raw")
    raw.set_weights([8 * weight for weight in raw.get_weights()])
    before, found = said(), divide_logits(model, own, part)
    after = said()
    assert found.factors["gender"] > 2 and found.photos["gender"] == len(labels)
    assert error(after) < error(before) / 2
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    again = divide_logits(model, own, part)
    assert again.factors["gender"] == pytest.approx(1, abs=0.02)
    assert found.then(again).factors["gender"] == found.factors["gender"] * again.factors["gender"]
    assert divide_logits(model, own, None).factors == {}
