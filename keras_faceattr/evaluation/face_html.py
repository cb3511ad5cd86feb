"""A face as a notebook shows it: the photo round it, with its box and points, and what the net says."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from keras_faceattr.errors import PhotoError
from keras_faceattr.faces.photos import read_photo

if TYPE_CHECKING:
    from keras_faceattr.evaluation.face import Face

HEIGHT = 160
"""Of the picture, in pixels."""

ROOM = 0.5
"""Round the box, as a share of its longer side."""

EDGES = ("left", "top", "right", "bottom")
"""Columns that the picture shows."""

COLOUR = (255, 196, 0)


def face_html(face: Face) -> str:
    """A picture, where the photo can still be read, and a table of the face's columns."""
    cells = [(name, _text(value)) for name, value in face.row().items() if name not in EDGES]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in cells)
    return f"<div style='display:flex;gap:1em'>{_picture(face)}<table>{rows}</table></div>"


def _picture(face: Face) -> str:
    if not face.image:
        return ""
    try:
        photo = read_photo(Path(face.image))
    except PhotoError:
        return ""
    shown = cut_out(photo, face)
    # Lossless, as a drawn box has sharp edges.
    data = base64.b64encode(cv2.imencode(".png", shown[..., ::-1])[1].tobytes()).decode()
    return f"<img alt='{escape(face.image)}' src='data:image/png;base64,{data}'>"


def cut_out(photo: np.ndarray, face: Face) -> np.ndarray:
    """(HEIGHT, width, 3) uint8: the part of a photo round a face, with its box and points drawn; or the whole photo.

    Args:
        photo: (height, width, 3) uint8 RGB.
    """
    height, width = photo.shape[:2]
    left, top, right, bottom = face.box or (0, 0, width, height)
    room = ROOM * max(right - left, bottom - top) if face.box else 0.0
    x0, y0 = (int(max(0, edge - room)) for edge in (left, top))
    x1, y1 = int(min(width, right + room)), int(min(height, bottom + room))
    if x1 <= x0 or y1 <= y0:
        x0, y0, x1, y1 = 0, 0, width, height
    scale = HEIGHT / (y1 - y0)
    size = (max(1, round((x1 - x0) * scale)), HEIGHT)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = np.ascontiguousarray(cv2.resize(photo[y0:y1, x0:x1], size, interpolation=kind))

    def place(x: float, y: float) -> tuple[int, int]:
        return round((x - x0) * scale), round((y - y0) * scale)

    if face.box:
        cv2.rectangle(shown, place(left, top), place(right, bottom), COLOUR, 1)
    for x, y in () if face.points is None else face.points:
        cv2.circle(shown, place(float(x), float(y)), 2, COLOUR, -1, cv2.LINE_AA)
    return shown


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
