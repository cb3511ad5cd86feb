"""Draws plausible faces: factors depend on age, gender and race as in photos of people, but never fully."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from keras_faceattr.data.synthetic.face import HAIR_TEXTURES, RACES, Face

RACE_PROBABILITIES: tuple[float, ...] = (0.24, 0.22, 0.34, 0.20)

# Probabilities of the natural hair colours black, brown, blond and red.
HAIR_COLOR_PROBABILITIES: dict[str, tuple[float, ...]] = {
    "Asian": (0.72, 0.22, 0.04, 0.02),
    "Black": (0.78, 0.17, 0.04, 0.01),
    "Caucasian": (0.15, 0.35, 0.38, 0.12),
    "Indian": (0.72, 0.24, 0.03, 0.01),
}
# Probabilities of straight, wavy and curly hair.
HAIR_TEXTURE_PROBABILITIES: dict[str, tuple[float, ...]] = {
    "Asian": (0.68, 0.28, 0.04),
    "Black": (0.18, 0.27, 0.55),
    "Caucasian": (0.46, 0.42, 0.12),
    "Indian": (0.45, 0.42, 0.13),
}
# Probabilities of brown, dark, blue and green irises.
IRIS_COLORS: tuple[str, ...] = ("brown", "dark", "blue", "green")
IRIS_PROBABILITIES: dict[str, tuple[float, ...]] = {
    "Asian": (0.35, 0.63, 0.01, 0.01),
    "Black": (0.35, 0.63, 0.01, 0.01),
    "Caucasian": (0.32, 0.08, 0.38, 0.22),
    "Indian": (0.40, 0.54, 0.02, 0.04),
}
# Expression: probability, range of the smile, probability of a smile against that range, of an open mouth.
EXPRESSION_MOUTHS: dict[str, tuple[float, tuple[float, float], float, float]] = {
    "angry": (0.08, (-0.7, -0.2), 0.02, 0.20),
    "disgust": (0.07, (-0.9, -0.4), 0.02, 0.15),
    "fear": (0.07, (-0.5, -0.1), 0.02, 0.70),
    "happy": (0.32, (0.6, 1.0), 0.05, 0.50),
    "neutral": (0.31, (-0.2, 0.3), 0.13, 0.12),
    "sad": (0.08, (-1.0, -0.6), 0.02, 0.08),
    "surprise": (0.07, (-0.1, 0.2), 0.15, 0.93),
}
# Probability that a level is above 0.5: (women, men), and what each race adds.
LEVEL_PROBABILITIES: dict[str, tuple[float, float, dict[str, float]]] = {
    "ovalness": (0.42, 0.26, {}),
    "cheekbones": (0.50, 0.30, {"Asian": 0.10}),
    "eye_narrowness": (0.12, 0.15, {"Asian": 0.30}),
    "brow_arch": (0.48, 0.12, {}),
    "brow_bushiness": (0.10, 0.38, {"Indian": 0.12}),
    "nose_size": (0.15, 0.32, {"Black": 0.15, "Indian": 0.05}),
    "nose_pointiness": (0.34, 0.24, {"Caucasian": 0.12, "Black": -0.15}),
    "lip_size": (0.30, 0.18, {"Black": 0.30}),
    "rosiness": (0.20, 0.06, {"Caucasian": 0.08}),
    "paleness": (0.05, 0.03, {"Asian": 0.08, "Caucasian": 0.18}),
}


def _level(rng: np.random.Generator, probability: float) -> float:
    """A level that is clearly present with the given probability, else clearly absent."""
    low, high = (0.65, 1.0) if rng.random() < probability else (0.0, 0.35)
    return float(rng.uniform(low, high))


def _present(rng: np.random.Generator, probability: float) -> float:
    """Like `_level` for what is either there or not: absent is 0."""
    strength = float(rng.uniform(0.65, 1.0))
    return strength if rng.random() < probability else 0.0


def _offset(rng: np.random.Generator, spread: float = 0.4) -> float:
    return float(np.clip(rng.normal(0.0, spread), -1.0, 1.0))


def _logistic(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value)))


def _choose(rng: np.random.Generator, names: tuple[str, ...], probabilities: tuple[float, ...]) -> str:
    return names[int(rng.choice(len(names), p=probabilities))]


def _age(rng: np.random.Generator) -> float:
    """Mostly young adults, with children and old people: 1 to 100 years."""
    peaks, spreads = ((30.0, 11.0), (8.0, 5.0), (58.0, 15.0))[_index(rng, (0.55, 0.13, 0.32))]
    return float(np.clip(rng.normal(peaks, spreads), 1.0, 100.0))


def _index(rng: np.random.Generator, probabilities: tuple[float, ...]) -> int:
    return int(rng.choice(len(probabilities), p=probabilities))


def _mouth(rng: np.random.Generator, expression: str) -> dict[str, float]:
    _, (low, high), exception, open_probability = EXPRESSION_MOUTHS[expression]
    usual = float(rng.uniform(low, high))
    opposite = float(rng.uniform(0.15, 0.4) if expression == "happy" else rng.uniform(0.6, 0.8))
    opening = float(rng.uniform(0.65, 1.0) if rng.random() < open_probability else rng.uniform(0.0, 0.1))
    return {"smile": opposite if rng.random() < exception else usual, "mouth_open": opening}


def _hair(rng: np.random.Generator, race: str, male: bool, age: float, hat: bool) -> dict[str, str | float | bool]:
    gray = rng.random() < _logistic((age - 57.0) / 7.0)
    natural = _choose(rng, ("black", "brown", "blond", "red"), HAIR_COLOR_PROBABILITIES[race])
    bald = rng.random() < (0.30 * _logistic((age - 42.0) / 10.0) if male else 0.005) and not hat
    recession = _present(rng, 0.60 * _logistic((age - 42.0) / 8.0) if male else 0.03)
    bangs = _present(rng, 0.12 if male else 0.36)
    covered = hat or bald
    return {
        "hair_color": "gray" if gray else natural,
        "hair_texture": _choose(rng, HAIR_TEXTURES, HAIR_TEXTURE_PROBABILITIES[race]),
        "hair_length": float(rng.beta(1.2, 7.0) if male else rng.beta(2.6, 1.6)),
        "bald": bool(bald),
        "hairline_recession": 0.0 if covered or bangs else recession,
        "bangs": 0.0 if covered else bangs,
    }


def _beard(rng: np.random.Generator, grown_man: bool) -> dict[str, float]:
    """Stubble and a full beard exclude each other; a full beard brings its mustache and sideburns."""
    kind = _index(rng, (0.50, 0.20, 0.14, 0.16)) if grown_man else 0
    full = _present(rng, float(kind == 2))
    return {
        "stubble": _present(rng, float(kind == 1)),
        "full_beard": full,
        "mustache": max(full, _present(rng, 0.55 * (kind == 3))),
        "goatee": max(full, _present(rng, 0.75 * (kind == 3))),
        "sideburns": max(full, _present(rng, 0.18 * grown_man)),
    }


def _photo(rng: np.random.Generator) -> dict[str, float]:
    return {
        "clothes_hue": float(rng.random()),
        "background_hue": float(rng.random()),
        "backdrop_brightness": float(rng.uniform(0.15, 0.95)),
        "light_x": float(rng.uniform(-1.0, 1.0)),
        "light_y": float(rng.uniform(-1.0, 0.1)),
        "light_strength": float(rng.uniform(0.15, 0.75)),
        "roll_degrees": float(np.clip(rng.normal(0.0, 4.0), -10.0, 10.0)),
        "yaw": _offset(rng),
        "scale": float(rng.uniform(0.93, 1.06)),
        "shift_x": float(rng.uniform(-0.02, 0.02)),
        "shift_y": float(rng.uniform(-0.02, 0.02)),
        "blur": _present(rng, 0.08),
        "noise": float(rng.uniform(1.0, 5.0)),
        "softness": float(rng.uniform(1.5, 3.5)),
    }


def sample_face(rng: np.random.Generator) -> Face:
    """A random face whose factors correlate as they do in photos of people.

    Args:
        rng: the only source of chance; it is advanced.
    """
    male = bool(rng.random() < 0.5)
    race = _choose(rng, RACES, RACE_PROBABILITIES)
    age = _age(rng)
    grown_up = age >= 17.0
    expressions = tuple(EXPRESSION_MOUTHS)
    expression = _choose(rng, expressions, tuple(row[0] for row in EXPRESSION_MOUTHS.values()))
    levels = {
        name: _level(rng, (men if male else women) + added.get(race, 0.0))
        for name, (women, men, added) in LEVEL_PROBABILITIES.items()
    }
    chubbiness = _level(rng, 0.10 + 0.15 * (age < 10) + 0.10 * (age > 40))
    makeup = _present(rng, (0.02 if male else 0.58) * grown_up)
    hat = bool(rng.random() < 0.08)
    factors: dict[str, Any] = {
        "gender": "male" if male else "female",
        "race": race,
        "age": age,
        "expression": expression,
        "skin_tone": _offset(rng),
        "undertone": _offset(rng),
        "wrinkles": float(np.clip((age - 24.0) / 58.0 + rng.normal(0.0, 0.05), 0.0, 1.0)),
        "blemishes": float(rng.beta(1.3, 2.5)),
        "asymmetry": _offset(rng),
        "face_width": _offset(rng),
        "jaw_width": _offset(rng),
        "chubbiness": chubbiness,
        "double_chin": _present(rng, 0.03 + 0.40 * (chubbiness > 0.5) + 0.10 * (age > 50)),
        "eye_size": float(rng.beta(3.0, 3.0)),
        "eye_spacing": _offset(rng),
        "eye_bags": _present(rng, 0.06 + 0.45 * _logistic((age - 48.0) / 8.0) + 0.08 * male),
        "iris_color": _choose(rng, IRIS_COLORS, IRIS_PROBABILITIES[race]),
        "makeup": makeup,
        "lipstick": _present(rng, 0.80 if makeup else 0.14 * (not male) * grown_up),
        "hat": hat,
        "glasses": bool(rng.random() < 0.09 + 0.12 * (age > 45)),
        "earrings": bool(rng.random() < (0.03 if male else 0.36)),
        "necklace": bool(rng.random() < (0.03 if male else 0.26)),
        "necktie": bool(rng.random() < (0.22 if male else 0.02) * grown_up),
        **levels,
        **_mouth(rng, expression),
        **_beard(rng, male and grown_up),
        **_hair(rng, race, male, age, hat),
        **_photo(rng),
    }
    return Face(**factors)


def another_photo(face: Face, rng: np.random.Generator) -> Face:
    """The same person at another moment: another expression, other light, view and camera.

    Args:
        rng: the only source of chance; it is advanced.
    """
    expression = _choose(rng, tuple(EXPRESSION_MOUTHS), tuple(row[0] for row in EXPRESSION_MOUTHS.values()))
    changes: dict[str, Any] = {"expression": expression, **_mouth(rng, expression), **_photo(rng)}
    return replace(face, **changes)
