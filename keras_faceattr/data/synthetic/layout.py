"""Places of the parts of a head, from its age, gender and shape; head units, y down, origin at the image's middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_faceattr.data.synthetic.curves import XY, Points, mirrored, smooth
from keras_faceattr.data.synthetic.face import Face

CROWN_Y = -0.64
# Outline of the average adult head: y, half width, and what a level or offset of 1 adds to the half width for
# jaw_width, chubbiness, ovalness and cheekbones.
OUTLINE: tuple[tuple[float, float, float, float, float, float], ...] = (
    (-0.64, 0.000, 0.000, 0.000, 0.000, 0.000),
    (-0.61, 0.160, 0.000, 0.000, -0.010, 0.000),
    (-0.53, 0.285, 0.000, 0.000, -0.015, 0.000),
    (-0.40, 0.372, 0.000, 0.000, -0.015, 0.000),
    (-0.20, 0.415, 0.000, 0.005, -0.005, 0.000),
    (-0.02, 0.420, 0.000, 0.020, 0.000, 0.012),
    (0.12, 0.405, 0.008, 0.050, -0.012, 0.014),
    (0.26, 0.365, 0.018, 0.085, -0.030, -0.020),
    (0.38, 0.305, 0.026, 0.100, -0.048, -0.022),
    (0.48, 0.215, 0.030, 0.085, -0.050, -0.010),
    (0.55, 0.110, 0.024, 0.045, -0.030, 0.000),
    (0.58, 0.000, 0.000, 0.000, 0.000, 0.000),
)
ADULT_EYE_Y, ADULT_CHIN_Y = -0.04, 0.58

# Expression: raise of the whole brow, raise of its inner end, opening of the lids, wrinkling of the nose.
EXPRESSION_BROWS: dict[str, tuple[float, float, float, float]] = {
    "angry": (-0.030, -0.045, 0.90, 0.5),
    "disgust": (-0.020, -0.020, 0.62, 1.0),
    "fear": (0.030, 0.040, 1.35, 0.0),
    "happy": (0.000, 0.000, 0.78, 0.0),
    "neutral": (0.000, 0.000, 1.00, 0.0),
    "sad": (-0.005, 0.050, 0.85, 0.0),
    "surprise": (0.055, 0.010, 1.50, 0.0),
}


@dataclass(frozen=True)
class Layout:
    """Positions and sizes of one head; pairs of points are image left, image right.

    Attributes:
        outline: closed contour of head and chin.
        widths: heights from crown to chin, and half the head's width at each.
        eyes: middles of the two eyes.
        eye_width, eye_height: half the width of an eye, half its opening.
        brow_height: from the eye's middle up to the brow.
        mouth: middle of the mouth.
        mouth_corners: ends of the line between the lips.
        opening: half the gap between the lips.
        child: 1 for a baby, 0 from fifteen years on.
    """

    outline: Points
    widths: tuple[Points, Points]
    eyes: tuple[XY, XY]
    eye_width: float
    eye_height: float
    brow_height: float
    nose_tip: XY
    nose_width: float
    mouth: XY
    mouth_corners: tuple[XY, XY]
    opening: float
    chin: XY
    hairline_y: float
    child: float

    def half_width(self, y: float) -> float:
        """Half the width of the head at height `y`, the mean of both sides."""
        heights, halves = self.widths
        return float(np.interp(y, heights, halves))


def _outline(face: Face, eye_y: float, chin_y: float, child: float) -> tuple[Points, tuple[Points, Points]]:
    table = np.array(OUTLINE)
    male = 1.5 if face.gender == "male" else -0.8
    # Jowls hang from an old jaw.
    jaw = (face.jaw_width + male) * (1.0 - child) + 1.2 * face.wrinkles
    levels = np.array([jaw, face.chubbiness + 0.5 * child, 1.6 * (face.ovalness - 0.3), face.cheekbones])
    halves = (table[:, 1] + table[:, 2:] @ levels) * (1.0 + 0.045 * face.face_width + 0.03 * child)
    heights = np.interp(table[:, 0], [CROWN_Y, ADULT_EYE_Y, ADULT_CHIN_Y], [CROWN_Y, eye_y, chin_y])
    # An asymmetric chin hangs to one side: more so the lower.
    lean = 0.045 * face.asymmetry * np.clip((heights - eye_y) / (chin_y - eye_y), 0.0, 1.0) ** 2
    right = np.stack([halves + lean, heights], 1)
    left = np.stack([lean - halves, heights], 1)
    return smooth(np.concatenate([right, left[-2:0:-1]]), closed=True, per_segment=5), (heights, halves)


def arrange(face: Face) -> Layout:
    """The layout of `face`."""
    child = float(np.clip((15.0 - face.age) / 13.0, 0.0, 1.0))
    eye_y = ADULT_EYE_Y + 0.09 * child
    chin_y = ADULT_CHIN_Y - 0.05 * child + 0.045 * (face.ovalness - 0.3)
    outline, widths = _outline(face, eye_y, chin_y, child)
    lower = (chin_y - eye_y) / (ADULT_CHIN_Y - ADULT_EYE_Y)
    skew = face.asymmetry
    eye_x = 0.198 + 0.022 * face.eye_spacing
    brow_raise, _, opening, _ = EXPRESSION_BROWS[face.expression]
    eye_scale = (0.78 + 0.44 * face.eye_size) * (1.0 + 0.16 * child)
    smile = max(0.0, face.smile)
    mouth_y = eye_y + (0.385 + 0.01 * face.mouth_open) * lower
    half_mouth = 0.128 * (1.0 + 0.24 * smile - 0.10 * face.mouth_open * (smile < 0.3)) * (1.0 - 0.14 * child)
    lift = 0.035 * face.smile + 0.01 * (face.smile > 0.5)
    return Layout(
        outline=outline,
        widths=widths,
        eyes=((-eye_x, eye_y - 0.026 * skew), (eye_x, eye_y + 0.026 * skew)),
        eye_width=0.086 * eye_scale,
        eye_height=0.036 * eye_scale * opening * (1.0 - 0.50 * face.eye_narrowness) * (1.0 - 0.15 * face.wrinkles),
        brow_height=0.118 + brow_raise - 0.012 * (face.gender == "male"),
        nose_tip=(0.025 * skew + 0.045 * face.yaw, eye_y + (0.215 + 0.03 * face.nose_size) * lower),
        nose_width=0.078 * (0.86 + 0.66 * face.nose_size) * (1.0 - 0.22 * face.nose_pointiness) * (1.0 - 0.1 * child),
        mouth=(0.030 * skew, mouth_y),
        mouth_corners=(
            (0.030 * skew - half_mouth, mouth_y - lift - 0.022 * skew),
            (0.030 * skew + half_mouth, mouth_y - lift + 0.022 * skew),
        ),
        opening=0.062 * face.mouth_open if face.mouth_open > 0.1 else 0.0,
        chin=(0.045 * skew, chin_y),
        hairline_y=-0.41 + 0.03 * child,
        child=child,
    )


def on_side(points: list[XY], side: float, origin: XY) -> Points:
    """`points` given outwards from `origin` for image right, placed for `side` (-1 left, 1 right)."""
    placed: Points = mirrored(np.asarray(points, np.float64), side) + np.asarray(origin)
    return placed
