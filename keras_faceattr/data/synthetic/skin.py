"""Head, ears, and everything that lies in the skin: light, folds, blemishes, blush."""

from __future__ import annotations

import cv2
import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas, Plane
from keras_faceattr.data.synthetic.curves import Points, ellipse, ribbon, smooth
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import EXPRESSION_BROWS, Layout, on_side
from keras_faceattr.data.synthetic.palette import ROSE, SHADOW, Color, mix, scaled, skin_color

SIDES: tuple[float, float] = (-1.0, 1.0)
WHITE: Color = (1.0, 1.0, 1.0)
MAX_BLEMISHES = 26


def _fold(depth: float) -> Color:
    """Factor of a crease; skin reddens in its own shadow."""
    return 1.0 - 0.85 * depth, 1.0 - depth, 1.0 - depth


def draw_ears(canvas: Canvas, face: Face, layout: Layout) -> None:
    """Both ears; hair may cover them later."""
    skin = skin_color(face)
    for side in SIDES:
        x = side * (layout.half_width(0.05) + 0.018)
        y = layout.eyes[0][1] + 0.11
        canvas.paint(ellipse((x, y), 0.052, 0.115, side * 12.0), scaled(skin, 0.88), 1.0, 0.004)
        canvas.shade(ellipse((x - side * 0.004, y - 0.01), 0.026, 0.07, side * 12.0), SHADOW, 0.012)


def draw_head(canvas: Canvas, face: Face, layout: Layout, rng: np.random.Generator) -> Plane:
    """The bare head as a lit ovoid; returns its mask."""
    canvas.paint(layout.outline, skin_color(face), 1.0, 0.003)
    clip = canvas.mask([layout.outline])
    x, y = canvas.head_grid()
    normal_x = np.clip(x / 0.50, -1.0, 1.0)
    normal_y = np.clip((y + 0.03) / 0.74, -1.0, 1.0)
    depth = np.sqrt(np.clip(1.0 - normal_x**2 - normal_y**2, 0.0, 1.0))
    slope = face.light_x * normal_x + face.light_y * normal_y
    light = 0.80 + 0.24 * depth + 0.62 * face.light_strength * slope
    mottled = rng.standard_normal((24, 24)).astype(np.float32)
    light += (0.010 + 0.012 * face.blemishes) * cv2.resize(mottled, light.shape, interpolation=cv2.INTER_CUBIC)
    for plane, warmth in zip(canvas.planes, (0.85, 1.0, 1.06), strict=True):
        plane *= 1.0 + warmth * (light - 1.0) * clip
    return clip


def shade_face(canvas: Canvas, face: Face, layout: Layout, clip: Plane) -> None:
    """Hollows and high points that a head's ovoid lacks."""
    chin_x, chin_y = layout.chin
    mouth_x, mouth_y = layout.mouth
    canvas.shade(ellipse((0.0, -0.31), 0.2, 0.10), (1.07, 1.07, 1.07), 0.06, clip)
    canvas.shade(ellipse((chin_x, chin_y - 0.075), 0.07, 0.045), (1.09, 1.09, 1.09), 0.025, clip)
    canvas.shade(ellipse((mouth_x, mouth_y + 0.105), 0.085, 0.018), (0.84, 0.80, 0.79), 0.018, clip)
    bones = face.cheekbones
    raised = 0.04 * max(0.0, face.smile)
    for side in SIDES:
        eye = layout.eyes[int(side > 0)]
        apple = (eye[0] + side * 0.02, eye[1] + 0.18 - raised)
        canvas.shade(ellipse(apple, 0.085, 0.06), mix(WHITE, (1.15, 1.14, 1.13), 0.6 + raised * 8), 0.035, clip)
        bone = on_side([(-0.02, 0.17), (0.10, 0.135), (0.19, 0.06)], side, eye)
        canvas.shade(ribbon(smooth(bone), 0.055), mix(WHITE, (1.26, 1.24, 1.22), bones), 0.018, clip)
        hollow = on_side([(-0.02, 0.33), (0.08, 0.265), (0.19, 0.18)], side, eye)
        canvas.shade(ribbon(smooth(hollow), 0.085), mix(WHITE, (0.66, 0.58, 0.54), 0.8 * bones), 0.028, clip)
        jaw = on_side([(0.24, 0.1), (0.20, 0.33), (0.05, 0.56)], side, (eye[0], eye[1]))
        canvas.shade(ribbon(smooth(jaw), 0.09), (0.88, 0.84, 0.82), 0.04, clip)
        full = ellipse((eye[0] + side * 0.035, eye[1] + 0.29), 0.10, 0.09)
        canvas.shade(full, mix(WHITE, (1.16, 1.15, 1.14), face.chubbiness), 0.035, clip)


