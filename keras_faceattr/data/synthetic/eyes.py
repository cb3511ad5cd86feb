"""Eyes, lids, lashes, bags and brows."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas, Plane
from keras_faceattr.data.synthetic.curves import XY, Points, ellipse, ribbon, smooth
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import EXPRESSION_BROWS, Layout, on_side
from keras_faceattr.data.synthetic.palette import IRIS_COLORS, Color, beard_color, from_hue, mix, scaled, skin_color

WHITE: Color = (1.0, 1.0, 1.0)
LASH: Color = (28.0, 20.0, 20.0)
# Tilt of the outer corner, upwards.
EYE_TILTS: dict[str, float] = {"Asian": 0.014, "Black": 0.004, "Caucasian": 0.003, "Indian": 0.003}


def _lids(face: Face, layout: Layout, side: float, center: XY) -> tuple[Points, Points]:
    """Upper and lower edge of the opening, both from the inner to the outer corner."""
    w, h, tilt = layout.eye_width, layout.eye_height, EYE_TILTS[face.race]
    inner, outer = (-w, 0.008), (w, -tilt)
    upper = smooth(
        on_side([inner, (-0.5 * w, -0.78 * h), (0.05 * w, -1.08 * h), (0.6 * w, -0.75 * h), outer], side, center)
    )
    lower = smooth(
        on_side([inner, (-0.4 * w, 0.62 * h), (0.15 * w, 0.85 * h), (0.65 * w, 0.52 * h), outer], side, center)
    )
    return upper, lower


def draw_sockets(canvas: Canvas, face: Face, layout: Layout, clip: Plane) -> None:
    """Shadow of the brow ridge, eye shadow, and bags; drawn before the eyes."""
    for side, center in zip((-1.0, 1.0), layout.eyes, strict=True):
        x, y = center
        w = layout.eye_width
        canvas.shade(ellipse((x - side * 0.01, y - 0.03), 1.25 * w, 0.062), (0.80, 0.74, 0.72), 0.028, clip)
        canvas.shade(ellipse((x - side * 1.15 * w, y - 0.02), 0.035, 0.06), (0.74, 0.68, 0.66), 0.022, clip)
        canvas.shade(ellipse((x, y + 0.065), 1.0 * w, 0.02), (0.93, 0.90, 0.90), 0.014, clip)
        shadow = ellipse((x + side * 0.012, y - 0.045), 1.2 * w, 0.052)
        canvas.paint(shadow, from_hue(face.clothes_hue, 0.65, 0.45), 0.62 * face.makeup, 0.014, clip)
        _draw_bag(canvas, face, side, center, w, clip)


def _draw_bag(canvas: Canvas, face: Face, side: float, center: XY, w: float, clip: Plane) -> None:
    bags = face.eye_bags
    pouch = on_side([(-0.95 * w, 0.045), (-0.3 * w, 0.090), (0.4 * w, 0.092), (1.0 * w, 0.05)], side, center)
    canvas.shade(ribbon(smooth(pouch), 0.05), mix(WHITE, (0.58, 0.46, 0.50), bags), 0.014, clip)
    canvas.shade(
        ribbon(smooth(pouch) + np.array([0.0, 0.022]), 0.014), mix(WHITE, (0.55, 0.45, 0.45), bags), 0.004, clip
    )
    canvas.shade(
        ellipse((center[0], center[1] + 0.068), 0.7 * w, 0.009), mix(WHITE, (1.22, 1.2, 1.2), bags), 0.008, clip
    )


def draw_eyes(canvas: Canvas, face: Face, layout: Layout) -> None:
    """Both eyes with their lids and lashes."""
    for side, center in zip((-1.0, 1.0), layout.eyes, strict=True):
        upper, lower = _lids(face, layout, side, center)
        opening = np.concatenate([upper, lower[::-1]])
        clip = canvas.mask([opening])
        canvas.paint(opening, (226.0, 220.0, 216.0))
        _draw_iris(canvas, face, layout, center, clip)
        canvas.shade(ribbon(upper, 0.03, 0.2), (0.45, 0.42, 0.42), 0.010, clip)
        tear = on_side([(-0.9 * layout.eye_width, 0.008)], side, center)[0]
        canvas.paint(ellipse((tear[0], tear[1]), 0.013, 0.009), (188.0, 120.0, 112.0), 0.8, 0.004)
        _draw_lids(canvas, face, layout, side, center, (upper, lower))


def _draw_iris(canvas: Canvas, face: Face, layout: Layout, center: XY, clip: Plane) -> None:
    color = IRIS_COLORS[face.iris_color]
    x, y = center[0] + 0.012 * face.yaw, center[1] - 0.06 * layout.eye_height
    radius = 0.44 * layout.eye_width
    canvas.paint(ellipse((x, y), radius, radius), scaled(color, 0.5), 1.0, 0.002, clip)
    canvas.paint(ellipse((x, y), 0.82 * radius, 0.82 * radius), color, 1.0, 0.004, clip)
    canvas.paint(ellipse((x, y), 0.45 * radius, 0.45 * radius), (12.0, 10.0, 10.0), 1.0, 0.002, clip)
    glint = (x + 0.3 * radius * (1.0 if face.light_x > 0 else -1.0), y - 0.35 * radius)
    canvas.paint(ellipse(glint, 0.2 * radius, 0.2 * radius), (250.0, 250.0, 250.0), 0.95, 0.001, clip)


def _draw_lids(
    canvas: Canvas, face: Face, layout: Layout, side: float, center: XY, lids: tuple[Points, Points]
) -> None:
    upper, lower = lids
    w, h = layout.eye_width, layout.eye_height
    female = face.gender == "female"
    painted = face.makeup
    canvas.paint(ribbon(upper, 0.011 + 0.006 * female + 0.014 * painted, 0.6), LASH, 0.9, 0.002)
    canvas.paint(ribbon(lower, 0.007 + 0.006 * painted), LASH, 0.30 + 0.5 * painted, 0.003)
    lift = 0.020 + 0.25 * h if face.race != "Asian" else 0.012 + 0.15 * h
    crease = smooth(
        on_side([(-0.9 * w, -0.012), (0.0, -1.08 * h - lift), (1.02 * w, -0.01 - lift * 0.5)], side, center)
    )
    canvas.paint(ribbon(crease, 0.012), scaled(skin_color(face), 0.45), 0.65, 0.004)
    hood = 0.55 * max(0.0, face.wrinkles - 0.3)
    canvas.paint(ribbon(crease + np.array([0.0, 0.010]), 0.03), scaled(skin_color(face), 0.75), hood, 0.006)
    flick = on_side([(0.75 * w, -0.5 * h), (1.08 * w, -0.018), (1.30 * w, -0.042)], side, center)
    canvas.paint(ribbon(smooth(flick), 0.013), LASH, 0.25 * female + 0.7 * painted, 0.002)


def draw_brows(canvas: Canvas, face: Face, layout: Layout, rng: np.random.Generator) -> None:
    """Both brows: bushy ones are thick with single hairs, arched ones peak over the outer third."""
    inner_raise = EXPRESSION_BROWS[face.expression][1]
    male = face.gender == "male"
    arch = 0.052 * face.brow_arch
    thickness = (0.026 if male else 0.021) + 0.034 * face.brow_bushiness
    color = mix(beard_color(face), skin_color(face), 0.05 if face.hair_color == "black" else 0.12)
    for side, (x, y) in zip((-1.0, 1.0), layout.eyes, strict=True):
        base = (x, y - layout.brow_height)
        line = smooth(
            on_side(
                [(-0.108, 0.016 - inner_raise), (-0.04, -0.006 - 0.4 * inner_raise - 0.25 * arch),
                 (0.055, -0.010 - arch), (0.128, 0.014)],
                side,
                base,
            )
        )  # fmt: skip
        canvas.paint(ribbon(line, thickness, 0.75), color, 0.80 + 0.15 * face.brow_bushiness, 0.005)
        roots = line[rng.integers(1, len(line) - 3, 26)] + rng.normal(0.0, 0.22 * thickness, (26, 2))
        reach = np.array([0.022 * side, -0.010 - 0.022 * face.brow_bushiness])
        hairs = [
            np.stack([root, root + reach * scale]) for root, scale in zip(roots, rng.uniform(0.5, 1.2, 26), strict=True)
        ]
        canvas.stroke(hairs, 0.006, scaled(color, 0.8), 0.35 + 0.5 * face.brow_bushiness)
