"""Drawn scenes: the same every time, of the asked size, with landmarks on the faces."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from keras_faceattr.data.synthetic import draw_scene

SIZES = [(160, 160, 1), (181, 243, 2), (96, 255, 3), (300, 90, 1), (33, 40, 1), (64, 200, 3)]


@pytest.mark.parametrize(("height", "width", "faces"), SIZES)
def test_a_scene_has_the_asked_size_and_a_row_of_landmarks_for_each_face(height: int, width: int, faces: int) -> None:
    photo, landmarks = draw_scene(3, 1, height, width, faces)
    assert (photo.shape, photo.dtype) == ((height, width, 3), np.uint8)
    assert (landmarks.shape, landmarks.dtype) == ((faces, 5, 2), np.float32)
    assert photo.flags["C_CONTIGUOUS"]


def test_a_scene_is_the_same_in_any_order_and_no_other_is() -> None:
    photos = [draw_scene(3, index, 120, 160, 2) for index in range(4)]
    for index in (2, 0, 3):
        photo, landmarks = draw_scene(3, index, 120, 160, 2)
        np.testing.assert_array_equal(photo, photos[index][0])
        np.testing.assert_array_equal(landmarks, photos[index][1])
    others = [*(photo for photo, _ in photos), draw_scene(4, 0, 120, 160, 2)[0], draw_scene(3, 0, 120, 160, 1)[0]]
    for position, photo in enumerate(others):
        assert not any(np.array_equal(photo, other) for other in others[:position])


def test_a_scene_is_the_same_in_another_process() -> None:
    photo, landmarks = draw_scene(3, 5, 90, 130, 2)
    code = (
        "import sys; from keras_faceattr.data.synthetic import draw_scene;"
        "photo, landmarks = draw_scene(3, 5, 90, 130, 2);"
        "sys.stdout.buffer.write(photo.tobytes() + landmarks.tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stdout == photo.tobytes() + landmarks.tobytes()


def test_landmarks_lie_in_the_photo_each_face_in_its_share_of_it() -> None:
    for height, width, faces in SIZES:
        for index in range(10):
            _, landmarks = draw_scene(5, index, height, width, faces)
            assert (landmarks >= 0).all()
            assert (landmarks <= [width - 1, height - 1]).all()
            cells = landmarks.mean(axis=1)[:, 0] // (width / faces)
            if width / faces >= 80:
                assert cells.tolist() == list(range(faces))


def test_landmarks_are_those_of_an_upright_face_turned_a_little() -> None:
    for index in range(20):
        _, (points,) = draw_scene(6, index, 200, 260)
        left_eye, right_eye, nose, left_mouth, right_mouth = points
        slope = np.rad2deg(np.arctan2(*(right_eye - left_eye)[::-1]))
        assert abs(slope) < 30
        assert max(left_eye[1], right_eye[1]) < nose[1] < max(left_mouth[1], right_mouth[1])
        assert left_mouth[0] < right_mouth[0]


def test_faces_are_turned_both_ways_and_lie_in_different_places() -> None:
    landmarks = np.stack([draw_scene(6, index, 200, 260)[1][0] for index in range(20)])
    slopes = landmarks[:, 1, 1] - landmarks[:, 0, 1]
    assert (slopes > 1).any()
    assert (slopes < -1).any()
    assert (np.ptp(landmarks.mean(axis=1), axis=0) > 20).all()


def test_eyes_are_darker_than_the_face_about_them() -> None:
    darker = []
    for index in range(20):
        photo, (points,) = draw_scene(8, index, 256, 256)
        grey = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (0, 0), 1.5).astype(float)
        between_eyes = float(np.linalg.norm(points[1] - points[0]))
        for eye in points[:2]:
            x, y = eye.round().astype(int)
            below = round(y + 0.45 * between_eyes)
            darker.append(grey[y, x] < grey[below, x])
    assert np.mean(darker) > 0.9