def draw_blush(canvas: Canvas, face: Face, layout: Layout, clip: Plane) -> None:
    """Rosy cheeks, and the rouge of heavy makeup."""
    for side in SIDES:
        x, y = layout.eyes[int(side > 0)]
        canvas.paint(ellipse((x + side * 0.045, y + 0.215), 0.095, 0.075), ROSE, 0.62 * face.rosiness, 0.03, clip)
        rouge = smooth(on_side([(0.0, 0.24), (0.10, 0.18), (0.18, 0.08)], side, (x, y)))
        canvas.paint(ribbon(rouge, 0.10), (196.0, 70.0, 92.0), 0.42 * face.makeup, 0.03, clip)


def draw_blemishes(canvas: Canvas, face: Face, layout: Layout, clip: Plane, rng: np.random.Generator) -> None:
    """Spots all over the face; heavy makeup hides half of them, and they brown with age."""
    places = rng.uniform((-0.36, -0.34), (0.36, 0.50), (MAX_BLEMISHES, 2))
    radii = rng.uniform(0.006, 0.016, MAX_BLEMISHES)
    shown = round(MAX_BLEMISHES * face.blemishes)
    tint = mix((150.0, 48.0, 44.0), (92.0, 56.0, 40.0), min(1.0, face.age / 80.0))
    dot = ellipse((0.0, 0.0), 1.0, 1.0)[::2]
    spots = [dot * radius + place for place, radius in zip(places[:shown], radii[:shown], strict=True)]
    canvas.paint(spots, tint, 0.55 - 0.3 * face.makeup, 0.004, clip)


def _wrinkles(layout: Layout) -> list[tuple[Points, float, float]]:
    """Lines of age: line, width, and the level of wrinkles at which it begins to show."""
    brow_y = layout.eyes[0][1] - layout.brow_height
    lines: list[tuple[Points, float, float]] = []
    for row in range(4):
        y = brow_y - 0.065 - 0.048 * row
        waves = smooth([(-0.25, y + 0.02), (-0.12, y - 0.008), (0.0, y + 0.006), (0.12, y - 0.008), (0.25, y + 0.02)])
        lines.append((waves, 0.014, 0.08 + 0.14 * row))
    for side in SIDES:
        eye, corner = layout.eyes[int(side > 0)], layout.mouth_corners[int(side > 0)]
        for angle in (-0.045, 0.0, 0.045):
            foot = on_side([(0.105, 0.3 * angle), (0.14, 0.6 * angle + 0.01), (0.185, 1.5 * angle)], side, eye)
            lines.append((smooth(foot), 0.010, 0.10))
        sag = on_side([(0.0, 0.01), (0.015, 0.07), (0.005, 0.13)], side, corner)
        lines.append((smooth(sag), 0.012, 0.35))
    return lines


def draw_lines(canvas: Canvas, face: Face, layout: Layout, clip: Plane) -> None:
    """Wrinkles of age, and the folds that a smile or a grimace makes."""
    for line, width, onset in _wrinkles(layout):
        depth = 0.60 * float(np.clip(1.8 * (face.wrinkles - onset) / (1.0 - onset), 0.0, 1.0))
        if depth > 0.0:
            canvas.shade(ribbon(line, width), _fold(depth), 0.004, clip)
    grimace = EXPRESSION_BROWS[face.expression][3]
    cheer = max(0.0, face.smile)
    for side in SIDES:
        x, y = layout.nose_tip
        corner = layout.mouth_corners[int(side > 0)]
        outer = (corner[0] + side * 0.035, corner[1] - 0.005)
        line = smooth([(x + side * (layout.nose_width + 0.01), y - 0.02), (outer[0], y + 0.07), outer])
        depth = 0.10 + 0.32 * cheer + 0.35 * face.wrinkles + 0.25 * grimace - 0.08 * layout.child
        canvas.shade(ribbon(line, 0.03), _fold(min(0.6, depth)), 0.009, clip)
        frown = smooth([(side * 0.035, layout.eyes[0][1] - 0.15), (side * 0.028, layout.eyes[0][1] - 0.07)])
        canvas.shade(ribbon(frown, 0.016), _fold(min(0.6, 0.45 * grimace + 0.25 * face.wrinkles)), 0.005, clip)
        snarl = smooth([(side * 0.025, y - 0.16), (side * 0.055, y - 0.12)])
        canvas.shade(ribbon(snarl, 0.014), _fold(0.4 * grimace), 0.005, clip)
