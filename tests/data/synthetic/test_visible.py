"""Every attribute, expression, race and age that is labelled changes the picture where one would look for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_faceattr.data.synthetic import Face, face_labels, render_face
from keras_faceattr.data.vocabulary import ATTRIBUTES, EXPRESSIONS

SIZE = 128
MAN = {"gender": "male", "race": "Indian", "hair_color": "black"}
# Boxes of the front-facing default face as fractions of the image: left, top, right, bottom.
BOXES = {
    "brows": (0.32, 0.36, 0.68, 0.46),
    "cheeks": (0.28, 0.52, 0.72, 0.74),
    "ears": (0.20, 0.52, 0.80, 0.68),
    "eyes": (0.34, 0.45, 0.66, 0.52),
    "forehead": (0.32, 0.28, 0.68, 0.42),
    "glasses": (0.28, 0.43, 0.72, 0.55),
    "hair": (0.24, 0.08, 0.76, 0.45),
    "head": (0.24, 0.10, 0.76, 0.82),
    "jaw": (0.28, 0.60, 0.72, 0.80),
    "mouth": (0.40, 0.62, 0.60, 0.74),
    "mustache": (0.40, 0.60, 0.60, 0.68),
    "chin": (0.42, 0.70, 0.58, 0.82),
    "neck": (0.36, 0.82, 0.64, 0.96),
    "nose": (0.44, 0.52, 0.56, 0.63),
    "sideburns": (0.26, 0.44, 0.74, 0.62),
    "top": (0.15, 0.02, 0.85, 0.30),
    "under_chin": (0.36, 0.72, 0.64, 0.86),
    "under_eyes": (0.34, 0.51, 0.66, 0.58),
}
# Attribute: box, face without it, what is added.
CHANGES: dict[str, tuple[str, dict, dict]] = {
    "5_o_Clock_Shadow": ("jaw", MAN, {"stubble": 0.7}),
    "Arched_Eyebrows": ("brows", {}, {"brow_arch": 0.7}),
    "Attractive": ("head", {"asymmetry": 0.6, "blemishes": 0.7}, {"asymmetry": 0.0, "blemishes": 0.0}),
    "Bags_Under_Eyes": ("under_eyes", {}, {"eye_bags": 0.7}),
    "Bald": ("hair", MAN, {"bald": True}),
    "Bangs": ("forehead", {}, {"bangs": 0.7}),
    "Big_Lips": ("mouth", {}, {"lip_size": 0.7}),
    "Big_Nose": ("nose", {}, {"nose_size": 0.7}),
    "Black_Hair": ("hair", {"hair_color": "red"}, {"hair_color": "black"}),
    "Blond_Hair": ("hair", {"hair_color": "red"}, {"hair_color": "blond"}),
    "Blurry": ("head", {}, {"blur": 0.7}),
    "Brown_Hair": ("hair", {"hair_color": "red"}, {"hair_color": "brown"}),
    "Bushy_Eyebrows": ("brows", {}, {"brow_bushiness": 0.7}),
    "Chubby": ("jaw", {}, {"chubbiness": 0.7}),
    "Double_Chin": ("under_chin", {}, {"double_chin": 0.7}),
    "Eyeglasses": ("glasses", {}, {"glasses": True}),
    "Goatee": ("chin", MAN, {"goatee": 0.7}),
    "Gray_Hair": ("hair", {}, {"hair_color": "gray"}),
    "Heavy_Makeup": ("glasses", {}, {"makeup": 0.7}),
    "High_Cheekbones": ("cheeks", {}, {"cheekbones": 0.7}),
    "Male": ("jaw", {}, {"gender": "male"}),
    "Mouth_Slightly_Open": ("mouth", {}, {"mouth_open": 0.7}),
    "Mustache": ("mustache", MAN, {"mustache": 0.7}),
    "Narrow_Eyes": ("eyes", {}, {"eye_narrowness": 0.7}),
    "No_Beard": ("jaw", {**MAN, "full_beard": 0.7}, {"full_beard": 0.0}),
    "Oval_Face": ("jaw", {}, {"ovalness": 0.7}),
    "Pale_Skin": ("head", {}, {"paleness": 0.7}),
    "Pointy_Nose": ("nose", {}, {"nose_pointiness": 0.7}),
    "Receding_Hairline": ("hair", MAN, {"hairline_recession": 0.7}),
    "Rosy_Cheeks": ("cheeks", {}, {"rosiness": 0.7}),
    "Sideburns": ("sideburns", MAN, {"sideburns": 0.7}),
    "Smiling": ("mouth", {}, {"smile": 0.7}),
    "Straight_Hair": ("hair", {"hair_texture": "curly"}, {"hair_texture": "straight"}),
    "Wavy_Hair": ("hair", {}, {"hair_texture": "wavy"}),
    "Wearing_Earrings": ("ears", {}, {"earrings": True}),
    "Wearing_Hat": ("top", {}, {"hat": True}),
    "Wearing_Lipstick": ("mouth", {}, {"lipstick": 0.7}),
    "Wearing_Necklace": ("neck", {}, {"necklace": True}),
    "Wearing_Necktie": ("neck", MAN, {"necktie": True}),
    "Young": ("head", {"age": 68.0, "wrinkles": 0.8}, {"age": 25.0, "wrinkles": 0.0}),
}
MIN_GREY_LEVELS = 3.0


def changed(before: Face, after: Face) -> np.ndarray:
    """(SIZE, SIZE) absolute difference in grey levels; both photos have the same noise."""
    first, second = (render_face(face, SIZE, np.random.default_rng(3))[0].astype(float) for face in (before, after))
    return np.abs(first - second).mean(2)


def inside(difference: np.ndarray, box: str) -> tuple[float, float]:
    """Mean difference in the box and around it."""
    left, top, right, bottom = (round(SIZE * part) for part in BOXES[box])
    within = np.zeros((SIZE, SIZE), bool)
    within[top:bottom, left:right] = True
    return float(difference[within].mean()), float(difference[~within].mean())


def test_the_table_covers_all_attributes():
    assert set(CHANGES) == set(ATTRIBUTES)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_is_seen_in_its_region(attribute):
    box, base, added = CHANGES[attribute]
    before = dataclasses.replace(Face(), **base)
    after = dataclasses.replace(before, **added)
    column = f"attributes.{attribute}"
    assert (face_labels(before)[column], face_labels(after)[column]) == (0, 1)
    within, around = inside(changed(before, after), box)
    assert within > MIN_GREY_LEVELS and within > 2 * around


@pytest.mark.parametrize("expression", [name for name in EXPRESSIONS if name != "neutral"])
def test_an_expression_moves_eyes_or_brows(expression):
    difference = changed(Face(), Face(expression=expression))
    assert max(inside(difference, "brows")[0], inside(difference, "eyes")[0]) > MIN_GREY_LEVELS


@pytest.mark.parametrize("race", ["Asian", "Black", "Indian"])
def test_a_race_changes_the_skin(race):
    assert inside(changed(Face(), Face(race=race)), "cheeks")[0] > MIN_GREY_LEVELS


@pytest.mark.parametrize(
    ("box", "years", "wrinkles"),
    [("head", 2.0, 0.0), ("head", 8.0, 0.0), ("forehead", 50.0, 0.45), ("forehead", 75.0, 0.88)],
)
def test_age_changes_the_face(box, years, wrinkles):
    young, other = Face(age=27.0, wrinkles=0.05), Face(age=years, wrinkles=wrinkles)
    assert inside(changed(young, other), box)[0] > MIN_GREY_LEVELS


def test_a_child_has_its_eyes_lower_on_the_head():
    adult, child = (render_face(Face(age=age), SIZE, np.random.default_rng(0))[1] for age in (30.0, 3.0))
    assert child[0, 1] > adult[0, 1] + 3
