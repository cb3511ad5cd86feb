"""Tasks whose answer is a vector: how they are measured, written and drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve
from sklearn.metrics.pairwise import cosine_similarity

from keras_faceattr.data.manifest import Manifest, Source
from keras_faceattr.evaluation import plots
from keras_faceattr.evaluation.evaluate import evaluate
from keras_faceattr.evaluation.plots import plot_task
from keras_faceattr.evaluation.predictions import value_names, write_predictions
from keras_faceattr.metrics.vectors import pairs_of
from keras_faceattr.tasks import BinaryTask, EmbeddingTask, IdentityTask, MultilabelTask

WHO = IdentityTask("who", 4, people=20)
COPY = EmbeddingTask("copy", 3)
PEOPLE, PHOTOS = 20, 6


def manifest(**columns: object) -> Manifest:
    rows = pd.DataFrame(columns)
    rows.insert(0, "image", [f"{i}.jpg" for i in range(len(rows))])
    rows.insert(0, "source", "s")
    rows.insert(2, "split", "test")
    if "identity" in rows:
        rows["identity"] = rows["identity"].astype("string")
    return Manifest(rows.astype({"source": "string"}), {}, {"s": Source("s", Path())})


def crowd(nobody: int = 0, **columns: object) -> Manifest:
    """Photos of people, and some of nobody known at the end."""
    return manifest(identity=[f"p{i % PEOPLE:02d}" for i in range(PEOPLE * PHOTOS)] + [None] * nobody, **columns)


def perfect() -> np.ndarray:
    """A direction a person, in any length."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(PEOPLE, 4))
    return np.tile(centres, (PHOTOS, 1)) * rng.uniform(0.5, 2, (PEOPLE * PHOTOS, 1))


def guessed(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 4))


def test_vectors_that_are_a_persons_own_are_measured_as_perfect() -> None:
    result = evaluate(crowd(), {"who": WHO}, {"who": perfect()}, samples=10)["who"]
    # Six photos make 15 pairs; as many of two people.
    assert (result["kind"], result["labelled"], result["pairs"]) == ("identity", 120, 2 * 15 * PEOPLE)
    assert list(result["metrics"]) == ["accuracy", "auc", "tar@far=0.01", "tar@far=0.001"]
    assert [numbers["value"] for numbers in result["metrics"].values()] == pytest.approx([1, 1, 1, 1])
    assert result["metrics"]["auc"] == pytest.approx({"value": 1, "low": 1, "high": 1})


def test_vectors_without_meaning_are_measured_as_chance() -> None:
    metrics = evaluate(crowd(), {"who": WHO}, {"who": guessed(120)}, samples=30)["who"]["metrics"]
    assert [metrics[name]["value"] for name in ("accuracy", "auc")] == pytest.approx([0.5, 0.5], abs=0.1)
    assert metrics["auc"]["low"] < metrics["auc"]["value"] < metrics["auc"]["high"]


def test_the_interval_of_the_accuracy_encloses_it() -> None:
    accuracy = evaluate(crowd(), {"who": WHO}, {"who": guessed(120)}, samples=30)["who"]["metrics"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]


def test_the_interval_draws_people_so_that_more_photos_of_the_same_ones_narrow_it_little() -> None:
    rng = np.random.default_rng(2)
    centres, noise = rng.normal(size=(PEOPLE, 4)), rng.uniform(0.2, 1.5, PEOPLE)
    widths = {}
    for photos in (6, 24):
        who = np.tile(np.arange(PEOPLE), photos)
        vectors = centres[who] + noise[who, None] * rng.normal(size=(len(who), 4))
        measured = evaluate(manifest(identity=[f"p{i}" for i in who]), {"who": WHO}, {"who": vectors}, samples=150)
        widths[photos] = {name: n["high"] - n["low"] for name, n in measured["who"]["metrics"].items()}
    # Ten times as many pairs would seem to tell three times as well.
    for metric in ("accuracy", "auc"):
        assert widths[24][metric] > 0.6 * widths[6][metric]


def test_photos_of_nobody_known_make_no_pairs() -> None:
    vectors = np.concatenate([perfect(), guessed(30)])
    result = evaluate(crowd(30), {"who": WHO}, {"who": vectors}, samples=0)["who"]
    assert (result["labelled"], result["pairs"]) == (120, 600)
    assert result["metrics"]["accuracy"]["value"] == 1.0


def test_pairs_are_not_split_by_groups() -> None:
    photos = crowd(gender=["female", "male"] * 60)
    assert evaluate(photos, {"who": WHO}, {"who": perfect()}, samples=0)["who"]["groups"] == {}


def test_nobody_known_at_all_measures_nothing() -> None:
    result = evaluate(manifest(identity=[None] * 4), {"who": WHO}, {"who": guessed(4)}, samples=5)["who"]
    assert (result["labelled"], result["metrics"]) == (0, {})


def test_a_task_of_identity_is_left_out_where_the_data_knows_nobody() -> None:
    assert evaluate(manifest(age=[1, 2]), {"who": WHO}, {"who": guessed(2)}, samples=0) == {}


