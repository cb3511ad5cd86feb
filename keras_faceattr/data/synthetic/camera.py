"""Camera effects on a finished drawing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_faceattr.data.synthetic.face import Face


def take_photo(drawing: NDArray[np.float32], face: Face, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, softness and sensor noise.

    Args:
        drawing: (size, size, 3) RGB from 0 to 255.
        face: says how blurred, soft and noisy the photo is.
        rng: chance of the noise.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    sigma = drawing.shape[0] * (0.001 * face.softness + 0.020 * max(0.0, face.blur - 0.2))
    photo = cv2.GaussianBlur(drawing, (0, 0), sigma)
    photo = photo + face.noise * rng.standard_normal(drawing.shape, np.float32)
    return np.clip(np.round(photo), 0, 255).astype(np.uint8)
