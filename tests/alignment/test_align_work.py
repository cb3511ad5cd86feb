"""A worker turns photo files into encoded crops, or says in a few words why it cannot."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from aligning import GREY, scene, written

from keras_faceattr.alignment.work import AlignedPhoto, Work, align_photos
from keras_faceattr.errors import ResourceError, RunError
from keras_faceattr.faces.crop_spec import METHODS, CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.faces.photos import read_photo

FACES = Work(CropSpec(48, "five_points"), "largest", "png")


def aligned(path: Path, work: Work = FACES) -> AlignedPhoto:
    (result,) = align_photos(work, [path])
    return result


def decoded(content: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture[..., ::-1]


@pytest.mark.parametrize("method", METHODS)
def test_a_png_holds_every_pixel_that_the_cropper_cuts(tmp_path: Path, method: str) -> None:
    path, spec = written(tmp_path / "a.png", scene(0)), CropSpec(48, method)
    result = aligned(path, Work(spec, "largest", "png"))
    (expected,) = Cropper(spec).cut(read_photo(path))
    assert result.reason is None
    np.testing.assert_array_equal(decoded(result.faces[0].content), expected.pixels)


def test_a_jpg_is_nearly_the_crop_and_smaller(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", scene(0))
    png, jpg = aligned(path).faces[0], aligned(path, Work(FACES.spec, "largest", "jpg")).faces[0]
    assert jpg.content[:3] == b"\xff\xd8\xff"
    assert len(jpg.content) < len(png.content)
    assert np.abs(decoded(jpg.content).astype(int) - decoded(png.content)).mean() < 4
    assert (jpg.box, jpg.points, jpg.score) == (png.box, png.points, png.score)


def test_a_face_tells_where_it_lies_to_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", scene(1))
    (expected,), (face,) = Cropper(FACES.spec).cut(read_photo(path)), aligned(path).faces
    assert expected.box is not None
    assert expected.points is not None
    np.testing.assert_allclose(np.array(face.box), expected.box, atol=0.00501)
    np.testing.assert_allclose(np.array(face.points), expected.points, atol=0.00501)
    assert face.score == expected.score


def test_the_hash_is_that_of_the_file_also_of_one_that_is_no_photo(tmp_path: Path) -> None:
    photo, text = written(tmp_path / "a.png", scene(0)), tmp_path / "b.png"
    text.write_bytes(b"no photo at all")
    for path in (photo, text):
        assert aligned(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_results_stand_in_the_order_of_the_photos(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{i}.png", scene(i)) for i in range(3)]
    both = align_photos(FACES, [paths[2], paths[0]])
    assert [result.sha256 for result in both] == [aligned(paths[2]).sha256, aligned(paths[0]).sha256]


def cut_off(folder: Path, suffix: str) -> Path:
    whole = written(folder / f"whole{suffix}", scene(0))
    path = folder / f"part{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


def test_a_photo_that_cannot_be_used_says_why_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a photo")
    for path, words in [
        (tmp_path / "empty.jpg", "the file is empty"),
        (tmp_path / "text.jpg", "not a photo (its first bytes are of no known image format)"),
        (
            cut_off(tmp_path, ".jpg"),
            "cannot be decoded as jpeg: it is damaged or cut off (premature end of data segment)",
        ),
        (cut_off(tmp_path, ".png"), "cannot be decoded as png: it is damaged or cut off"),
        (written(tmp_path / "grey.png", GREY), "no face found"),
    ]:
        result = aligned(path)
        assert (result.faces, result.reason) == ((), words), path.name


def test_a_file_that_cannot_be_read_now_stops_the_work_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    for name, words in (("absent.jpg", "No such file"), ("folder.jpg", "Is a directory")):
        with pytest.raises(RunError, match=f"{name}: {words}"):
            aligned(tmp_path / name)


@pytest.mark.parametrize("place", ["decode_photo", "Cropper.cut"])
def test_a_lack_of_memory_stops_the_work_and_is_no_fault_of_the_photo(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(*_: object) -> None:
        raise MemoryError

    path = written(tmp_path / "a.png", scene(0))
    monkeypatch.setattr(f"keras_faceattr.alignment.work.{place}", short_of_memory)
    with pytest.raises(ResourceError, match="a.png: out of memory; free some or allow more, and run it again"):
        aligned(path)


def test_a_photo_without_a_face_is_cut_by_the_fallback_and_says_so(tmp_path: Path) -> None:
    photo = GREY.copy()
    photo[:, 60:] = (0, 200, 90)
    path = written(tmp_path / "a.png", photo)
    for fallback in ("centre_square", "whole_photo"):
        result = aligned(path, Work(CropSpec(32, "five_points", fallback=fallback), "largest", "png"))
        (face,) = result.faces
        assert result.reason == f"no face found; cut by {fallback} instead"
        assert (face.box, face.score, face.points) == (None, None, None)
        np.testing.assert_array_equal(decoded(face.content), CropSpec(32, fallback).apply(photo))


def test_the_fallback_is_no_reason_where_a_face_is_found_or_none_is_looked_for(tmp_path: Path) -> None:
    with_face, without = written(tmp_path / "a.png", scene(0)), written(tmp_path / "b.png", GREY)
    assert aligned(with_face, Work(CropSpec(32, "face_box", fallback="whole_photo"), "largest", "png")).reason is None
    assert aligned(without, Work(CropSpec(32, "centre_square"), "largest", "png")).reason is None


def test_all_faces_of_a_photo_are_cut_best_first(tmp_path: Path) -> None:
    path = written(tmp_path / "two.png", scene(3, faces=2))
    faces = aligned(path, Work(FACES.spec, "all", "png")).faces
    expected = Cropper(FACES.spec, "all").cut(read_photo(path))
    assert len(faces) == len(expected) == 2
    assert faces[0].score is not None
    assert faces[1].score is not None
    assert faces[0].score >= faces[1].score
    for face, cut in zip(faces, expected, strict=True):
        np.testing.assert_array_equal(decoded(face.content), cut.pixels)
    assert aligned(path).faces[0] in faces
