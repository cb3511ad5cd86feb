"""Everything behind and below the head: background, neck, clothes."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas
from keras_faceattr.data.synthetic.curves import ellipse, mirrored, ribbon, smooth
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import Layout
from keras_faceattr.data.synthetic.palette import SHADOW, Color, from_hue, mix, scaled, skin_color

BLOBS = 7


def draw_background(canvas: Canvas, face: Face, rng: np.random.Generator) -> None:
    """A wall that is brighter on one side, with things out of focus."""
    base = from_hue(face.background_hue, 0.35, face.backdrop_brightness)
    far = scaled(from_hue(face.background_hue + 0.12, 0.3, face.backdrop_brightness), float(rng.uniform(0.55, 1.2)))
    x, y = canvas.head_grid()
    direction = rng.uniform(-1.0, 1.0, 2)
    share = np.clip(0.5 + 0.5 * (direction[0] * x + direction[1] * y), 0.0, 1.0)
    for plane, near_value, far_value in zip(canvas.planes, base, far, strict=True):
        plane[:] = near_value + (far_value - near_value) * share
    for _ in range(BLOBS):
        center = (float(rng.uniform(-1.1, 1.1)), float(rng.uniform(-1.1, 0.8)))
        width, height = rng.uniform(0.1, 0.45, 2)
        hue, brightness = rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.95)
        color = from_hue(face.background_hue + hue, 0.4, brightness)
        canvas.paint(ellipse(center, width, height), color, float(rng.uniform(0.1, 0.5)), 0.07)


def draw_neck(canvas: Canvas, face: Face, layout: Layout) -> None:
    """Neck and collarbones, in the shadow of the chin."""
    skin = skin_color(face)
    male = face.gender == "male"
    half = (0.235 if male else 0.20) * (1.0 - 0.2 * layout.child) + 0.05 * face.chubbiness
    side = [(half - 0.01, 0.20), (half, 0.5), (half + 0.01, 0.66), (half + 0.08, 0.78), (0.40, 0.90), (0.5, 1.4)]
    right = smooth(side)
    neck = np.concatenate([right, mirrored(right, -1.0)[::-1]])
    canvas.paint(neck, scaled(skin, 0.90))
    clip = canvas.mask([neck])
    chin_x, chin_y = layout.chin
    canvas.shade(ellipse((chin_x, chin_y - 0.02), half + 0.08, 0.13), SHADOW, 0.04, clip)
    for direction in (-1.0, 1.0):
        edge = smooth([(direction * half, 0.3), (direction * half, 0.6), (direction * (half + 0.05), 0.74)])
        canvas.shade(ribbon(edge, 0.09, 0.0), mix(SHADOW, (1.0, 1.0, 1.0), 0.3), 0.03, clip)
        tendon = smooth([(direction * 0.15, 0.70), (direction * 0.05, 0.84)])
        canvas.shade(ribbon(tendon, 0.025), (0.84, 0.80, 0.78), 0.012, clip)
    for row in range(3):
        y = 0.68 + 0.055 * row
        fold = smooth([(-0.15, y - 0.015), (0.0, y + 0.01), (0.15, y - 0.015)])
        depth = 0.30 * face.wrinkles
        canvas.shade(ribbon(fold, 0.016), (1.0 - depth, 1.0 - 1.1 * depth, 1.0 - 1.1 * depth), 0.005, clip)


def draw_double_chin(canvas: Canvas, face: Face, layout: Layout) -> None:
    """A second roll of skin below the chin, with the fold's shadow on the neck."""
    level = face.double_chin
    if level <= 0.0:
        return
    x, y = layout.chin
    wide = 0.96 * layout.half_width(0.42)
    roll = smooth(
        [(x - wide, y - 0.16), (x - 0.17, y + 0.02), (x, y + 0.03 + 0.075 * level), (x + 0.17, y + 0.02),
         (x + wide, y - 0.16), (x, y - 0.25)],
        closed=True,
    )  # fmt: skip
    canvas.shade(roll + np.array([0.0, 0.035]), SHADOW, 0.025)
    canvas.paint(roll, scaled(skin_color(face), 0.97), 1.0, 0.006)
    canvas.shade(roll + np.array([0.0, 0.06]), (0.84, 0.79, 0.76), 0.025, canvas.mask([roll]))


def draw_clothes(canvas: Canvas, face: Face) -> None:
    """A top with a round neckline, or shirt, jacket and necktie."""
    cloth = from_hue(face.clothes_hue, 0.5, 0.55)
    shoulder = smooth([(0.285, 0.79), (0.42, 0.82), (0.72, 0.88), (0.95, 1.0), (1.2, 1.5)])
    neckline = smooth([(-0.30, 0.80), (-0.22, 0.93), (0.0, 0.99), (0.22, 0.93), (0.30, 0.80)])
    top = np.concatenate([shoulder, mirrored(shoulder, -1.0)[::-1], neckline])
    if face.necktie:
        _draw_suit(canvas, cloth)
        return
    canvas.paint(top, cloth, 1.0, 0.004)
    canvas.shade(ribbon(neckline, 0.03, 0.0), (0.7, 0.7, 0.7), 0.008)


def _draw_suit(canvas: Canvas, cloth: Color) -> None:
    white: Color = (232.0, 232.0, 236.0)
    tie = mix((150.0, 24.0, 36.0), scaled(cloth, 1.1), 0.35)
    shirt = smooth([(-0.28, 0.70), (0.0, 0.84), (0.28, 0.70), (0.5, 1.5), (-0.5, 1.5)], closed=True)
    canvas.paint(shirt, white)
    strip = np.array([(-0.055, 0.85), (0.055, 0.85), (0.12, 1.5), (-0.12, 1.5)])
    knot = np.array([(-0.075, 0.76), (0.075, 0.76), (0.05, 0.87), (-0.05, 0.87)])
    canvas.shade(strip + np.array([0.015, 0.0]), (0.75, 0.75, 0.78), 0.02)
    canvas.paint(strip, tie)
    canvas.paint(knot, scaled(tie, 0.85))
    stripes = [np.array([(-0.12, y), (0.12, y - 0.1)]) for y in (0.95, 1.03, 1.11)]
    canvas.stroke(stripes, 0.02, scaled(tie, 1.7), 1.0, canvas.mask([strip]))
    for side in (-1.0, 1.0):
        collar = mirrored(np.array([(0.29, 0.66), (0.05, 0.78), (0.13, 0.93), (0.34, 0.78)]), side)
        canvas.shade(collar + np.array([0.0, 0.015]), (0.7, 0.7, 0.74), 0.015)
        canvas.paint(collar, white, 1.0, 0.003)
        jacket = mirrored(np.array([(0.30, 0.76), (0.46, 0.80), (0.95, 0.97), (1.2, 1.6), (0.05, 1.6)]), side)
        canvas.paint(jacket, scaled(cloth, 0.55), 1.0, 0.003)
        lapel = mirrored(np.array([(0.30, 0.76), (0.42, 0.90), (0.22, 1.1)]), side)
        canvas.paint(lapel, scaled(cloth, 0.68), 1.0, 0.003)
