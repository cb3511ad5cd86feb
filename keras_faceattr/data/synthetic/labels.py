"""Labels of a drawn face; every label follows from what can be seen."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.synthetic.face import Face

# Field: points of attractiveness for each unit of the field, and the field's average.
ATTRACTIVENESS_WEIGHTS: dict[str, tuple[float, float]] = {
    "blemishes": (-1.5, 0.34),
    "wrinkles": (-1.1, 0.27),
    "eye_size": (1.6, 0.50),
    "ovalness": (0.45, 0.42),
    "cheekbones": (0.35, 0.45),
    "chubbiness": (-0.55, 0.28),
    "double_chin": (-0.40, 0.09),
    "eye_bags": (-0.40, 0.19),
    "makeup": (0.45, 0.21),
    "smile": (0.30, 0.15),
}
ASYMMETRY_WEIGHT = -1.7
SPACING_WEIGHT = -0.7
MEAN_MAGNITUDE = 0.31
MEAN_ATTRACTIVENESS = 3.0
YOUNG_BELOW_YEARS = 40.0

# Attribute: the level of the face which is above 0.5 where the attribute is present.
LEVEL_OF_ATTRIBUTE: dict[str, str] = {
    "5_o_Clock_Shadow": "stubble",
    "Arched_Eyebrows": "brow_arch",
    "Bags_Under_Eyes": "eye_bags",
    "Bald": "bald",
    "Bangs": "bangs",
    "Big_Lips": "lip_size",
    "Big_Nose": "nose_size",
    "Blurry": "blur",
    "Bushy_Eyebrows": "brow_bushiness",
    "Chubby": "chubbiness",
    "Double_Chin": "double_chin",
    "Eyeglasses": "glasses",
    "Goatee": "goatee",
    "Heavy_Makeup": "makeup",
    "High_Cheekbones": "cheekbones",
    "Mouth_Slightly_Open": "mouth_open",
    "Mustache": "mustache",
    "Narrow_Eyes": "eye_narrowness",
    "Oval_Face": "ovalness",
    "Pale_Skin": "paleness",
    "Pointy_Nose": "nose_pointiness",
    "Receding_Hairline": "hairline_recession",
    "Rosy_Cheeks": "rosiness",
    "Sideburns": "sideburns",
    "Smiling": "smile",
    "Wearing_Earrings": "earrings",
    "Wearing_Hat": "hat",
    "Wearing_Lipstick": "lipstick",
    "Wearing_Necklace": "necklace",
    "Wearing_Necktie": "necktie",
}
BEARD_LEVELS: tuple[str, ...] = ("stubble", "full_beard", "mustache", "goatee")


def attractiveness(face: Face) -> float:
    """Points from 1 to 5: a sum over visible factors, best for symmetric, smooth, evenly spaced faces."""
    points = MEAN_ATTRACTIVENESS
    points += ASYMMETRY_WEIGHT * (abs(face.asymmetry) - MEAN_MAGNITUDE)
    points += SPACING_WEIGHT * (abs(face.eye_spacing) - MEAN_MAGNITUDE)
    for name, (weight, average) in ATTRACTIVENESS_WEIGHTS.items():
        points += weight * (getattr(face, name) - average)
    return float(np.clip(points, 1.0, 5.0))


def _attributes(face: Face) -> dict[str, bool]:
    hair = not face.bald
    return {
        **{name: getattr(face, level) > 0.5 for name, level in LEVEL_OF_ATTRIBUTE.items()},
        "Attractive": attractiveness(face) > MEAN_ATTRACTIVENESS,
        "Black_Hair": hair and face.hair_color == "black",
        "Blond_Hair": hair and face.hair_color == "blond",
        "Brown_Hair": hair and face.hair_color == "brown",
        "Gray_Hair": hair and face.hair_color == "gray",
        "Male": face.gender == "male",
        "No_Beard": all(getattr(face, level) <= 0.5 for level in BEARD_LEVELS),
        "Straight_Hair": hair and face.hair_texture == "straight",
        "Wavy_Hair": hair and face.hair_texture == "wavy",
        "Young": face.age < YOUNG_BELOW_YEARS,
    }


def face_labels(face: Face) -> dict[str, float | int | str]:
    """Labels under the manifest's column names.

    `age` is in years (0 to 100) and `attractiveness` in points (1 to 5), each with the spread of its raters as
    `age_std` and `attractiveness_std`; raters agree most on young ages and on the ends of the scale of beauty.
    `gender`, `race` and `expression` are names; `attributes.<Name>` is 0 or 1 for each of the 40 attributes.
    """
    points = attractiveness(face)
    return {
        "age": face.age,
        "age_std": 1.0 + 0.06 * face.age,
        "attractiveness": points,
        "attractiveness_std": 0.7 - 0.15 * abs(points - MEAN_ATTRACTIVENESS),
        "gender": face.gender,
        "race": face.race,
        "expression": face.expression,
        **{f"attributes.{name}": int(present) for name, present in sorted(_attributes(face).items())},
    }
