"""`fit` of regressors on features: the numbers are those of Keras, scikit-learn and NumPy by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from keras_faceattr.cli.fit import run_fit
from keras_faceattr.cli.fit_features import print_regressors
from keras_faceattr.config_files import CONFIG_FOLDER, apply_overrides, load_section, parse_section
from keras_faceattr.data.datasets.synthetic import read
from keras_faceattr.errors import ConfigError, FaceAttrError, RunError
from keras_faceattr.evaluation.entries import read_entries
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.features import fit as fit_module
from keras_faceattr.features.bif import bif
from keras_faceattr.features.experiment import FeatureConfig, FeatureExperiment
from keras_faceattr.features.fit import embedder, fit_features, read_feature_experiment
from keras_faceattr.features.layer_features import feature_model
from keras_faceattr.models.loading import load_model
from keras_faceattr.models.network import build_network
from keras_faceattr.run import Run
from keras_faceattr.tasks import age_task

FEATURE_REGRESSORS = ["linear", "ridge", "knn"]

LAYERS = ["block3_1_relu", "features"]


def small(features: dict[str, Any], *overrides: str) -> FeatureExperiment:
    """An experiment on sixty drawn faces, which `small_run` was trained on too."""
    plain: dict[str, Any] = {
        "kind": "features",
        "name": "small",
        "data": {
            "sources": [{"reader": "synthetic", "options": {"count": 60, "size": 40, "seed": 0}}],
            "crop": {"size": 32},
        },
        "tasks": {"attractiveness": {}},
        "features": features,
        "regressors": FEATURE_REGRESSORS,
        "evaluation": {"bootstrap_samples": 20},
    }
    apply_overrides(plain, list(overrides))
    return parse_section(FeatureExperiment, plain, "test")


def of_layers(run: Path, *overrides: str) -> FeatureExperiment:
    return small({"path": str(run), "layers": LAYERS, "grid": 1}, *overrides)


class Say:
    """Keeps what is said, and may be killed at a line."""

    def __init__(self, killed_at: str | None = None) -> None:
        self.lines: list[str] = []
        self.killed_at = killed_at

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self.killed_at and line.startswith(self.killed_at):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def faces() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Crops and labels of the photos that train, those held out for validation behind the others, and of the test."""
    manifest = read(60, 40, 0)
    crops = np.stack([CropSpec(32).apply(read_photo(path)) for path in manifest.paths()])
    rows = manifest.rows
    places = {part: np.flatnonzero(rows["split"] == part) for part in ("train", "val", "test")}
    order = {"train": np.concatenate([places["train"], places["val"]]), "test": places["test"]}
    assert [len(row) for row in order.values()] == [48, 12]
    values = rows["attractiveness"].to_numpy("float64")
    return {part: crops[row] for part, row in order.items()}, {part: values[row] for part, row in order.items()}


@pytest.fixture(scope="module")
def finished(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Say]:
    say = Say()
    return fit_features(of_layers(small_run), tmp_path_factory.mktemp("features"), say), say


