"""Colours of skin, hair, irises and cloth as RGB from 0 to 255."""

from __future__ import annotations

import cv2
import numpy as np

from keras_faceattr.data.synthetic.face import Face

Color = tuple[float, float, float]

SKIN_TONES: dict[str, Color] = {
    "Asian": (228.0, 189.0, 156.0),
    "Black": (124.0, 84.0, 62.0),
    "Caucasian": (231.0, 190.0, 168.0),
    "Indian": (176.0, 128.0, 95.0),
}
HAIR_COLORS: dict[str, Color] = {
    "black": (30.0, 26.0, 26.0),
    "blond": (212.0, 172.0, 104.0),
    "brown": (98.0, 62.0, 38.0),
    "gray": (172.0, 172.0, 174.0),
    "red": (160.0, 72.0, 36.0),
}
IRIS_COLORS: dict[str, Color] = {
    "blue": (92.0, 134.0, 172.0),
    "brown": (96.0, 60.0, 36.0),
    "dark": (52.0, 34.0, 26.0),
    "green": (98.0, 122.0, 84.0),
}
# Old skin loses its red.
SALLOW: Color = (184.0, 164.0, 138.0)
PALE: Color = (250.0, 236.0, 230.0)
LIP_TINT: Color = (176.0, 78.0, 82.0)
LIPSTICK: Color = (182.0, 18.0, 48.0)
ROSE: Color = (226.0, 84.0, 92.0)
SHADOW: Color = (0.62, 0.52, 0.48)


def mix(first: Color, second: Color, share: float) -> Color:
    """`first` with `share` (0 to 1) of `second`."""
    r, g, b = (a + (c - a) * share for a, c in zip(first, second, strict=True))
    return r, g, b


def scaled(color: Color, factor: float) -> Color:
    """`color` made darker or brighter, held within 0 to 255."""
    r, g, b = (min(255.0, channel * factor) for channel in color)
    return r, g, b


def from_hue(hue: float, saturation: float, value: float) -> Color:
    """RGB of a hue (turns of the colour circle), saturation and value (0 to 1)."""
    hsv = np.array([[[360.0 * (hue % 1.0), saturation, value]]], np.float32)
    r, g, b = (255.0 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]).tolist()
    return r, g, b


def skin_color(face: Face) -> Color:
    """Skin in full light."""
    r, g, b = scaled(SKIN_TONES[face.race], 1.0 + 0.12 * face.skin_tone)
    warm = 7.0 * face.undertone
    fresh = mix((r + warm, g, b - warm), PALE, 0.95 * max(0.0, face.paleness - 0.3))
    return mix(fresh, scaled(SALLOW, sum(fresh) / sum(SALLOW)), 0.40 * face.wrinkles)


def hair_color(face: Face) -> Color:
    """Hair of the head."""
    return HAIR_COLORS[face.hair_color]


def beard_color(face: Face) -> Color:
    """Hair of face and brows, which is darker than that of the head."""
    return scaled(HAIR_COLORS[face.hair_color], 0.70)


def lip_color(face: Face) -> Color:
    """Bare or painted lips."""
    bare = mix(skin_color(face), LIP_TINT, 0.45)
    return mix(bare, LIPSTICK, 0.85 * face.lipstick)