def test_an_embedding_is_measured_by_its_cosine_to_the_teachers_overall_and_by_group() -> None:
    rng = np.random.default_rng(0)
    targets, vectors = rng.normal(size=(2, 24, 3))
    targets[[2, 7]] = np.nan
    gender = np.array(["female", "male"])[np.arange(24) % 2]
    result = evaluate(manifest(gender=gender), {"copy": COPY}, {"copy": vectors}, samples=30, labels={"copy": targets})[
        "copy"
    ]
    known = np.delete(np.arange(24), [2, 7])
    cosines = np.full(24, np.nan)
    cosines[known] = np.diag(cosine_similarity(targets[known], vectors[known]))
    assert (result["kind"], result["labelled"], list(result["metrics"])) == ("embedding", 22, ["cosine"])
    cosine = result["metrics"]["cosine"]
    assert cosine["value"] == pytest.approx(np.nanmean(cosines))
    assert cosine["low"] < cosine["value"] < cosine["high"]
    for name in ("female", "male"):
        group = result["groups"]["gender"][name]
        assert group["labelled"] == 11
        assert group["metrics"]["cosine"]["value"] == pytest.approx(np.nanmean(cosines[gender == name]))


def test_an_embedding_without_the_teachers_vectors_measures_nothing() -> None:
    result = evaluate(manifest(age=[1, 2]), {"copy": COPY}, {"copy": np.ones((2, 3))}, samples=5)["copy"]
    assert (result["labelled"], result["metrics"]) == (0, {})


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (COPY, ["copy.0", "copy.1", "copy.2"]),
        (WHO, ["who.0", "who.1", "who.2", "who.3"]),
        (MultilabelTask("hats", ("red", "blue")), ["hats.red", "hats.blue"]),
        (BinaryTask("smile"), ["smile"]),
    ],
)
def test_each_number_of_an_answer_has_a_name(task, names: list[str]) -> None:
    assert value_names(task) == names


def test_predictions_have_a_column_for_each_number_of_a_vector(tmp_path: Path) -> None:
    photos = manifest(identity=["ann", None, "bob"])
    outputs = {"who": guessed(3), "copy": np.arange(9.0).reshape(3, 3)}
    write_predictions(tmp_path / "predictions.csv", photos, {"who": WHO, "copy": COPY}, outputs)
    table = pd.read_csv(tmp_path / "predictions.csv")
    vectors = {name: [f"{name}.{i}_predicted" for i in range(count)] for name, count in (("who", 4), ("copy", 3))}
    assert list(table) == ["source", "image", "identity", *vectors["who"], *vectors["copy"]]
    assert table["identity"].isna().tolist() == [False, True, False]
    np.testing.assert_allclose(table[vectors["who"]], outputs["who"], rtol=1e-5)
    np.testing.assert_array_equal(table[vectors["copy"]], outputs["copy"])


def drawn(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None and (picture < 128).mean() > 0.005 and (picture > 200).mean() > 0.3
    return picture


def test_a_task_of_identity_is_drawn_as_its_curve(tmp_path: Path) -> None:
    numbers = np.tile(np.arange(PEOPLE, dtype="float32"), PHOTOS)[:, None]
    labels = np.concatenate([numbers, np.full((3, 1), np.nan)])
    pictures = {}
    for name, vectors in (("perfect", perfect()), ("guessed", guessed(120))):
        folder = tmp_path / name
        folder.mkdir()
        [path] = plot_task(WHO, labels, np.concatenate([vectors, guessed(3)]), folder)
        assert path == folder / "who_roc.png"
        pictures[name] = drawn(path)
    assert (pictures["perfect"] != pictures["guessed"]).any()


def test_the_curve_is_scikit_learns_with_one_person_accepted_upwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = Figure().add_subplot()
    monkeypatch.setattr(plots, "draw_picture", lambda path, draw, *_: draw(axes))
    numbers = np.tile(np.arange(PEOPLE, dtype="float32"), PHOTOS)[:, None]
    vectors = perfect() + 0.5 * guessed(120)
    plot_task(WHO, numbers, vectors, tmp_path)
    same, predictions = pairs_of(numbers, vectors)
    far, tar, _ = roc_curve(same[:, 0], predictions[:, 0], drop_intermediate=False)
    [line] = axes.get_lines()
    # A logarithmic axis has no 0.
    np.testing.assert_allclose(line.get_xdata(), np.maximum(far, 1e-4))
    np.testing.assert_allclose(line.get_ydata(), tar)
    assert axes.get_xscale() == "log"


def test_an_embedding_and_photos_of_nobody_are_not_drawn(tmp_path: Path) -> None:
    assert plot_task(COPY, np.ones((4, 3)), np.ones((4, 3)), tmp_path) == []
    assert plot_task(WHO, np.full((4, 1), np.nan), guessed(4), tmp_path) == []
    assert list(tmp_path.iterdir()) == []
