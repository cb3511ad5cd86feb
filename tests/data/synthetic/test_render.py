"""Photos are reproducible, well formed, and their landmarks lie where the parts of the face are."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import cv2
import numpy as np
import pytest

from keras_faceattr.data.synthetic import Face, render_face, synthetic_photo

SIZE = 128


@pytest.fixture(scope="module")
def photos():
    return [synthetic_photo(7, index, SIZE) for index in range(40)]


def test_a_photo_is_an_rgb_image_of_the_asked_size(photos):
    for image, _, landmarks in photos:
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert landmarks.shape == (5, 2) and landmarks.dtype == np.float32
        assert image.std() > 10


def test_the_same_photo_is_bit_identical_in_any_order(photos):
    for index in (31, 4, 0):
        image, labels, landmarks = synthetic_photo(7, index, SIZE)
        np.testing.assert_array_equal(image, photos[index][0])
        np.testing.assert_array_equal(landmarks, photos[index][2])
        assert labels == photos[index][1]


def test_the_same_photo_is_bit_identical_in_another_process(photos):
    code = (
        "import sys; from keras_faceattr.data.synthetic import synthetic_photo; "
        f"sys.stdout.buffer.write(synthetic_photo(7, 5, {SIZE})[0].tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert other == photos[5][0].tobytes()


def test_photos_of_other_indices_and_seeds_differ(photos):
    base = photos[0][0].astype(int)
    for other in (photos[1][0], synthetic_photo(8, 0, SIZE)[0]):
        assert np.abs(base - other).mean() > 10


def test_landmarks_lie_inside_the_image_in_the_order_of_mtcnn(photos):
    for _, _, landmarks in photos:
        assert np.all((landmarks > 0) & (landmarks < SIZE - 1))
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("pose", [{}, {"yaw": 0.9}, {"roll_degrees": 9.0, "shift_x": 0.02}, {"scale": 0.93}])
def test_eye_landmarks_lie_on_dark_pupils(pose):
    face = dataclasses.replace(Face(noise=0.0), **pose)
    image, landmarks = render_face(face, SIZE, np.random.default_rng(0))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for x, y in landmarks[:2]:
        near = gray[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]
        cheek = gray[round(y) + 16 : round(y) + 20, round(x) - 3 : round(x) + 4]
        assert near.mean() < 0.55 * cheek.mean()


def test_a_clockwise_roll_lowers_the_right_eye():
    _, landmarks = render_face(Face(roll_degrees=10.0), SIZE, np.random.default_rng(0))
    dx, dy = landmarks[1] - landmarks[0]
    assert np.degrees(np.arctan2(dy, dx)) == pytest.approx(10.0, abs=0.1)


def test_another_size_shows_the_same_face(photos):
    for index in range(6):
        image, labels, landmarks = synthetic_photo(7, index, 2 * SIZE)
        half = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(half - photos[index][0]).mean() < 6
        assert labels == photos[index][1]
        # Pixel 0 has its middle at 0: coordinates scale about the image's corner, at -0.5.
        np.testing.assert_allclose((landmarks + 0.5) / 2, photos[index][2] + 0.5, atol=1e-3)


def test_the_head_fills_about_sixty_percent_of_the_height():
    on, _ = render_face(Face(bald=True, noise=0.0), SIZE, np.random.default_rng(0))
    off, _ = render_face(Face(bald=True, noise=0.0, race="Black"), SIZE, np.random.default_rng(0))
    column = np.abs(on.astype(int) - off).sum(2)[:, SIZE // 2]
    crown = np.flatnonzero(column > 60)[0]
    _, landmarks = render_face(Face(), SIZE, np.random.default_rng(0))
    eyes_to_mouth = landmarks[3, 1] - landmarks[0, 1]
    # The chin lies about 0.6 of the distance from eyes to mouth below the mouth.
    assert 0.55 < (landmarks[3, 1] + 0.6 * eyes_to_mouth - crown) / SIZE < 0.65


def test_a_size_too_small_for_a_face_is_refused():
    with pytest.raises(ValueError, match="size 16 is below 32"):
        render_face(Face(), 16, np.random.default_rng(0))
