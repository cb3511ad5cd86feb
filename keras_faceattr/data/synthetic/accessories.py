"""Accessories worn on the head: hat, glasses, earrings, necklace."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas
from keras_faceattr.data.synthetic.curves import Points, ellipse, mirrored, ribbon, smooth
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import Layout
from keras_faceattr.data.synthetic.palette import Color, from_hue, scaled

GOLD: Color = (226.0, 186.0, 84.0)
FRAME: Color = (30.0, 26.0, 30.0)
BEADS = 21


def draw_glasses(canvas: Canvas, face: Face, layout: Layout) -> None:
    """Dark full frames with clear, reflecting lenses."""
    if not face.glasses:
        return
    lenses: list[Points] = []
    for side, (x, y) in zip((-1.0, 1.0), layout.eyes, strict=True):
        shape = smooth(
            [(-0.135, -0.055), (-0.04, -0.085), (0.10, -0.082), (0.142, -0.045), (0.125, 0.055), (0.05, 0.098),
             (-0.06, 0.094), (-0.12, 0.045)],
            closed=True,
        )  # fmt: skip
        lens = mirrored(shape, side) + np.array([x, y + 0.012])
        lenses.append(lens)
        canvas.paint(lens, (214.0, 226.0, 236.0), 0.10)
        glare = np.array([(x - 0.09, y + 0.06), (x - 0.03, y - 0.06), (x + 0.0, y - 0.06), (x - 0.06, y + 0.06)])
        canvas.paint(glare, (255.0, 255.0, 255.0), 0.15, 0.008, canvas.mask([lens]))
        canvas.shade(lens + np.array([0.0, 0.018]), (0.95, 0.94, 0.94), 0.01)
        hinge = (x + side * 0.138, y - 0.03)
        temple = np.array([hinge, (side * (layout.half_width(y) + 0.005), y - 0.045)])
        canvas.paint(ribbon(temple, 0.022, 0.0), FRAME)
    closed = [np.concatenate([lens, lens[:1]]) for lens in lenses]
    canvas.stroke(closed, 0.021, FRAME)
    (lx, ly), (rx, ry) = layout.eyes
    bridge = smooth([(lx + 0.13, ly - 0.02), (0.5 * (lx + rx), 0.5 * (ly + ry) - 0.045), (rx - 0.13, ry - 0.02)])
    canvas.paint(ribbon(bridge, 0.022, 0.0), FRAME)


def draw_hat(canvas: Canvas, face: Face, layout: Layout) -> None:
    """A felt hat with band and brim; it sits above the brows."""
    if not face.hat:
        return
    felt = from_hue(face.clothes_hue + 0.33, 0.55, 0.50)
    wide = layout.half_width(-0.3) + 0.06
    base = layout.hairline_y + 0.035
    crown = smooth([(-wide, base), (-0.97 * wide, -0.62), (-0.72 * wide, -0.86), (0.0, -0.90), (0.72 * wide, -0.86),
                    (0.97 * wide, -0.62), (wide, base)])  # fmt: skip
    brim = smooth(
        [(-1.45 * wide, base + 0.005), (-0.8 * wide, base + 0.035), (0.0, base + 0.055), (0.8 * wide, base + 0.035),
         (1.45 * wide, base + 0.005), (0.9 * wide, base - 0.055), (0.0, base - 0.06), (-0.9 * wide, base - 0.055)],
        closed=True,
    )  # fmt: skip
    canvas.shade(brim + np.array([0.0, 0.05]), (0.62, 0.58, 0.56), 0.03, canvas.mask([layout.outline]))
    canvas.paint(crown, felt, 1.0, 0.003)
    clip = canvas.mask([crown])
    lit = -1.0 if face.light_x < 0 else 1.0
    canvas.shade(ellipse((-lit * 0.8 * wide, -0.6), 0.25, 0.5), (0.62, 0.62, 0.64), 0.08, clip)
    canvas.shade(ellipse((lit * 0.3, -0.72), 0.14, 0.12), (1.3, 1.3, 1.3), 0.06, clip)
    band = smooth([(-wide, base - 0.075), (0.0, base - 0.045), (wide, base - 0.075)])
    canvas.paint(ribbon(band, 0.085, 0.0), scaled(felt, 0.4), 1.0, 0.003, clip)
    canvas.paint(brim, scaled(felt, 0.85), 1.0, 0.003)
    edge = smooth(
        [
            (-1.40 * wide, base),
            (-0.8 * wide, base + 0.026),
            (0.0, base + 0.045),
            (0.8 * wide, base + 0.026),
            (1.40 * wide, base),
        ]
    )
    canvas.stroke([edge], 0.012, scaled(felt, 1.35), 0.8)


def draw_earrings(canvas: Canvas, face: Face, layout: Layout) -> None:
    """A golden pendant below each lobe, in front of the hair."""
    if not face.earrings:
        return
    for side in (-1.0, 1.0):
        x, y = side * (layout.half_width(0.10) + 0.035), layout.eyes[0][1] + 0.22
        ring = ellipse((x, y + 0.045), 0.036, 0.046)
        canvas.shade(ring + np.array([0.01, 0.012]), (0.7, 0.66, 0.64), 0.012)
        canvas.stroke([np.concatenate([ring, ring[:1]])], 0.016, scaled(GOLD, 0.9))
        canvas.paint(ellipse((x, y), 0.016, 0.016), GOLD)
        canvas.paint(ellipse((x, y + 0.095), 0.021, 0.024), GOLD)
        canvas.paint(ellipse((x - 0.006, y + 0.088), 0.008, 0.008), (255.0, 250.0, 230.0))


def draw_necklace(canvas: Canvas, face: Face) -> None:
    """A string of pearls around the neck."""
    if not face.necklace:
        return
    string = smooth([(-0.25, 0.69), (-0.17, 0.79), (0.0, 0.84), (0.17, 0.79), (0.25, 0.69)], per_segment=5)
    canvas.shade(ribbon(string + np.array([0.003, 0.018]), 0.035, 0.0), (0.6, 0.55, 0.52), 0.008)
    bead, glint = ellipse((0.0, 0.0), 0.0165, 0.0165), ellipse((-0.004, -0.005), 0.008, 0.008)
    canvas.paint([bead + at for at in string[:BEADS]], (206.0, 200.0, 196.0))
    canvas.paint([glint + at for at in string[:BEADS]], (252.0, 250.0, 248.0))
