"""A photo file is decoded smaller where large faces are looked for: same faces, same places, no enlarged crop."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import PhotoError
from keras_faceattr.faces import stored
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.faces.detector import decodable
from keras_faceattr.faces.photos import decode_photo
from keras_faceattr.faces.stored import StoredPhoto, largest_reduction

HEIGHT, WIDTH = 133, 201
"""No multiples of 2: the last pixel of a smaller copy is a part of one."""

LARGE = draw_scene(11, 3, 901, 1203, 2)[0]


def ramp() -> np.ndarray:
    """(133, 201, 3) of which red tells the column and green the row."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype("float64")
    return np.stack([x * 250 / WIDTH, y * 250 / HEIGHT, np.full_like(x, 90)], axis=-1).round().astype("uint8")


def encoded(pixels: np.ndarray, kind: str = "JPEG", orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    stream = io.BytesIO()
    options = {"quality": 97, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Reductions of every decoding."""
    seen: list[int] = []
    decode = stored.decode_scaled
    monkeypatch.setattr(stored, "decode_scaled", lambda *asked: (seen.append(asked[2]), decode(*asked))[1])
    return seen


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_smaller_copy_shows_the_mean_of_its_blocks_where_it_says_that_they_lie(
    orientation: int, reduction: int
) -> None:
    data = encoded(ramp(), orientation=orientation)
    whole = decode_photo(data, "photo").astype("float64")
    small = StoredPhoto(data, "photo").scaled(reduction)
    assert small.reduction == reduction and small.whole == whole.shape[:2]
    assert small.pixels.shape[:2] == tuple(-(-side // reduction) for side in whole.shape[:2])
    left, top = small.origin
    # Blocks that lie in the photo as a whole.
    rows = [row for row in range(small.pixels.shape[0]) if 0 <= top + reduction * row <= whole.shape[0] - reduction]
    columns = [c for c in range(small.pixels.shape[1]) if 0 <= left + reduction * c <= whole.shape[1] - reduction]
    assert len(rows) >= HEIGHT // 8 and len(columns) >= HEIGHT // 8
    y, x = top + reduction * rows[0], left + reduction * columns[0]
    part = whole[y : y + reduction * len(rows), x : x + reduction * len(columns)]
    means = part.reshape(len(rows), reduction, len(columns), reduction, 3).mean(axis=(1, 3))
    got = small.pixels[np.ix_(rows, columns)]
    # A shift by one pixel of the photo would be more than 1.2 grey levels.
    assert np.abs((got - means).mean(axis=(0, 1))).max() < 0.5


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_a_format_without_smaller_copies_is_decoded_once_and_whole(kind: str, decoded: list[int]) -> None:
    photo = StoredPhoto(encoded(ramp(), kind), "photo")
    assert photo.scaled(4).reduction == 1 and photo.scaled(4) is photo.scaled(2) is photo.scaled(1)
    assert decoded == [4] and photo.shape == (HEIGHT, WIDTH)


def test_a_small_jpeg_and_a_jpeg_that_is_cut_off_are_as_ever() -> None:
    small = StoredPhoto(encoded(ramp()[:40]), "photo").scaled(8)
    assert small.reduction == 1 and small.pixels.shape == (40, WIDTH, 3)
    with pytest.raises(PhotoError, match="photo: cannot be decoded as jpeg: it is damaged or cut off"):
        StoredPhoto(encoded(LARGE)[:-2000], "photo").scaled(4)


@pytest.mark.parametrize(("min_face", "factor"), [(95, 1), (96, 2), (191, 2), (192, 4), (384, 8), (3000, 8)])
def test_the_smallest_face_keeps_the_48_pixels_that_o_net_looks_at(min_face: int, factor: int) -> None:
    assert decodable(min_face) == factor
    assert min_face / factor >= 48 or factor == 1


def test_a_reduction_never_enlarges_a_crop() -> None:
    assert [largest_reduction(scale, 4) for scale in (1.5, 1.0, 0.51, 0.5, 0.26, 0.25, 0.01)] == [1, 1, 1, 2, 2, 4, 4]


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_faces_of_a_jpeg_are_found_and_cut_where_they_are(orientation: int, decoded: list[int]) -> None:
    # An orientation of 6 asks for a quarter turn clockwise.
    data = encoded(LARGE if orientation == 1 else np.rot90(LARGE), orientation=orientation)
    whole = decode_photo(data, "photo")
    assert whole.shape == LARGE.shape
    cropper = Cropper(CropSpec(48, "five_points", margin=0.2), "all", min_face=100)
    expected, got = cropper.cut(whole), cropper.cut(StoredPhoto(data, "photo"))
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        side = (other.box[2:] - other.box[:2]).max()
        assert np.abs(one.box - other.box).max() < 0.06 * side
        assert np.abs(one.points - other.points).max() < 0.03 * side
        # Neither half a pixel of the crop beside, nor of another resolution.
        same = cropper.spec.warp(whole, one.matrix).astype("float64")
        assert np.abs(one.pixels - same).mean() < 2.0
    assert decoded == [2]


def test_a_crop_that_needs_every_pixel_is_cut_from_the_whole_photo(decoded: list[int]) -> None:
    data = encoded(LARGE)
    cropper = Cropper(CropSpec(224, "five_points", margin=0.2), "all", min_face=100)
    photo = StoredPhoto(data, "photo")
    (first, *_) = cropper.cut(photo)
    assert decoded == [2, 1]
    np.testing.assert_array_equal(first.pixels, cropper.spec.warp(decode_photo(data, "photo"), first.matrix))


def test_without_a_smallest_face_a_jpeg_is_decoded_whole(decoded: list[int]) -> None:
    cropper = Cropper(CropSpec(48, "five_points", min_face=100), "all")
    cropper.cut(StoredPhoto(encoded(LARGE), "photo"))
    assert decoded == [1]


@pytest.mark.parametrize("min_face", [60, 160])
def test_a_photo_below_the_smallest_face_shows_none(min_face: int) -> None:
    """Its smaller copy was searched for faces of a half or a quarter of that."""
    photo = draw_scene(7, 2, 150, 150, 1)[0][:, : min_face - 1]
    assert Cropper(CropSpec(48, "five_points"), "all", min_face=min_face).cut(photo) == []
