"""Hair of the face: stubble, beard, mustache, goatee, sideburns."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas, Plane
from keras_faceattr.data.synthetic.curves import Points, smooth
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import Layout
from keras_faceattr.data.synthetic.palette import Color, beard_color, mix, scaled, skin_color


def _jaw(layout: Layout) -> Points:
    """Cheeks, jaw and upper lip, from ear to ear."""
    (lx, ly), (rx, _) = layout.mouth_corners
    x, _ = layout.mouth
    nose_y = layout.nose_tip[1] + 0.05
    chin_x, chin_y = layout.chin
    ear = layout.eyes[0][1] + 0.12
    wide, cheek = layout.half_width(ear), layout.half_width(0.30)
    return smooth(
        [(-wide, ear), (-0.80 * wide, ear + 0.10), (lx - 0.07, ly - 0.055), (x - 0.07, nose_y), (x + 0.07, nose_y),
         (rx + 0.07, ly - 0.055), (0.80 * wide, ear + 0.10), (wide, ear), (cheek + 0.02, 0.32),
         (chin_x + 0.19, chin_y - 0.05), (chin_x, chin_y + 0.02), (chin_x - 0.19, chin_y - 0.05),
         (-cheek - 0.02, 0.32)],
        closed=True,
    )  # fmt: skip


def _mustache(layout: Layout) -> Points:
    (lx, ly), (rx, ry) = layout.mouth_corners
    x, y = layout.mouth
    lip = y - layout.opening - 0.025
    under = layout.nose_tip[1] + 0.055
    return smooth(
        [(lx - 0.025, ly + 0.03), (lx + 0.01, ly - 0.05), (x - 0.05, under), (x, under + 0.015), (x + 0.05, under),
         (rx - 0.01, ry - 0.05), (rx + 0.025, ry + 0.03), (x + 0.06, lip + 0.005), (x, lip), (x - 0.06, lip + 0.005)],
        closed=True,
    )  # fmt: skip


def _goatee(layout: Layout) -> Points:
    x, y = layout.mouth
    chin_x, chin_y = layout.chin
    top = y + layout.opening + 0.07
    return smooth(
        [(x - 0.10, top - 0.01), (x - 0.03, top + 0.015), (x + 0.03, top + 0.015), (x + 0.10, top - 0.01),
         (chin_x + 0.115, chin_y - 0.06), (chin_x + 0.05, chin_y + 0.045), (chin_x - 0.05, chin_y + 0.045),
         (chin_x - 0.115, chin_y - 0.06)],
        closed=True,
    )  # fmt: skip


def _sideburn(layout: Layout, side: float) -> Points:
    ear = layout.eyes[0][1]
    top, bottom = layout.half_width(ear - 0.08), layout.half_width(ear + 0.26)
    return np.array(
        [(side * (top + 0.005), ear - 0.10), (side * (top * 0.86), ear - 0.10), (side * (top * 0.87), ear + 0.10),
         (side * (bottom * 0.80), ear + 0.26), (side * (bottom + 0.005), ear + 0.27)]
    )  # fmt: skip


def _draw_patch(
    canvas: Canvas,
    shape: Points,
    color: Color,
    alpha: float,
    fall: float,
    rng: np.random.Generator,
    blur: float = 0.010,
) -> None:
    """A soft patch with short hairs of length `fall` (head units)."""
    canvas.paint(shape, color, alpha, blur)
    low, high = shape.min(0), shape.max(0)
    count = int(900 * (high[0] - low[0]) * (high[1] - low[1])) + 20
    roots = rng.uniform(low, high, (count, 2))
    swing = np.stack([rng.normal(0.0, 0.25 * fall, count), rng.uniform(0.5, 1.0, count) * fall], 1)
    clip = canvas.mask([shape])
    hairs = list(np.stack([roots, roots + swing], 1))
    canvas.stroke(hairs[::2], 0.007, scaled(color, 0.6), 0.8 * alpha, clip)
    canvas.stroke(hairs[1::2], 0.006, scaled(color, 1.6), 0.5 * alpha, clip)


def draw_beard(canvas: Canvas, face: Face, layout: Layout, clip: Plane, rng: np.random.Generator) -> None:
    """Everything that grows on the face, below the lips in drawing order."""
    color = mix(beard_color(face), (120.0, 96.0, 80.0), 0.12)
    if face.stubble > 0.0:
        _draw_stubble(canvas, face, layout, clip, rng)
    if face.full_beard > 0.0:
        _draw_patch(canvas, _jaw(layout), color, 0.35 + 0.6 * face.full_beard, 0.045, rng)
    if face.sideburns > 0.0:
        for side in (-1.0, 1.0):
            _draw_patch(canvas, _sideburn(layout, side), color, 0.4 + 0.55 * face.sideburns, 0.04, rng)
    if face.goatee > 0.0:
        _draw_patch(canvas, _goatee(layout), scaled(color, 0.9), 0.4 + 0.55 * face.goatee, 0.045, rng)
    if face.mustache > 0.0:
        _draw_patch(canvas, _mustache(layout), scaled(color, 0.9), 0.4 + 0.55 * face.mustache, 0.03, rng, 0.005)


def _draw_stubble(canvas: Canvas, face: Face, layout: Layout, clip: Plane, rng: np.random.Generator) -> None:
    """Bluish shade with dots, as hair cut close looks."""
    jaw = _jaw(layout)
    canvas.paint(jaw, mix(scaled(skin_color(face), 0.42), (62.0, 66.0, 76.0), 0.45), 0.56 * face.stubble, 0.016, clip)
    dots = rng.uniform(jaw.min(0), jaw.max(0), (420, 2))
    within = clip * canvas.mask([jaw])
    specks = [np.stack([dot, dot + np.array([0.0, 0.006])]) for dot in dots]
    canvas.stroke(specks, 0.007, scaled(beard_color(face), 0.6), 0.5 * face.stubble, within)
