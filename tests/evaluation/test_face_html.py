"""What a notebook shows of a face."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np

from keras_faceattr.evaluation.face import BinaryAnswer, Box, Face
from keras_faceattr.evaluation.face_html import COLOUR, HEIGHT, cut_out


def face(image: str = "", box: Box | None = None) -> Face:
    points = None if box is None else np.array([[60.0, 50.0]] * 5)
    return Face(image, 1, box, points, 0.9, {"smile": BinaryAnswer(0.25)}, {"smile": ("smile",)})


def test_a_face_is_a_picture_and_a_table_of_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "a&b.png"
    assert cv2.imwrite(str(path), np.full((100, 120, 3), 40, np.uint8))
    html = face(str(path), Box(40, 30, 80, 70))._repr_html_()
    assert "<th>smile</th><td>0.25</td>" in html and "a&amp;b.png" in html and "<th>left</th>" not in html
    (data,) = re.findall(r"base64,([^']+)'", html)
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    # The box and half its side round it: 80 × 80 of the photo's pixels.
    assert shown.shape == (HEIGHT, HEIGHT, 3)
    assert (shown[40:121:8, 40] == COLOUR).all() and (shown[80, 80] == COLOUR).all() and (shown[5, 5] == 40).all()


def test_without_a_photo_or_a_box_the_rest_is_shown(tmp_path: Path) -> None:
    for image in ("", str(tmp_path / "gone.jpg")):
        html = face(image)._repr_html_()
        assert "<img" not in html and "<th>smile</th>" in html and "<th>face_score</th><td>0.9</td>" in html
    assert cut_out(np.zeros((50, 100, 3), np.uint8), face()).shape == (HEIGHT, 2 * HEIGHT, 3)
    assert cut_out(np.zeros((50, 100, 3), np.uint8), face(box=Box(-90, -90, -80, -80))).shape[0] == HEIGHT
