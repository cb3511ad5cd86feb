"""Photos become crops of their faces: which face, where it lands, and what happens without one."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import ConfigError, PhotoError
from keras_faceattr.faces.affine import moved_points
from keras_faceattr.faces.crop_spec import CHOICES, FACE_METHODS, METHODS, CropSpec, chosen
from keras_faceattr.faces.cutting import Cropper, Cut
from keras_faceattr.faces.found import NO_FACES, Faces
from keras_faceattr.faces.template import TEMPLATE

GREY = np.full((90, 120, 3), 127, np.uint8)
MARGIN = 0.2


def one_face(number: int) -> tuple[np.ndarray, np.ndarray]:
    photo, landmarks = draw_scene(11, number, 181 + number % 7, 243 + number % 5)
    return photo, landmarks[0]


def two_faces() -> np.ndarray:
    """A small face left of the middle, a large one at the right border."""
    photo = np.full((260, 560, 3), 100, np.uint8)
    photo[60:180, 180:300] = draw_scene(11, 3, 120, 120)[0]
    photo[:, 320:] = cv2.resize(draw_scene(11, 5, 120, 120)[0], (240, 260))
    return photo


def written(folder: Path, photo: np.ndarray, name: str = "photo.png") -> Path:
    assert cv2.imwrite(str(folder / name), photo[..., ::-1])
    return folder / name


def cut(spec: CropSpec, photo: np.ndarray, face: str | None = None) -> list[Cut]:
    return Cropper(spec, face).cut(photo)


def side(found: Cut) -> float:
    assert found.box is not None
    return float(found.box[3] - found.box[1])


@pytest.mark.parametrize("method", FACE_METHODS)
def test_one_face_or_all_are_cut(method: str) -> None:
    photo, spec = two_faces(), CropSpec(48, method)
    every = cut(spec, photo, "all")
    assert len(every) == 2
    assert every[0].score is not None
    assert every[1].score is not None
    assert every[0].score >= every[1].score
    small, large = sorted(every, key=side)
    (largest,), (central,) = cut(spec, photo, "largest"), cut(spec, photo, "central")
    np.testing.assert_array_equal(largest.box, large.box)
    np.testing.assert_array_equal(largest.pixels, large.pixels)
    np.testing.assert_array_equal(central.box, small.box)
    np.testing.assert_array_equal(central.pixels, small.pixels)


def test_without_a_choice_the_spec_has_its_own() -> None:
    photo = two_faces()
    for face in ("largest", "central"):
        spec = CropSpec(48, "five_points", face=face)
        np.testing.assert_array_equal(cut(spec, photo)[0].pixels, cut(spec, photo, face)[0].pixels)


@pytest.mark.parametrize("method", FACE_METHODS)
def test_a_cut_tells_what_it_shows(method: str) -> None:
    photo, landmarks = one_face(0)
    (found,) = cut(CropSpec(64, method), photo)
    assert found.pixels.shape == (64, 64, 3)
    assert found.pixels.dtype == np.uint8
    assert found.box is not None
    assert found.points is not None
    assert found.score is not None
    assert 0.7 < found.score <= 1
    between_eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    assert np.linalg.norm(found.points - landmarks, axis=1).max() < 0.3 * between_eyes
    np.testing.assert_array_equal(found.pixels, CropSpec(64, method).warp(photo, found.matrix))


def test_five_points_puts_the_face_where_the_template_says() -> None:
    cropper = Cropper(CropSpec(96, "five_points", margin=MARGIN))
    wanted, misses = (TEMPLATE + MARGIN) / (1 + 2 * MARGIN) * 96 - 0.5, []
    for number in range(20):
        photo, landmarks = one_face(number)
        (found,) = cropper.cut(photo)
        misses.append(np.abs(moved_points(landmarks, found.matrix) - wanted) / 96)
        assert found.points is not None
        # What the detector found lands still nearer, and the eyes are level however the head is turned.
        np.testing.assert_allclose(
            moved_points(found.points, found.matrix).mean(axis=0), wanted.mean(axis=0), atol=0.01
        )
    assert np.max(misses) < 0.1
    assert np.median(misses, axis=(0, 2)).max() < 0.025


def test_face_box_shows_the_box_and_its_margin() -> None:
    spec = CropSpec(100, "face_box", margin=0.5)
    box = np.array([40.0, 30.0, 60.0, 70.0])
    matrix = spec.matrix((200, 200, 3), box=box)
    # The square of side 40 about (50, 50) fills the middle half; edges lie half a pixel before the pixels' middles.
    corners = np.array([[30, 30], [70, 70], [50, 50]]) - 0.5
    np.testing.assert_allclose(moved_points(corners, matrix) + 0.5, [[25, 25], [75, 75], [50, 50]], atol=1e-9)


@pytest.mark.parametrize(
    "box", [[9, 9, 9, 9], [9, 9, 5, 5], [np.nan, 0, 9, 9], [0, 0, np.inf, 9]], ids=["point", "inside out", "nan", "inf"]
)
def test_a_box_that_is_no_face_has_no_map(box: list[float]) -> None:
    assert CropSpec(64, "face_box").matrix((99, 99, 3), box=np.array(box)) is None
    assert CropSpec(64, "five_points").matrix((99, 99, 3), points=np.full((5, 2), 4.0)) is None


@pytest.mark.parametrize("method", ["centre_square", "whole_photo"])
@pytest.mark.parametrize("shape", [(120, 91), (48, 48), (60, 300)])
def test_the_map_of_a_crop_without_a_face_says_what_the_crop_shows(method: str, shape: tuple[int, int]) -> None:
    spec = CropSpec(48, method, interpolation="bilinear")
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    photo = np.stack([x * 200 // shape[1], y * 200 // shape[0], np.full(shape, 7)], axis=-1).astype(np.uint8)
    (found,) = cut(spec, photo)
    assert (found.box, found.score, found.points) == (None, None, None)
    np.testing.assert_array_equal(found.pixels, spec.apply(photo))
    inner = (slice(2, -2), slice(2, -2))
    shown = spec.warp(photo, found.matrix)
    assert np.abs(shown[inner].astype(int) - found.pixels[inner]).max() <= 6


@pytest.mark.parametrize("method", FACE_METHODS)
def test_a_photo_without_a_face_gives_no_crop_or_the_fallback(tmp_path: Path, method: str) -> None:
    path = written(tmp_path, GREY, "empty.png")
    assert cut(CropSpec(32, method), GREY) == []
    with pytest.raises(PhotoError, match=r"empty\.png: no face found"):
        Cropper(CropSpec(32, method)).crop(path)
    for fallback in ("centre_square", "whole_photo"):
        spec = CropSpec(32, method, fallback=fallback)
        (found,) = cut(spec, GREY)
        np.testing.assert_array_equal(found.pixels, CropSpec(32, fallback).apply(GREY))
        assert (found.box, found.score, found.points) == (None, None, None)
        np.testing.assert_array_equal(Cropper(spec).crop(path), found.pixels)


def test_a_fallback_is_not_taken_where_there_is_a_face() -> None:
    photo, _ = one_face(1)
    (with_fallback,) = cut(CropSpec(48, "five_points", fallback="centre_square"), photo)
    (without,) = cut(CropSpec(48, "five_points"), photo)
    np.testing.assert_array_equal(with_fallback.pixels, without.pixels)


def test_a_larger_smallest_face_is_handed_to_the_detector() -> None:
    photo, _ = one_face(1)
    assert len(cut(CropSpec(48, "five_points"), photo)) == 1
    assert cut(CropSpec(48, "five_points", min_face=180), photo) == []
    assert cut(CropSpec(48, "five_points", thresholds=(0.6, 0.7, 0.999999)), photo) == []


def test_a_file_becomes_the_first_of_its_cuts(tmp_path: Path) -> None:
    photo = two_faces()
    for method in METHODS:
        spec = CropSpec(48, method)
        np.testing.assert_array_equal(Cropper(spec).crop(written(tmp_path, photo)), cut(spec, photo)[0].pixels)


@pytest.mark.parametrize("call", [lambda c, p: c.crop(p), lambda c, p: c.disturbed(p, False, np.eye(3)[None])])
def test_a_file_that_is_no_photo_is_named(tmp_path: Path, call) -> None:
    (tmp_path / "notes.jpg").write_text("no photo")
    for name in ("notes.jpg", "missing.jpg"):
        with pytest.raises(PhotoError, match=name):
            call(Cropper(CropSpec(32, "five_points")), tmp_path / name)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_that_is_a_crop_already_is_only_resized(tmp_path: Path, method: str) -> None:
    cropper = Cropper(CropSpec(32, method))
    small = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cropper.crop(written(tmp_path, small), ready=True), small)
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(cropper.crop(written(tmp_path, large), ready=True), small)


@pytest.mark.parametrize("method", FACE_METHODS)
def test_no_disturbance_leaves_a_face_where_it_is(tmp_path: Path, method: str) -> None:
    cropper = Cropper(CropSpec(64, method))
    for number in range(3):
        path = written(tmp_path, one_face(number)[0])
        disturbed = cropper.disturbed(path, False, np.stack([np.eye(3)] * 2))
        np.testing.assert_array_equal(disturbed, np.stack([cropper.crop(path)] * 3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ready", [False, True])
def test_the_first_of_the_disturbed_crops_is_the_right_one(tmp_path: Path, method: str, ready: bool) -> None:
    cropper, path = Cropper(CropSpec(64, method)), written(tmp_path, one_face(0)[0])
    np.testing.assert_array_equal(cropper.disturbed(path, ready, np.eye(3)[None])[0], cropper.crop(path, ready))


def test_a_disturbance_moves_the_crop_over_the_photo(tmp_path: Path) -> None:
    path, maps = written(tmp_path, one_face(2)[0]), np.stack([np.eye(3)] * 2)
    maps[0, 0, 2] = 5
    maps[1, 1, 2] = -7
    for method in FACE_METHODS:
        cropper = Cropper(CropSpec(64, method, interpolation="bilinear"))
        plain, right, up = cropper.disturbed(path, False, maps).astype(int)
        assert np.abs(right[:, 5:] - plain[:, :-5]).max() <= 1
        assert np.abs(up[:-7] - plain[7:]).max() <= 1


def test_a_disturbance_of_a_ready_crop_is_grey_beyond_it(tmp_path: Path) -> None:
    path = written(tmp_path, np.full((40, 40, 3), (250, 1, 30), np.uint8))
    away = np.eye(3)
    away[0, 2] = 10
    _, moved = Cropper(CropSpec(40, "five_points")).disturbed(path, True, away[None])
    assert (moved[:, :10] == 127).all()
    assert (moved[:, 10:] == (250, 1, 30)).all()


def test_a_disturbed_photo_without_a_face_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, GREY, "empty.png")
    with pytest.raises(PhotoError, match=r"empty\.png: no face found"):
        Cropper(CropSpec(32, "five_points")).disturbed(path, False, np.eye(3)[None])


def test_many_threads_cut_as_one() -> None:
    cropper, photos = Cropper(CropSpec(48, "five_points")), [one_face(number)[0] for number in range(8)]
    expected = [cropper.cut(photo)[0] for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        for first, (again,) in zip(expected * 3, pool.map(cropper.cut, photos * 3), strict=True):
            np.testing.assert_array_equal(again.pixels, first.pixels)
            np.testing.assert_array_equal(again.matrix, first.matrix)


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    count = len(boxes)
    return Faces(np.array(boxes, np.float32), np.linspace(0.99, 0.9, count), np.zeros((count, 5, 2), np.float32))


@pytest.mark.parametrize(
    ("boxes", "largest", "central"),
    [
        ([(0, 0, 10, 10), (50, 40, 55, 45), (60, 0, 100, 40)], 2, 1),
        # Of the first only a strip lies in the photo of 100 x 80.
        ([(-90, 0, 10, 80), (30, 20, 70, 60)], 1, 1),
        ([(90, 0, 300, 10), (0, 0, 11, 11)], 1, 1),
        ([(20, 20, 40, 40)], 0, 0),
    ],
)
def test_the_largest_face_counts_by_what_is_in_the_photo(boxes: list, largest: int, central: int) -> None:
    shape = (80, 100, 3)
    assert chosen(faces(*boxes), shape, "largest") == [largest]
    assert chosen(faces(*boxes), shape, "central") == [central]
    assert chosen(faces(*boxes), shape, "all") == list(range(len(boxes)))


@pytest.mark.parametrize("which", CHOICES)
def test_of_no_faces_none_is_chosen(which: str) -> None:
    assert chosen(NO_FACES, (80, 100, 3), which) == []


def test_definitions_differ_in_what_they_look_at() -> None:
    aligned = CropSpec(112, "five_points")
    assert aligned.differences(CropSpec(224, "five_points")) == {}
    assert aligned.differences(CropSpec(112, "five_points", margin=0.3, min_face=40)) == {"margin": 0.2, "min_face": 20}
    assert aligned.differences(CropSpec(112)) == {"method": "five_points"}
    assert CropSpec(112).differences(CropSpec(112, margin=0.9, face="central", min_face=99, factor=0.5)) == {}
    assert CropSpec(112).differences(CropSpec(64, "whole_photo", "cubic")) == {
        "method": "centre_square",
        "interpolation": "area",
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"margin": -0.1}, "crop margin -0.1 is not in 0 to 2"),
        ({"margin": float("nan")}, "crop margin nan is not in 0 to 2"),
        ({"face": "all"}, "unknown crop face 'all'"),
        ({"face": "biggest"}, "unknown crop face 'biggest'"),
        ({"fallback": "face_box"}, "unknown crop fallback 'face_box'"),
        ({"min_face": 5}, "crop min_face 5 is below"),
        ({"thresholds": [0.5, 0.5]}, "crop thresholds"),
        ({"factor": 1.2}, "crop factor 1.2"),
    ],
)
def test_face_settings_that_make_no_crop_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CropSpec(64, "five_points", **wrong)


def test_a_face_crop_comes_back_from_its_plain_data() -> None:
    spec = CropSpec(48, "five_points", "cubic", 0.35, "central", "whole_photo", 30, (0.5, 0.6, 0.8), 0.6)
    assert CropSpec(**spec.to_dict()) == spec
    assert hash(CropSpec(**spec.to_dict())) == hash(spec)


def test_a_crop_without_faces_needs_no_nets(own_cache: Path) -> None:
    code = (
        "import sys, numpy as np; from keras_faceattr.faces.crop_spec import CropSpec;"
        "from keras_faceattr.faces.cutting import Cropper;"
        "Cropper(CropSpec(32)).cut(np.zeros((50, 60, 3), np.uint8));"
        "print(sorted({'tensorflow', 'keras', 'mtcnn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
    assert not own_cache.exists()
