"""Labels fit the tasks, occur often enough, and follow from the face."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_faceattr.data.synthetic import Face, face_labels, sample_face
from keras_faceattr.data.synthetic.face import RACES
from keras_faceattr.data.vocabulary import ATTRIBUTES, EXPRESSIONS

FACES = 2000


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(11)
    return [face_labels(sample_face(rng)) for _ in range(FACES)]


def column(labels, name):
    return np.array([row[name] for row in labels])


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_has_both_values(labels, attribute):
    assert 0.03 <= column(labels, f"attributes.{attribute}").mean() <= 0.97


def test_a_face_has_exactly_the_documented_columns(labels):
    scalars = {"age", "age_std", "attractiveness", "attractiveness_std", "gender", "race", "expression"}
    assert set(labels[0]) == scalars | {f"attributes.{name}" for name in ATTRIBUTES}


@pytest.mark.parametrize(
    ("name", "values"), [("gender", ("female", "male")), ("race", RACES), ("expression", EXPRESSIONS)]
)
def test_every_class_occurs(labels, name, values):
    found, counts = np.unique(column(labels, name), return_counts=True)
    assert set(found) == set(values)
    assert counts.min() >= 0.03 * FACES


def test_ages_span_the_scale_and_are_mostly_adult(labels):
    age = column(labels, "age")
    assert age.min() >= 0 and age.max() <= 100
    assert np.percentile(age, 3) < 8 and np.percentile(age, 97) > 70
    assert 0.6 < np.mean((age >= 15) & (age < 60)) < 0.9


def test_attractiveness_is_bell_shaped_within_its_scale(labels):
    points = column(labels, "attractiveness")
    assert points.min() >= 1 and points.max() <= 5
    assert abs(points.mean() - 3) < 0.15 and 0.5 < points.std() < 1.0
    assert np.mean(np.abs(points - 3) < 1) > 0.6
    assert np.mean((points == 1) | (points == 5)) < 0.03


def test_raters_spread_is_positive_and_varies(labels):
    for name in ("age_std", "attractiveness_std"):
        spread = column(labels, name)
        assert spread.min() > 0 and np.ptp(spread) > 0.1


@pytest.mark.parametrize(
    "worse",
    [
        {"asymmetry": -0.8},
        {"asymmetry": 0.8},
        {"blemishes": 0.9},
        {"wrinkles": 0.8},
        {"eye_size": 0.1},
        {"eye_spacing": 0.8},
    ],
)
def test_attractiveness_falls_with_what_the_raters_see(worse):
    assert face_labels(dataclasses.replace(Face(), **worse))["attractiveness"] < face_labels(Face())["attractiveness"]


@pytest.mark.parametrize(
    ("condition", "consequence"),
    [
        ("Bald", "Black_Hair"),
        ("Bald", "Bangs"),
        ("Mustache", "No_Beard"),
        ("Goatee", "No_Beard"),
        ("Wearing_Hat", "Bald"),
    ],
)
def test_attributes_which_exclude_each_other_never_meet(labels, condition, consequence):
    both = column(labels, f"attributes.{condition}") & column(labels, f"attributes.{consequence}")
    assert both.sum() == 0


@pytest.mark.parametrize(
    ("first", "second"), [("Male", "Mustache"), ("Male", "5_o_Clock_Shadow"), ("Heavy_Makeup", "Wearing_Lipstick")]
)
def test_related_attributes_correlate_but_are_not_equal(labels, first, second):
    a, b = column(labels, f"attributes.{first}"), column(labels, f"attributes.{second}")
    assert 0.1 < np.corrcoef(a, b)[0, 1] < 0.95


def test_hair_greys_with_age_but_not_at_one_age(labels):
    age, gray = column(labels, "age"), column(labels, "attributes.Gray_Hair").astype(bool)
    assert gray[age > 72].mean() > 0.6 and gray[age < 35].mean() < 0.08
    assert 0.1 < gray[(age > 48) & (age < 64)].mean() < 0.8
