"""Hair of the head, as sheets of strands between two edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_faceattr.data.synthetic.canvas import Canvas
from keras_faceattr.data.synthetic.curves import Points, ellipse, mirrored, resampled, smooth, waved
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.layout import Layout
from keras_faceattr.data.synthetic.palette import Color, hair_color, mix, scaled

STRAND_POINTS = 40
LONG_HAIR = 0.3


@dataclass(frozen=True)
class Texture:
    """Swing of the strands: sideways amplitude (head units), waves along a strand, coils on a sheet, extra volume."""

    amplitude: float
    waves: float
    coils: int
    volume: float
    strand_width: float


TEXTURES: dict[str, Texture] = {
    "straight": Texture(0.0, 0.0, 0, 0.0, 0.007),
    "wavy": Texture(0.024, 3.5, 0, 0.025, 0.016),
    "curly": Texture(0.010, 9.0, 260, 0.055, 0.010),
}


def _draw_sheet(
    canvas: Canvas, edges: tuple[Points, Points], color: Color, texture: Texture, strands: int, rng: np.random.Generator
) -> None:
    """Fill between the outer and the inner edge, which run the way the hair falls, and draw its strands."""
    outer, inner = (resampled(edge, STRAND_POINTS) for edge in edges)
    phase = float(rng.uniform(0.0, 6.28))
    swung = waved(outer, 0.9 * texture.amplitude, texture.waves, phase)
    shape = np.concatenate([swung, inner[::-1]])
    canvas.paint(shape, color, 1.0, 0.005)
    clip = canvas.mask([shape])
    shares = (np.arange(strands) + rng.uniform(0.0, 1.0, strands)) / strands
    starts, lengths = rng.integers(0, STRAND_POINTS // 2, strands), rng.integers(12, STRAND_POINTS, strands)
    bright = mix(scaled(color, 1.5), (150.0, 140.0, 130.0), 0.16)
    groups: tuple[list[Points], list[Points]] = ([], [])
    # All strands of a sheet swing alike, so that the swing of the middle one serves for all.
    middle = 0.5 * (outer + inner)
    swing = waved(middle, texture.amplitude, texture.waves, phase) - middle
    for k, share in enumerate(shares):
        line = outer * (1.0 - share) + inner * share + swing
        groups[k % 2].append(line[starts[k] : starts[k] + lengths[k]])
    canvas.stroke(groups[0], texture.strand_width, scaled(color, 0.62), 0.62, clip)
    canvas.stroke(groups[1], texture.strand_width, bright, 0.50, clip)
    _draw_coils(canvas, (outer, inner), color, texture, rng)


def _draw_coils(
    canvas: Canvas, edges: tuple[Points, Points], color: Color, texture: Texture, rng: np.random.Generator
) -> None:
    if not texture.coils:
        return
    along, across = rng.integers(0, STRAND_POINTS, texture.coils), rng.uniform(-0.05, 1.0, (texture.coils, 1))
    centers = edges[0][along] * (1.0 - across) + edges[1][along] * across
    coil = ellipse((0.0, 0.0), 0.024, 0.020)
    arcs = [coil[turn : turn + 14] + center for turn, center in zip(np.arange(len(centers)) % 15, centers, strict=True)]
    canvas.stroke(arcs[::2], 0.014, scaled(color, 0.72), 0.75)
    canvas.stroke(arcs[1::2], 0.012, scaled(color, 1.22), 0.6)


def _length_y(face: Face) -> float:
    """Return how far down long hair falls."""
    return 0.28 + 0.70 * (face.hair_length - LONG_HAIR) / (1.0 - LONG_HAIR)


def draw_back_hair(canvas: Canvas, face: Face, layout: Layout, rng: np.random.Generator) -> None:
    """Draw the part of long hair behind the neck."""
    if face.bald or face.hair_length < LONG_HAIR:
        return
    texture = TEXTURES[face.hair_texture]
    end, wide = _length_y(face), layout.half_width(0.0) + 0.10 + texture.volume
    color = scaled(hair_color(face), 0.55)
    for side in (-1.0, 1.0):
        outer = smooth([(0.0, -0.60), (0.75 * wide, -0.45), (wide, 0.0), (wide + 0.03, 0.5 * end), (wide - 0.02, end)])
        inner = np.array([(0.0, -0.5), (0.0, 0.3), (0.03, end - 0.02)])
        _draw_sheet(canvas, (mirrored(outer, side), mirrored(inner, side)), color, texture, 16, rng)


def _cap_edges(face: Face, layout: Layout) -> tuple[Points, Points]:
    """Skull's outline with the hair's volume, and the hairline; from image left to right."""
    texture = TEXTURES[face.hair_texture]
    volume = 0.03 + 0.06 * min(1.0, face.hair_length + 0.25) + texture.volume
    ear = layout.eyes[0][1] + 0.03
    back = 0.35 * face.hairline_recession
    side = [
        (layout.half_width(ear) + 0.012 + 0.4 * texture.volume, ear),
        (layout.half_width(-0.20) + 0.45 * volume, -0.20),
        (layout.half_width(-0.40) + 0.80 * volume, -0.42),
        (0.24 + 0.7 * volume, -0.60 - 0.5 * volume),
    ]
    top = layout.hairline_y
    temple = [
        (layout.half_width(ear) * 0.955, ear),
        (layout.half_width(-0.20) * 0.90, -0.18),
        (0.31 - 0.03 * back, top + 0.11 - 0.28 * back),
        (0.20, top + 0.02 - 0.50 * back),
    ]
    peak = (0.0, top - 0.015 - 0.18 * back)

    def arc(points: list[tuple[float, float]], middle: tuple[float, float]) -> Points:
        return smooth([*((-x, y) for x, y in points), middle, *reversed(points)])

    return arc(side, (0.0, -0.645 - volume)), arc(temple, peak)


def draw_hair(canvas: Canvas, face: Face, layout: Layout, rng: np.random.Generator) -> None:
    """Hair over head and forehead: cap, locks beside the face, bangs."""
    if face.bald:
        canvas.shade(ellipse((0.12 * face.light_x, -0.50), 0.12, 0.06), (1.16, 1.16, 1.17), 0.035)
        return
    texture, color = TEXTURES[face.hair_texture], hair_color(face)
    outer, inner = _cap_edges(face, layout)
    canvas.shade(inner + np.array([0.0, 0.02]), (0.80, 0.76, 0.74), 0.02, canvas.mask([layout.outline]))
    _draw_sheet(canvas, (outer, inner), color, texture, 44, rng)
    if face.hairline_recession > 0.5:
        # Receding hair is thin: scalp shines through above the temples.
        for side in (-1.0, 1.0):
            thin = ellipse((side * 0.22, layout.hairline_y - 0.13), 0.07, 0.035, side * 25.0)
            canvas.shade(thin, (1.35, 1.28, 1.24), 0.03)
    if face.hair_length >= LONG_HAIR:
        _draw_locks(canvas, face, layout, color, texture, rng)
    if face.bangs > 0.0:
        _draw_bangs(canvas, face, layout, color, texture, rng)
    gloss = smooth([(-0.36, -0.42), (-0.2, -0.57), (0.0, -0.61), (0.2, -0.57), (0.36, -0.42)])
    band = np.concatenate([gloss, (gloss + np.array([0.0, 0.05]))[::-1]])
    canvas.shade(
        band,
        (1.28, 1.28, 1.30) if face.hair_color != "gray" else (1.10, 1.10, 1.10),
        0.02,
        canvas.mask([np.concatenate([outer, inner[::-1]])]),
    )


def _draw_locks(
    canvas: Canvas, face: Face, layout: Layout, color: Color, texture: Texture, rng: np.random.Generator
) -> None:
    end, cheek = _length_y(face), layout.half_width(0.05)
    wide = cheek + 0.085 + texture.volume
    for side in (-1.0, 1.0):
        outer = smooth([(0.30, -0.58), (wide - 0.03, -0.36), (wide, 0.0), (wide + 0.02, 0.6 * end), (wide - 0.05, end)])
        inner = smooth(
            [
                (0.29, -0.42),
                (cheek * 0.92, -0.18),
                (cheek * 0.965, 0.05),
                (cheek * 0.94, 0.6 * end),
                (cheek * 0.85, end + 0.02),
            ]
        )
        shadow = mirrored(inner, side) - np.array([0.02 * side, -0.01])
        canvas.shade(np.concatenate([shadow, mirrored(outer, side)[::-1]]), (0.72, 0.68, 0.66), 0.02)
        _draw_sheet(canvas, (mirrored(outer, side), mirrored(inner, side)), color, texture, 18, rng)


def _draw_bangs(
    canvas: Canvas, face: Face, layout: Layout, color: Color, texture: Texture, rng: np.random.Generator
) -> None:
    """A fringe of tufts which ends above the eyes."""
    low = layout.eyes[0][1] - 0.125 + 0.05 * (1.0 - face.bangs)
    high = layout.hairline_y - 0.10
    count = 9
    ends = np.linspace(-0.345, 0.345, count + 1)
    jitter = rng.uniform(-0.03, 0.02, count)
    shadow = np.array([(-0.34, high), (0.34, high), (0.34, low + 0.01), (-0.34, low + 0.01)])
    canvas.shade(shadow, (0.70, 0.66, 0.64), 0.02, canvas.mask([layout.outline]))
    for k in range(count):
        left, right, tip = (
            ends[k] - 0.012,
            ends[k + 1] + 0.012,
            low + jitter[k] + 0.10 * (abs(ends[k] + ends[k + 1]) / 0.7) ** 2,
        )
        root = 0.80
        edges = (
            np.array([(left * root, high), (left, 0.6 * low + 0.4 * high), (0.6 * left + 0.4 * right, tip)]),
            np.array([(right * root, high), (right, 0.6 * low + 0.4 * high), (0.4 * left + 0.6 * right, tip)]),
        )
        _draw_sheet(
            canvas,
            (smooth(edges[0]), smooth(edges[1])),
            color,
            Texture(0.4 * texture.amplitude, 1.5, 0, 0.0, 0.007),
            6,
            rng,
        )
