"""A face detector trained on photos of people accepts the drawn ones."""

from __future__ import annotations

import numpy as np
import pytest

from keras_faceattr.data.synthetic import synthetic_photo

FACES, SIZE = 60, 160


def test_mtcnn_finds_the_faces_and_their_eyes():
    mtcnn = pytest.importorskip("mtcnn")
    photos = [synthetic_photo(21, index, SIZE) for index in range(FACES)]
    found = mtcnn.MTCNN().detect_faces([image for image, _, _ in photos])
    errors = []
    for (_, _, landmarks), faces in zip(photos, found, strict=True):
        if not faces:
            continue
        points = max(faces, key=lambda face: face["confidence"])["keypoints"]
        eyes = np.array([points["left_eye"], points["right_eye"]])
        between = np.linalg.norm(landmarks[1] - landmarks[0])
        errors.append(np.linalg.norm(eyes - landmarks[:2], axis=1) / between)
    assert len(errors) >= 0.95 * FACES
    assert np.median(errors) < 0.08
