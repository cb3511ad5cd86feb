"""Whole photos with drawn faces somewhere in them, for what looks for faces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_faceattr.data.synthetic.render import MIN_SIZE, synthetic_photo

SMALLEST, LARGEST = 0.45, 0.8
"""Side of a face's picture, as a share of its cell of the photo."""
TURN_DEGREES = 15.0


def draw_scene(
    seed: int, index: int, height: int, width: int, faces: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The photo number `index` of the endless collection `seed`: faces side by side, turned a little, before a blur.

    Args:
        height: in pixels.
        width: in pixels; each face has its share of it.

    Returns:
        (height, width, 3) uint8 RGB, and (faces, 5, 2) float32 landmarks as of `render_face`.
    """
    rng = np.random.default_rng([seed, index, faces])
    colours = rng.integers(60, 200, (4, 5, 3)).astype(np.float32)
    photo = np.clip(cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    cell, landmarks = width / faces, []
    for number in range(faces):
        room = min(height, cell)
        side = max(MIN_SIZE, int(room * rng.uniform(SMALLEST, LARGEST)))
        face, _, points = synthetic_photo(seed, index * faces + number, side)
        x = number * cell + side / 2 + rng.uniform(0, max(0.0, cell - side))
        y = side / 2 + rng.uniform(0, max(0.0, height - side))
        turn = rng.uniform(-TURN_DEGREES, TURN_DEGREES)
        matrix = np.asarray(cv2.getRotationMatrix2D((side / 2 - 0.5,) * 2, turn, 1.0), np.float64)
        matrix[:, 2] += np.array([x, y]) - side / 2
        shown = cv2.warpAffine(np.full((side, side), 255, np.uint8), matrix, (width, height)) > 127
        photo[shown] = cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)[shown]
        landmarks.append(points @ matrix[:, :2].T + matrix[:, 2])
    return photo, np.asarray(landmarks, np.float32)
