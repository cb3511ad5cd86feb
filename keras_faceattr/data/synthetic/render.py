"""From a face's description to its photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_faceattr.data.synthetic import accessories, backdrop, beard, eyes, hair, mouth_nose, skin
from keras_faceattr.data.synthetic.camera import take_photo
from keras_faceattr.data.synthetic.canvas import Canvas
from keras_faceattr.data.synthetic.face import Face
from keras_faceattr.data.synthetic.labels import face_labels
from keras_faceattr.data.synthetic.layout import arrange
from keras_faceattr.data.synthetic.sampling import another_photo, sample_face

# Below this, eyes are a pixel or two and labels can no longer be seen.
MIN_SIZE = 32


def render_face(face: Face, size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw `face` as a photo: head with hair, neck and shoulders, framed like an aligned face crop.

    Args:
        face: what to draw.
        size: width and height in pixels, 32 or more.
        rng: chance for what no label depends on (background, single hairs, noise); it is advanced.

    Returns:
        (size, size, 3) uint8 RGB, and (5, 2) float32 landmarks: x and y in pixels, 0 at the middle of the top left
        pixel, of image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.

    Raises:
        ValueError: `size` is below 32.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size {size} is below {MIN_SIZE} pixels")
    # A stream for each part keeps, say, the background the same when only the hair differs.
    behind, complexion, hairs, whiskers, brows, sensor = (
        np.random.default_rng(int(seed)) for seed in rng.integers(0, 2**63 - 1, 6)
    )
    canvas, layout = Canvas(size, face), arrange(face)
    backdrop.draw_background(canvas, face, behind)
    hair.draw_back_hair(canvas, face, layout, hairs)
    backdrop.draw_neck(canvas, face, layout)
    backdrop.draw_clothes(canvas, face)
    accessories.draw_necklace(canvas, face)
    skin.draw_ears(canvas, face, layout)
    backdrop.draw_double_chin(canvas, face, layout)
    clip = skin.draw_head(canvas, face, layout, complexion)
    skin.shade_face(canvas, face, layout, clip)
    skin.draw_blush(canvas, face, layout, clip)
    skin.draw_blemishes(canvas, face, layout, clip, complexion)
    eyes.draw_sockets(canvas, face, layout, clip)
    skin.draw_lines(canvas, face, layout, clip)
    beard.draw_beard(canvas, face, layout, clip, whiskers)
    mouth_nose.draw_nose(canvas, face, layout, clip)
    mouth_nose.draw_mouth(canvas, face, layout)
    eyes.draw_eyes(canvas, face, layout)
    eyes.draw_brows(canvas, face, layout, brows)
    hair.draw_hair(canvas, face, layout, hairs)
    accessories.draw_glasses(canvas, face, layout)
    accessories.draw_hat(canvas, face, layout)
    accessories.draw_earrings(canvas, face, layout)
    landmarks = canvas.to_image(np.array([*layout.eyes, layout.nose_tip, *layout.mouth_corners]))
    return take_photo(canvas.finish(), face, sensor), landmarks


def synthetic_photo(
    seed: int, index: int, size: int, photos_per_person: int = 1
) -> tuple[NDArray[np.uint8], dict[str, float | int | str], NDArray[np.float32]]:
    """The photo number `index` of the endless collection `seed`, the same in every process and order.

    Args:
        seed: 0 or more.
        index: 0 or more.
        size: width and height in pixels; another size shows the same face.
        photos_per_person: how many photos in a row show one person, each with another expression, light and view.

    Returns:
        (size, size, 3) uint8 RGB, the labels of `face_labels`, and (5, 2) float32 landmarks as of `render_face`.
    """
    person, number = divmod(index, photos_per_person)
    rng = np.random.default_rng([seed, person])
    face = sample_face(rng)
    if number:
        rng = np.random.default_rng([seed, person, number])
        face = another_photo(face, rng)
    image, landmarks = render_face(face, size, rng)
    return image, face_labels(face), landmarks
