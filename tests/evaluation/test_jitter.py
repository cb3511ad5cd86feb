"""Crops that are shifted, scaled and turned show what geometry says, and predictions move with them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_faceattr.config import Experiment
from keras_faceattr.config_files import parse_experiment
from keras_faceattr.evaluation.jitter import JITTERS, Jitter, measure_jitter
from keras_faceattr.faces.affine import moved_points
from keras_faceattr.tasks import BinaryTask, CategoricalTask, MultilabelTask, ScalarTask, Task

SIZE = 64
MIDDLE = (SIZE - 1) / 2
RULERS: dict[str, Task] = {name: ScalarTask(name, -100, 100, 1, "pixels") for name in ("x", "y", "width", "tilt")}

KINDS: dict[str, Task] = {
    **RULERS,
    "right": BinaryTask("right"),
    "side": CategoricalTask("side", ("near", "middle", "far")),
    "half": MultilabelTask("half", ("right", "low")),
}


def ruler(images: np.ndarray) -> dict[str, np.ndarray]:
    """Where in the photo the crop's middle lies, how wide half of the crop is there, and how far it is tilted."""
    x, y = (images[..., 0] - 40) / 2, (images[..., 1] - 40) / 2
    centre, row = slice(31, 33), slice(31, 33)
    values = {
        "x": x[:, centre, centre].mean(axis=(1, 2)),
        "y": y[:, centre, centre].mean(axis=(1, 2)),
        "width": (x[:, row, 48] - x[:, row, 16]).mean(axis=1),
        "tilt": (y[:, row, 48] - y[:, row, 16]).mean(axis=1),
    }
    # Shares of classes in which the largest depends on the place alone.
    side = np.stack([28.06 - values["x"], np.zeros(len(x)), values["x"] - 34.94], axis=1)
    right, low = values["x"] > MIDDLE + 1, values["y"] > MIDDLE + 1
    return {**values, "side": side, "right": right[:, None] * 1.0, "half": np.stack([right, low], axis=1) * 1.0}


