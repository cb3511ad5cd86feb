"""Nose and mouth."""

from __future__ import annotations

import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas, Plane
from keras_faceattr.data.synthetic.curves import Points, ellipse, ribbon, smooth
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import Layout
from keras_faceattr.data.synthetic.palette import Color, lip_color, mix, scaled, skin_color

SIDES: tuple[float, float] = (-1.0, 1.0)
WHITE: Color = (1.0, 1.0, 1.0)


def draw_nose(canvas: Canvas, face: Face, layout: Layout, clip: Plane) -> None:
    """Bridge, tip, wings and nostrils from light and shadow alone."""
    x, y = layout.nose_tip
    w, sharp, size = layout.nose_width, face.nose_pointiness, face.nose_size
    top = layout.eyes[0][1] - 0.02
    lit = -1.0 if face.light_x < 0 else 1.0
    for side in SIDES:
        depth = (0.55 if side == lit else 1.0) * (0.75 + 0.25 * sharp)
        flank = smooth(
            [(side * 0.050, top - 0.03), (x + side * 0.052, 0.5 * (top + y)), (x + side * 0.8 * w, y - 0.01)]
        )
        canvas.shade(ribbon(flank, 0.045, 0.3), mix(WHITE, (0.72, 0.64, 0.61), depth), 0.018, clip)
    bridge = smooth([(0.0, top - 0.02), (0.6 * x, 0.5 * (top + y)), (x, y - 0.015)])
    canvas.shade(ribbon(bridge, 0.042 - 0.016 * sharp, 0.2), (1.15, 1.14, 1.13), 0.011, clip)
    tip = ellipse((x, y - 0.008), 0.038 * (1.0 - 0.5 * sharp) * (1.0 + 0.4 * size), 0.026 + 0.012 * sharp)
    canvas.shade(tip, mix((1.14, 1.12, 1.11), (1.40, 1.38, 1.36), sharp), 0.010, clip)
    canvas.shade(ellipse((x, y + 0.058), 1.15 * w, 0.018), (0.76, 0.69, 0.67), 0.014, clip)
    dark = scaled(mix(skin_color(face), (90.0, 30.0, 24.0), 0.5), 0.42)
    for side in SIDES:
        wing = smooth(
            [(x + side * 0.80 * w, y - 0.030), (x + side * 1.08 * w, y + 0.012), (x + side * 0.92 * w, y + 0.040),
             (x + side * 0.62 * w, y + 0.036)]
        )  # fmt: skip
        canvas.paint(ribbon(wing, 0.014), dark, 0.55 + 0.2 * size, 0.005, clip)
        canvas.shade(ellipse((x + side * 0.80 * w, y + 0.006), 0.26 * w, 0.022), (1.08, 1.07, 1.06), 0.008, clip)
        nostril = ellipse(
            (x + side * 0.46 * w, y + 0.036 - 0.006 * sharp), 0.27 * w, 0.0105 + 0.004 * size, -side * 14.0
        )
        canvas.paint(nostril, dark, 0.9, 0.003, clip)
    # A sharp tip hangs below the wings and throws its own small shadow.
    spike = smooth([(x - 0.45 * w, y + 0.034), (x, y + 0.040 + 0.026 * sharp), (x + 0.45 * w, y + 0.034)])
    canvas.paint(ribbon(spike, 0.012), dark, 0.25 + 0.55 * sharp, 0.004, clip)