@pytest.fixture(scope="module")
def by_hand(small_run: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The mean of one layer's maps beside another's vector."""
    net = load_model(small_run / "model.keras")
    both = keras.Model(net.inputs, [net.get_layer(name).output for name in LAYERS])

    def features(crops: np.ndarray) -> np.ndarray:
        maps, vector = (part.astype("float64") for part in both.predict_on_batch(crops.astype("float32")))
        assert maps.ndim == 4 and vector.ndim == 2
        return np.concatenate([maps.mean(axis=(1, 2)), vector], axis=1)

    return features


def hand_made(name: str, note: str) -> Any:
    """A regressor with its usual preprocessing, as scikit-learn's own pipeline."""
    if name == "linear":
        return make_pipeline(StandardScaler(), LinearRegression())
    if name == "ridge":
        return make_pipeline(StandardScaler(), RidgeCV(10.0 ** np.arange(-4, 7)))
    match = re.fullmatch(r"k = (3|5|10|20), chosen on 48 training rows", note)
    assert match, note
    return make_pipeline(Normalizer(), KNeighborsRegressor(int(match[1]), weights="distance"))


@pytest.mark.parametrize("name", FEATURE_REGRESSORS)
def test_results_are_those_of_an_independent_computation(
    name: str, finished: tuple[Run, Say], faces: Any, by_hand: Callable[[np.ndarray], np.ndarray]
) -> None:
    (run, _), (crops, labels) = finished, faces
    results = json.loads(run.metrics_path.read_text())
    row = results["regressors"][name]
    train = by_hand(crops["train"])
    fitted = hand_made(name, row["note"]).fit(train, labels["train"])
    # Flip averaging: the mean of the photo's prediction and of its mirror image's.
    expected = (
        fitted.predict(by_hand(crops["test"])) + fitted.predict(by_hand(crops["test"][:, :, ::-1]))
    ) / 2  # fmt: skip
    table = pd.read_csv(run.predictions_path)
    # A short training leaves features that hardly tell photos apart; ridge then shrinks all but the mean.
    assert np.ptp(expected) > (1e-4 if name == "ridge" else 0.1)
    np.testing.assert_allclose(table[name], expected, rtol=0, atol=2e-5 if name == "ridge" else 2e-3)
    np.testing.assert_allclose(table["attractiveness"], labels["test"], rtol=1e-5)
    errors = table[name] - table["attractiveness"]
    by_numpy = {
        "mae": np.abs(errors).mean(),
        "rmse": np.sqrt((errors**2).mean()),
        "pc": np.corrcoef(table[name], table["attractiveness"])[0, 1],
    }
    for metric, value in by_numpy.items():
        # The table's six digits are off by 5e-6, which shows in the correlation of predictions that hardly differ.
        error = 1e-4 + (1e-5 / np.std(table[name]) if metric == "pc" else 0.0)
        assert row["metrics"][metric]["value"] == pytest.approx(value, abs=error)
        assert row["metrics"][metric]["low"] <= row["metrics"][metric]["value"] <= row["metrics"][metric]["high"]
    assert (row["features"], row["labelled"], row["unit"]) == (train.shape[1], 12, "points")


def test_a_finished_run_says_what_it_is(finished: tuple[Run, Say], small_run: Path) -> None:
    run, say = finished
    assert {path.name for path in run.folder.iterdir()} == {
        "config.yaml", "tasks.yaml", "provenance.json", "regressors.json", "predictions.csv", "metrics.json", "plots",
    }  # fmt: skip
    assert (run.kind(), read_feature_experiment(run)) == ("features", of_layers(small_run))
    results = json.loads(run.metrics_path.read_text())
    assert list(results["regressors"]) == FEATURE_REGRESSORS
    assert (results["photos"], results["tta"], results["task"]) == (12, "flip", "attractiveness")
    assert results["features"]["layers"] == LAYERS
    assert [line.split(":")[0] for line in say.lines[2:]] == FEATURE_REGRESSORS
    assert say.lines[0] == "features of 60 photos" and say.lines[1].endswith("48 train photos")
    assert (run.folder / "plots" / "regressors.png").read_bytes().startswith(b"\x89PNG")


def test_without_flip_each_photo_is_seen_once(
    small_run: Path, tmp_path: Path, faces: Any, by_hand: Callable[[np.ndarray], np.ndarray], finished: tuple[Run, Say]
) -> None:
    crops, labels = faces
    run = fit_features(of_layers(small_run, "evaluation.tta=none", "regressors=[linear]"), tmp_path, Say())
    fitted = hand_made("linear", "").fit(by_hand(crops["train"]), labels["train"])
    got = pd.read_csv(run.predictions_path)["linear"]
    np.testing.assert_allclose(got, fitted.predict(by_hand(crops["test"])), rtol=0, atol=2e-3)
    assert np.abs(got - pd.read_csv(finished[0].predictions_path)["linear"]).max() > 0.05


def test_the_preprocessing_may_be_named(
    small_run: Path, tmp_path: Path, faces: Any, by_hand: Callable[[np.ndarray], np.ndarray]
) -> None:
    crops, labels = faces
    run = fit_features(
        of_layers(small_run, "evaluation.tta=none", "regressors=[knn]", "preprocessing=standardise"), tmp_path, Say()
    )
    note = json.loads(run.metrics_path.read_text())["regressors"]["knn"]["note"]
    usual = hand_made("knn", note)
    fitted = make_pipeline(StandardScaler(), usual[-1]).fit(by_hand(crops["train"]), labels["train"])
    expected, images = pd.read_csv(run.predictions_path)["knn"], by_hand(crops["test"])
    np.testing.assert_allclose(expected, fitted.predict(images), rtol=0, atol=2e-3)
    other = hand_made("knn", note).fit(by_hand(crops["train"]), labels["train"])
    assert np.abs(expected - other.predict(images)).max() > 0.05


@pytest.mark.parametrize("killed_at", ["features of", "linear:", "ridge:", "knn:"])
def test_a_killed_run_goes_on_to_the_same_result(
    killed_at: str, small_run: Path, finished: tuple[Run, Say], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_features(of_layers(small_run), tmp_path, Say(killed_at))
    stopped, say = Run(tmp_path / "small"), Say()
    assert not stopped.metrics_path.exists()
    again = fit_features(read_feature_experiment(stopped), tmp_path, say, resume=stopped)
    assert again == stopped and [path.name for path in tmp_path.iterdir()] == ["small"]
    names = [f"{name}:" for name in FEATURE_REGRESSORS]
    waiting = names[names.index(killed_at) + 1 :] if killed_at in names else names
    assert [line.split()[0] for line in say.lines if line.split()[0] in names] == waiting
    for path in ("metrics.json", "predictions.csv", "regressors.json"):
        assert (again.folder / path).read_bytes() == (finished[0].folder / path).read_bytes()


def test_a_finished_run_is_not_fitted_again(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fit_features(of_layers(small_run, "regressors=[ridge]"), tmp_path, Say())
    before, say = run.metrics_path.read_bytes(), Say()

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(fit_module, "fit_regressor", never)
    monkeypatch.setattr(fit_module, "embedder", never)
    fit_features(read_feature_experiment(run), tmp_path, say, resume=run)
    assert run.metrics_path.read_bytes() == before and not say.lines


@pytest.fixture(scope="module")
def without_net(tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment = small({"source": "bif"}, "regressors=[ridge, linear]", "evaluation.tta=none")
    return fit_features(experiment, tmp_path_factory.mktemp("bif"), Say())


def replaced(name: str, old: str, new: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        before = (folder / name).read_text()
        assert old in before
        (folder / name).write_text(before.replace(old, new))

    return change


def cut(lines: int) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        path = folder / "predictions.csv"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))

    return change


def other_predictions(folder: Path) -> None:
    table = pd.read_csv(folder / "predictions.csv")
    table.assign(linear=table["linear"] + 1).to_csv(folder / "predictions.csv", index=False)


BOTH = ["ridge:", "linear:"]

# How a finished run is damaged, and what must be fitted again.
DAMAGES: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "cut short": (cut(6), BOTH),
    "header alone": (cut(1), BOTH),
    "empty": (cut(0), BOTH),
    "another photo": (replaced("predictions.csv", ".jpg", ".png"), BOTH),
    "another column": (replaced("predictions.csv", "linear", "x"), ["linear:"]),
    "other predictions": (other_predictions, ["linear:"]),
    "numbers for results": (lambda f: (f / "regressors.json").write_text('{"ridge": 5, "linear": 5}'), BOTH),
    "no results": (lambda f: (f / "regressors.json").write_text("5"), BOTH),
    "no metric": (replaced("regressors.json", '"pc"', '"cp"'), BOTH),
    "no note": (replaced("regressors.json", '"note"', '"tone"'), BOTH),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_whole_is_fitted_again_by_a_resume(damage: str, without_net: Run, tmp_path: Path) -> None:
    run, say = Run(tmp_path / "run"), Say()
    shutil.copytree(without_net.folder, run.folder)
    change, again = DAMAGES[damage]
    change(run.folder)
    fit_features(read_feature_experiment(run), tmp_path, say, resume=run)
    assert [line.split()[0] for line in say.lines if line.split()[0] in BOTH] == again
    for name in ("metrics.json", "predictions.csv", "regressors.json"):
        assert (run.folder / name).read_bytes() == (without_net.folder / name).read_bytes()
    assert [entry.name for entry in read_entries(run.folder, "run")] == ["run:ridge", "run:linear"]


@pytest.mark.parametrize("change", ["data.sources.0.options.seed=1", "data.sources.0.options.count=50"])
def test_changed_data_cannot_resume(change: str, small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_features(of_layers(small_run), tmp_path, Say("linear:"))
    run = Run(tmp_path / "small")
    before = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    with pytest.raises(RunError, match="has changed since it started: train a new run") as raised:
        fit_features(of_layers(small_run, change), tmp_path, Say(), resume=run)
    assert "\n" not in str(raised.value)
    assert {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()} == before


@pytest.fixture(scope="module")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that gives the mean colour of each quarter of a picture."""
    module = tf.Module()
    module.call = tf.function(
        lambda x: tf.reshape(tf.reduce_mean(tf.reshape(x, (1, 2, 4, 2, 4, 3)), (2, 4)), (1, 12)),
        input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32)],
    )
    path = tmp_path_factory.mktemp("embedder") / "quarters.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    path.write_bytes(converter.convert())
    return path


def quarters(crops: np.ndarray) -> np.ndarray:
    resized = np.stack([cv2.resize(crop, (8, 8), interpolation=cv2.INTER_AREA) for crop in crops])
    return resized.reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(-1, 12) / 255


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_features_of_a_tflite_file(tta: str, tiny_embedder: Path, faces: Any, tmp_path: Path) -> None:
    crops, labels = faces
    experiment = small(
        {"source": "tflite", "path": str(tiny_embedder), "scale": "zero_one"},
        "regressors=[linear]", f"evaluation.tta={tta}",
    )  # fmt: skip
    run = fit_features(experiment, tmp_path, Say())
    fitted = hand_made("linear", "").fit(quarters(crops["train"]), labels["train"])
    seen = [crops["test"], crops["test"][:, :, ::-1]][: 2 if tta == "flip" else 1]
    expected = np.mean([fitted.predict(quarters(images)) for images in seen], axis=0)
    np.testing.assert_allclose(pd.read_csv(run.predictions_path)["linear"], expected, rtol=1e-3, atol=1e-3)
    assert json.loads(run.metrics_path.read_text())["regressors"]["linear"]["features"] == 12


def test_a_tflite_file_sees_crops_of_any_size(tiny_embedder: Path, tmp_path: Path) -> None:
    features = {"source": "tflite", "path": str(tiny_embedder), "scale": "zero_one"}
    run = fit_features(small(features, "regressors=[linear]", "data.crop.size=40"), tmp_path, Say())
    assert json.loads(run.metrics_path.read_text())["crop"]["size"] == 40


def test_bio_inspired_features_need_no_file(faces: Any, tmp_path: Path) -> None:
    crops, labels = faces
    experiment = small({"source": "bif"}, "regressors=[ridge]", "preprocessing=l2", "evaluation.tta=none")
    run = fit_features(experiment, tmp_path, Say())
    fitted = make_pipeline(Normalizer(), RidgeCV(10.0 ** np.arange(-4, 7))).fit(bif(crops["train"]), labels["train"])
    got = pd.read_csv(run.predictions_path)["ridge"]
    np.testing.assert_allclose(got, fitted.predict(bif(crops["test"])), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["tasks.age={}"], ["one scalar task, not attractiveness, age", "leave the others out"]),
        (["tasks={gender: {}}"], ["one scalar task, not gender"]),
        (["tasks={beauty: {}}"], ["'beauty'", "no such label", "valid: age, attractiveness"]),
        (["regressors=[linear, lasoo]"], ["unknown regressor 'lasoo'", "did you mean 'lasso'", "bayesian_ridge, bfgs"]),
        (["regressors=[]"], ["regressors", "at least 1 item"]),
        (["features.path=null"], ["features.path: which run, .keras or .tflite file?"]),
        (["features.source=bif"], ["features.path: bif needs none"]),
        (["features.path=/nonexistent.keras"], ["/nonexistent.keras"]),
        (["features.layers=[featuers]"], ["no layer 'featuers'", "did you mean 'features'", "block3_1_relu"]),
        (["features.layers=[]"], ["features.layers", "at least 1 item"]),
        (["features.grid=9"], ["grid 9 is larger than the", "'block3_1_relu'"]),
        (["features.source=tflite"], [".tflite file"]),
        (["data.crop.size=48"], ["was trained on other crops", "data.crop.size=32"]),
        (["data.sources.0.options.count=20"], ["training photos are too few for linear", "20 or more"]),
        (["data.crop.sizes=48"], ["unknown key 'data.crop.sizes'", "did you mean 'size'"]),
        (["model={}"], ["unknown key 'model'"]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) and "=" in value[0] else None,
)
def test_a_users_mistake_is_one_line(overrides: list[str], words: list[str], small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaceAttrError) as raised:
        fit_features(of_layers(small_run, *overrides), tmp_path, Say())
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [["data.crop.size=48"], ["data.crop.method=whole_photo"], ["data.crop={size: 64, interpolation: bilinear}"]],
)
def test_crops_that_a_run_did_not_see_name_the_settings_that_mend_it(change: list[str], small_run: Path) -> None:
    wrong = of_layers(small_run, *change)
    with pytest.raises(ConfigError, match="was trained on other crops: --set ") as raised:
        embedder(wrong.features, wrong)
    mended = of_layers(small_run, *change, *str(raised.value).partition(": --set ")[2].split(" --set "))
    assert embedder(mended.features, mended)(np.zeros((1, 32, 32, 3), np.uint8)).shape[0] == 1


def test_a_run_that_never_finished_gives_no_features(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_bytes((small_run / "config.yaml").read_bytes())
    experiment = of_layers(tmp_path / "run")
    with pytest.raises(FaceAttrError, match="run") as raised:
        embedder(experiment.features, experiment)
    assert "\n" not in str(raised.value)


def test_a_features_run_is_not_a_net_to_take_features_from(finished: tuple[Run, Say], tmp_path: Path) -> None:
    experiment = of_layers(finished[0].folder)
    with pytest.raises(RunError, match="is a run of kind 'features'") as raised:
        fit_features(experiment, tmp_path, Say())
    assert "\n" not in str(raised.value)


def test_other_folders_are_not_resumed(small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        read_feature_experiment(Run(tmp_path))
    with pytest.raises(ConfigError) as raised:
        read_feature_experiment(Run(small_run))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("recipe", ["bif_features", "transferred_features"])
def test_the_shipped_recipes_say_where_features_come_from(recipe: str) -> None:
    experiment = load_section(FeatureExperiment, CONFIG_FOLDER, recipe, "config")
    assert (experiment.features.path is None) == (experiment.features.source == "bif")
    assert list(experiment.tasks) == ["attractiveness"]


def test_low_and_high_layers_are_joined_by_default() -> None:
    """TransFBP, figure 1; the fourth block of TinyAttNet has 128 channels, and so has its last."""
    experiment = load_section(FeatureExperiment, CONFIG_FOLDER, "transferred_features", "config")
    net = build_network("tiny_att_net", {"age": (age_task(), None)}, size=64, seed=0).inference
    features = feature_model(net, experiment.features.layers, experiment.features.grid)
    assert features.output_shape == (None, 4 * 4 * 128 + 128)


def test_a_source_of_features_knows_whether_it_needs_a_file() -> None:
    assert FeatureConfig(source="bif").path is None
    for source in ("layers", "tflite"):
        with pytest.raises(ValueError, match="which run"):
            FeatureConfig(source=source)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bif needs none"):
        FeatureConfig(source="bif", path="x")


def test_the_command_prints_every_regressor_and_makes_paths_absolute(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.keras").write_bytes((small_run / "model.keras").read_bytes())
    (tmp_path / "own.yaml").write_text(
        "kind: features\nname: own\n"
        "data: {sources: [{reader: synthetic, options: {count: 60, size: 40, seed: 0}}], crop: {size: 32}}\n"
        "tasks: {attractiveness: {}}\nfeatures: {path: net.keras}\nregressors: [ridge, linear]\n"
        "evaluation: {bootstrap_samples: 20}\n"
    )
    monkeypatch.chdir(tmp_path)
    run_fit("own.yaml", [], [], tmp_path / "runs", None, tensorboard=False, json=False)
    run = Run(tmp_path / "runs" / "own")
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.err.splitlines()[3:]] == ["ridge", "linear"]
    results = json.loads(run.metrics_path.read_text())
    for name in ("ridge", "linear"):
        (line,) = [line for line in printed.out.splitlines() if line.split()[:1] == [name]]
        assert f"{results['regressors'][name]['metrics']['pc']['value']:.4f}" in line
    assert str(run.predictions_path) in printed.out
    assert read_feature_experiment(run).features.path == str(tmp_path / "net.keras")
    with pytest.raises(ConfigError, match="leave out the config and --set"):
        run_fit(None, [], ["seed=1"], tmp_path / "runs", run.folder, tensorboard=False, json=False)


def test_what_was_not_measured_is_said(capsys: pytest.CaptureFixture[str], finished: tuple[Run, Say]) -> None:
    results = json.loads(finished[0].metrics_path.read_text())
    results["regressors"]["knn"]["metrics"]["pc"] = {"value": None, "low": None, "high": None}
    print_regressors(results)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["knn"]]
    assert "not measured" in line