def experiment_of(folder: Path, count: int, seed: int = 0) -> Experiment:
    """Photos that are a ruler: red grows by 2 from column to column, green from row to row."""
    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:SIZE, :SIZE]
    photo = np.stack([2 * x + 40, 2 * y + 40, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    names = [f"{i}.png" for i in range(count + 2)]
    for i, name in enumerate(names):
        photo[..., 2] = i
        assert cv2.imwrite(str(folder / name), photo[..., ::-1])
    labels = dict.fromkeys(RULERS, 30) | {"right": 1, "side": "near", "half.right": 1, "half.low": 0}
    pd.DataFrame({"image": names, **labels, "split": ["test"] * count + ["train", "val"]}).to_csv(
        folder / "labels.csv", index=False
    )
    tasks: dict[str, Any] = {
        name: {"kind": "scalar", "minimum": -100, "maximum": 100, "step": 1, "unit": "pixels"} for name in RULERS
    }
    tasks |= {
        "right": {"kind": "binary"},
        "side": {"kind": "categorical", "classes": ["near", "middle", "far"]},
        "half": {"kind": "multilabel", "attributes": ["right", "low"]},
    }
    data = {
        "sources": [{"reader": "csv_file", "path": str(folder / "labels.csv")}],
        "crop": {"size": SIZE, "method": "whole_photo", "interpolation": "bilinear"},
    }
    plain = {"name": "ruler", "seed": seed, "data": data, "tasks": tasks, "evaluation": {"tta": "none"}}
    return parse_experiment(plain, "test")


def moved(row: dict[str, Any], task: str) -> float:
    return float(row["tasks"][task]["moved"]["mean"])


@pytest.mark.parametrize("jitter", JITTERS, ids=lambda jitter: jitter.title)
def test_a_map_moves_the_crop_about_its_middle_by_the_stated_amount(jitter: Jitter) -> None:
    middle, right = np.array([[MIDDLE, MIDDLE]]), np.array([[MIDDLE + 10, MIDDLE]])
    signs = set()
    for number in range(30):
        matrix = jitter.map(SIZE, np.random.default_rng(number))
        np.testing.assert_array_equal(matrix[2], [0, 0, 1])
        centre, edge = moved_points(middle, matrix[:2])[0], moved_points(right, matrix[:2])[0]
        arm = edge - centre
        turned = np.degrees(np.arctan2(arm[1], arm[0]))
        assert np.linalg.norm(centre - middle) == pytest.approx(
            jitter.amount * SIZE * (jitter.kind == "shift"), abs=1e-9
        )
        assert abs(turned) == pytest.approx(jitter.amount * (jitter.kind == "turn"))
        grown = np.linalg.norm(arm) / 10
        assert max(grown, 1 / grown) == pytest.approx(1 + jitter.amount * (jitter.kind == "scale"))
        signs.add((centre[0] > MIDDLE + 1e-6, bool(turned > 1e-6), bool(grown > 1 + 1e-6)))
    # Each photo has a direction of its own.
    assert len(signs) == 2


def test_the_same_generator_gives_the_same_maps() -> None:
    for jitter in JITTERS:
        first, again, other = (jitter.map(SIZE, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert jitter.kind != "shift" or not np.allclose(first, other)


def test_predictions_move_as_geometry_says(tmp_path: Path) -> None:
    result = measure_jitter(ruler, experiment_of(tmp_path, 1), RULERS)
    assert len(result["rows"]) == len(JITTERS) + 1
    for row in result["rows"]:
        kind, amount = row["kind"], row["amount"]
        shift = np.hypot(moved(row, "x"), moved(row, "y"))
        assert shift == pytest.approx(amount * SIZE if kind == "shift" else 0, abs=0.6), row["title"]
        # The two columns lie 32 pixels apart.
        tilt = 32 * np.sin(np.deg2rad(amount)) if kind == "turn" else 0
        assert moved(row, "tilt") == pytest.approx(tilt, abs=0.8), row["title"]
        wider, narrower = 32 * amount, 32 - 32 / (1 + amount)
        expected = [wider, narrower] if kind == "scale" else [32 * (1 - np.cos(np.deg2rad(amount)))] * 2
        if kind == "shift" or kind is None:
            expected = [0, 0]
        assert min(abs(moved(row, "width") - value) for value in expected) < 0.8, row["title"]


def test_the_undisturbed_crop_stands_first_and_nothing_moved(tmp_path: Path) -> None:
    first = measure_jitter(ruler, experiment_of(tmp_path, 3), KINDS)["rows"][0]
    assert (first["title"], first["kind"], first["amount"]) == ("as cut", None, 0.0)
    for name, task in KINDS.items():
        values = first["tasks"][name]["moved"]
        assert set(values) == ({"mean", "p95"} if task.kind == "scalar" else {"changed"})
        assert set(values.values()) == {0.0}
    # All rulers are labelled with 30; the middle lies at 31.5.
    assert first["tasks"]["x"]["metrics"]["mae"] == pytest.approx(1.5)


def test_every_row_has_every_task_and_metric(tmp_path: Path) -> None:
    result = measure_jitter(ruler, experiment_of(tmp_path, 2), KINDS)
    assert [row["title"] for row in result["rows"]] == [
        "as cut", "shift 2%", "shift 5%", "shift 10%", "scale 5%", "scale 10%", "scale 20%", "turn 5°", "turn 10°",
        "turn 20°",
    ]  # fmt: skip
    first = result["rows"][0]["tasks"]
    assert list(first) == list(KINDS)
    for row in result["rows"]:
        for name in KINDS:
            assert row["tasks"][name]["metrics"].keys() == first[name]["metrics"].keys()
    assert (result["run"], result["split"], result["photos"], result["tta"]) == ("ruler", "test", 2, "none")
    assert result["crop"]["method"] == "whole_photo"


def test_larger_disturbances_move_more(tmp_path: Path) -> None:
    rows = measure_jitter(ruler, experiment_of(tmp_path, 12), RULERS)["rows"]
    for kind, task in (("shift", "x"), ("scale", "width"), ("turn", "tilt")):
        amounts = [row["tasks"][task]["moved"] for row in rows if row["kind"] == kind]
        assert len(amounts) == 3
        for smaller, larger in pairwise(amounts):
            assert smaller["mean"] < larger["mean"] and smaller["p95"] < larger["p95"]
        assert all(amount["mean"] <= amount["p95"] for amount in amounts)


def test_answers_that_changed_are_counted(tmp_path: Path) -> None:
    seen: list[dict[str, np.ndarray]] = []

    def watched(images: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(ruler(images))
        return seen[-1]

    jitters = (Jitter("shift", 0.1), Jitter("shift", 0.01))
    rows = measure_jitter(watched, experiment_of(tmp_path, 20), KINDS, jitters=jitters)["rows"]
    far, near = rows[1], rows[2]
    x, y = seen[1]["x"], seen[1]["y"]
    right, low = (x > MIDDLE + 1).mean(), (y > MIDDLE + 1).mean()
    assert 0 < right < 1 and 0 < low < 1
    # In the middle the answer is neither right nor low, and the side is the middle one.
    assert far["tasks"]["right"]["moved"]["changed"] == pytest.approx(right)
    assert far["tasks"]["half"]["moved"]["changed"] == pytest.approx((right + low) / 2)
    assert far["tasks"]["side"]["moved"]["changed"] == pytest.approx(((x < 28.06) | (x > 34.94)).mean())
    for task in ("right", "half", "side"):
        assert near["tasks"][task]["moved"]["changed"] == 0


def test_a_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    first, again = (measure_jitter(ruler, experiment_of(tmp_path, 3), RULERS)["rows"] for _ in range(2))
    other = measure_jitter(ruler, experiment_of(tmp_path, 3, seed=1), RULERS)["rows"]
    np.testing.assert_equal(first, again)
    assert moved(first[3], "x") != moved(other[3], "x")


def test_flip_averaging_is_the_experiments_own_unless_told_otherwise(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, 2)
    flipped = measure_jitter(ruler, experiment, RULERS, tta="flip")
    assert flipped["tta"] == "flip"
    # The columns beside the middle change places, so that a shift is seen as before, but no width is left.
    assert moved(flipped["rows"][3], "x") == pytest.approx(
        moved(measure_jitter(ruler, experiment, RULERS)["rows"][3], "x"), abs=0.01
    )
    assert flipped["rows"][0]["tasks"]["width"]["metrics"]["mae"] < 33


def test_many_photos_are_measured_in_parts_and_the_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    sizes: list[int] = []

    def counted(images: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(images))
        return ruler(images)

    experiment = experiment_of(tmp_path, 70)
    result = measure_jitter(
        counted, experiment, RULERS, progress=lambda done, total: calls.append((done, total)),
        jitters=(Jitter("turn", 5.0),),
    )  # fmt: skip
    assert calls == [(64, 70), (70, 70)]
    assert sizes == [64, 64, 6, 6]
    assert result["photos"] == 70
    assert result["rows"][0]["tasks"]["x"]["metrics"]["mae"] == pytest.approx(1.5)