def _lips(face: Face, layout: Layout) -> tuple[Points, Points, Points, Points]:
    """Upper edge, upper and lower side of the gap, lower edge; all from image left to image right."""
    (lx, ly), (rx, ry) = layout.mouth_corners
    x, y = layout.mouth
    wide = 0.5 * (rx - lx)
    full = (0.62 + 1.15 * face.lip_size) * (1.0 - 0.35 * face.wrinkles)
    up, low, gap = 0.040 * full, 0.052 * full, layout.opening
    drop = 0.012 * max(0.0, face.smile)
    mid = y + drop
    left, right = (lx, ly), (rx, ry)

    def line(*middle: tuple[float, float]) -> Points:
        return smooth([left, *((x + wide * along, height) for along, height in middle), right])

    tilt = 0.5 * (ry - ly)
    upper = line((-0.55, mid - 0.62 * up - 0.6 * gap - 0.5 * tilt), (-0.2, mid - up - gap), (0.0, mid - 0.8 * up - gap),
                 (0.2, mid - up - gap), (0.55, mid - 0.62 * up - 0.6 * gap + 0.5 * tilt))  # fmt: skip
    gap_top = line((-0.5, mid - 0.75 * gap), (0.0, mid - gap + 0.006), (0.5, mid - 0.75 * gap))
    gap_low = line((-0.5, mid + 0.8 * gap), (0.0, mid + gap + 0.006), (0.5, mid + 0.8 * gap))
    lower = line((-0.5, mid + 0.78 * low + 0.85 * gap), (0.0, mid + low + gap), (0.5, mid + 0.78 * low + 0.85 * gap))
    return upper, gap_top, gap_low, lower


def draw_mouth(canvas: Canvas, face: Face, layout: Layout) -> None:
    """Lips around a dark line, or around teeth and a dark gap."""
    upper, gap_top, gap_low, lower = _lips(face, layout)
    color = lip_color(face)
    x, y = layout.mouth
    top_lip, bottom_lip = np.concatenate([upper, gap_top[::-1]]), np.concatenate([gap_low, lower[::-1]])
    philtrum = np.array([(x - 0.014, y - 0.10), (x + 0.014, y - 0.10), (x + 0.018, y - 0.05), (x - 0.018, y - 0.05)])
    canvas.shade(philtrum, (0.88, 0.85, 0.84), 0.008)
    if layout.opening > 0.0:
        _draw_inside(canvas, face, layout, gap_top, gap_low)
    canvas.paint(top_lip, scaled(color, 0.84), 1.0, 0.004)
    canvas.paint(bottom_lip, color, 1.0, 0.004)
    clip = canvas.mask([bottom_lip])
    gloss = ellipse((x, 0.5 * (gap_low[:, 1].max() + lower[:, 1].max())), 0.06, 0.010)
    shine = (1.35 if face.lipstick > 0.5 else 1.16,) * 3
    canvas.shade(gloss, (shine[0], shine[1], shine[2]), 0.008, clip)
    dark = scaled(mix(color, (60.0, 16.0, 16.0), 0.6), 0.45)
    if layout.opening == 0.0:
        canvas.paint(ribbon(gap_top, 0.014), dark, 0.95, 0.003)
    for side, (corner_x, corner_y) in zip(SIDES, layout.mouth_corners, strict=True):
        canvas.paint(ellipse((corner_x - side * 0.002, corner_y), 0.014, 0.010), dark, 0.7, 0.006)
    canvas.paint(ribbon(upper, 0.008), scaled(color, 0.7), 0.5, 0.004)


def _draw_inside(canvas: Canvas, face: Face, layout: Layout, gap_top: Points, gap_low: Points) -> None:
    inside = np.concatenate([gap_top, gap_low[::-1]])
    clip = canvas.mask([inside])
    canvas.paint(inside, (58.0, 14.0, 18.0))
    canvas.paint(ellipse((layout.mouth[0], gap_low[:, 1].max()), 0.07, 0.028), (150.0, 62.0, 66.0), 0.9, 0.01, clip)
    teeth = np.concatenate([gap_top, (gap_top + np.array([0.0, 0.020 + 0.45 * layout.opening]))[::-1]])
    canvas.paint(teeth, (232.0, 226.0, 214.0), 0.95, 0.004, clip)
    bottom = gap_top[:, 1].max() + 0.03
    gaps = [
        np.array([(layout.mouth[0] + 0.03 * k, bottom - 0.06), (layout.mouth[0] + 0.03 * k, bottom)])
        for k in range(-3, 4)
    ]
    canvas.stroke(gaps, 0.004, (180.0, 168.0, 158.0), 0.5, clip)
