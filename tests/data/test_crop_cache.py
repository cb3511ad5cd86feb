"""Decoded crops: the same from memory, disk and file; kept on disk only when whole; bad photos quarantined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_faceattr.data import crop_cache as crops_module
from keras_faceattr.data.crop_cache import Crops, each, load_crops
from keras_faceattr.data.manifest import Manifest, Source, build_manifest
from keras_faceattr.errors import ConfigError, DataError, PhotoError, ResourceError, RunError
from keras_faceattr.faces import cutting as cropper_module
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.tasks import ScalarTask

SPEC = CropSpec(16)


@pytest.fixture
def folder(tmp_path: Path, tiny_photos, own_cache: Path) -> Path:
    tiny_photos(tmp_path / "photos", 5)
    return tmp_path / "photos"


def build(folder: Path, names: list[str]) -> Manifest:
    frame = pd.DataFrame({"image": names, "age": range(len(names))})
    return build_manifest(Source("mine", folder), frame, [ScalarTask("age", 0.0, 100.0, 1.0)])


def whole(folder: Path) -> Manifest:
    return build(folder, [f"{i}.png" for i in range(5)])


def with_bad(folder: Path) -> Manifest:
    (folder / "bad.jpg").write_text("no photo")
    return build(folder, ["0.png", "bad.jpg", "1.png", "2.png"])


def all_of(crops: Crops) -> np.ndarray:
    return crops.take(np.arange(len(crops)))


def stored(cache: Path) -> list[Path]:
    return sorted((cache / "crops").glob("*.npy"))


@pytest.mark.parametrize("cache", ["memory", "disk", "none", "auto"])
def test_every_cache_gives_the_photos_own_crops(folder: Path, cache: str) -> None:
    crops, manifest = load_crops(whole(folder), SPEC, cache)
    assert len(crops) == len(manifest) == 5
    # tiny_photos: every pixel of photo i is (i, 2 i, 255 - i).
    expected = np.stack([np.full((16, 16, 3), (i, 2 * i, 255 - i)) for i in range(5)])
    np.testing.assert_array_equal(all_of(crops), expected)
    np.testing.assert_array_equal(crops.take(np.array([3, 0, 3])), expected[[3, 0, 3]])


def test_the_disk_cache_is_read_again_instead_of_the_photos(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = load_crops(whole(folder), SPEC, "disk")
    [path] = stored(own_cache)
    before, expected = path.stat().st_ino, all_of(first)

    def forbidden(path: Path) -> np.ndarray:
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(cropper_module, "read_photo", forbidden)
    second, _ = load_crops(whole(folder), SPEC, "disk")
    np.testing.assert_array_equal(all_of(second), expected)
    assert stored(own_cache) == [path]
    assert path.stat().st_ino == before


def test_a_changed_photo_or_another_spec_is_decoded_again(folder: Path, own_cache: Path) -> None:
    load_crops(whole(folder), SPEC, "disk")
    load_crops(whole(folder), CropSpec(16, method="whole_photo"), "disk")
    assert len(stored(own_cache)) == 2
    (folder / "0.png").write_bytes((folder / "4.png").read_bytes())
    crops, _ = load_crops(whole(folder), SPEC, "disk")
    assert (crops.take(np.array([0])) == (4, 8, 251)).all()
    assert len(stored(own_cache)) == 3


def test_crops_of_another_decoder_are_made_again(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_crops(whole(folder), SPEC, "disk")
    monkeypatch.setattr(crops_module, "DECODER", 1)
    load_crops(whole(folder), SPEC, "disk")
    assert len(stored(own_cache)) == 2


def test_an_interrupted_cache_is_not_taken_for_whole(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = whole(folder)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_crops(manifest, SPEC, "disk", progress=killed)
    assert not [path for path in stored(own_cache) if not path.name.startswith(".")]
    crops, _ = load_crops(manifest, SPEC, "disk")
    assert (crops.take(np.array([4])) == (4, 8, 251)).all()


EMPTY = 0


@pytest.mark.parametrize("length", [EMPTY, 40, 1000])
def test_a_cache_file_that_was_cut_is_not_taken_for_whole(folder: Path, own_cache: Path, length: int) -> None:
    expected = all_of(load_crops(whole(folder), SPEC, "disk")[0])
    [path] = stored(own_cache)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:length])
    np.testing.assert_array_equal(all_of(load_crops(whole(folder), SPEC, "disk")[0]), expected)
    assert path.stat().st_size == len(content)


@pytest.mark.parametrize("text", ["[]", "5", "null", '{"x": "y"}', '{"999": "y"}', "[" * 100_000])
def test_a_cache_whose_list_of_bad_photos_is_damaged_is_not_taken_for_whole(
    folder: Path, own_cache: Path, text: str
) -> None:
    expected = all_of(load_crops(whole(folder), SPEC, "disk")[0])
    listed = stored(own_cache)[0].with_suffix(".json")
    content = listed.read_bytes()
    listed.write_text(text)
    np.testing.assert_array_equal(all_of(load_crops(whole(folder), SPEC, "disk")[0]), expected)
    assert listed.read_bytes() == content


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_bad_photos_are_put_aside_and_rows_stay_aligned(folder: Path, own_cache: Path, cache: str) -> None:
    crops, manifest = load_crops(with_bad(folder), SPEC, cache, max_bad_share=0.25)
    assert manifest.rows["image"].tolist() == ["0.png", "1.png", "2.png"]
    assert manifest.rows["age"].tolist() == [0, 2, 3]
    assert crops.paths == manifest.paths()
    np.testing.assert_array_equal(all_of(crops)[:, 0, 0, 0], [0, 1, 2])
    assert manifest.quarantine["image"].tolist() == ["bad.jpg"]
    assert "not a photo" in manifest.quarantine["reason"][0]
    # A second time nothing stale is found.
    again, _ = load_crops(with_bad(folder), SPEC, cache, max_bad_share=0.25)
    np.testing.assert_array_equal(all_of(again), all_of(crops))


def test_more_bad_photos_than_allowed_are_refused_in_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 4 .* more than the allowed 24.0%.*bad\.jpg.*max_bad_share") as error:
        load_crops(with_bad(folder), SPEC, "memory", max_bad_share=0.24)
    assert "\n" not in str(error.value)


def test_refused_data_is_decoded_once_and_leaves_no_half_file(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = with_bad(folder)
    with pytest.raises(DataError):
        load_crops(manifest, SPEC, "disk", max_bad_share=0.0)
    assert sorted(p.suffix for p in (own_cache / "crops").iterdir()) == [".json", ".npy"]
    monkeypatch.setattr(cropper_module, "read_photo", lambda path: pytest.fail(f"{path} is decoded again"))
    with pytest.raises(DataError, match="1 of 4"):
        load_crops(manifest, SPEC, "disk", max_bad_share=0.0)
    kept, _ = load_crops(manifest, SPEC, "disk", max_bad_share=0.25)
    assert len(kept) == 3


def test_an_interrupted_decoding_leaves_nothing(folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cropper_module, "read_photo", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_crops(with_bad(folder), SPEC, "disk")
    assert list((own_cache / "crops").iterdir()) == []


def test_progress_ends_with_all_photos(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops_module, "CHUNK", 2)
    calls: list[tuple[int, int]] = []
    load_crops(whole(folder), SPEC, "none", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_auto_takes_the_disk_when_memory_is_short(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 5 * 16 * 16 * 3
    monkeypatch.setattr(crops_module, "usable_memory", lambda: 4 * size + 4)
    assert not isinstance(load_crops(whole(folder), SPEC, "auto")[0].pixels, np.memmap)
    monkeypatch.setattr(crops_module, "usable_memory", lambda: 4 * size)
    assert isinstance(load_crops(whole(folder), SPEC, "auto")[0].pixels, np.memmap)


def test_a_cache_folder_that_cannot_be_made_is_said_with_the_mend(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot write .* set KERAS_FACEATTR_CACHE or data.cache=none"):
        load_crops(whole(folder), SPEC, "disk")


def test_an_unknown_cache_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown cache 'ram'"):
        load_crops(whole(folder), SPEC, "ram")


def test_a_stream_gives_crops_and_reasons_in_order(folder: Path) -> None:
    manifest = with_bad(folder)
    first, bad, *rest = each(manifest.paths(), Cropper(SPEC).crop)
    assert (first == (0, 0, 255)).all()
    assert isinstance(bad, str)
    assert "bad.jpg" in bad
    assert [crop[0, 0, 0] for crop in rest] == [1, 2]


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_lack_of_memory_puts_no_photo_aside_and_a_second_run_reads_it(
    folder: Path, own_cache: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = Cropper.crop

    def short_of_memory(cropper: Cropper, path: Path, ready: bool = False) -> np.ndarray:
        if path.name == "3.png":
            raise MemoryError
        return crop(cropper, path, ready)

    monkeypatch.setattr(Cropper, "crop", short_of_memory)
    with pytest.raises(ResourceError, match="3.png: out of memory; .*run it again"):
        load_crops(whole(folder), SPEC, cache, max_bad_share=1)
    monkeypatch.undo()
    crops, manifest = load_crops(whole(folder), SPEC, cache)
    assert len(crops) == 5 and not len(manifest.quarantine)


def test_a_photo_that_vanished_is_named_when_it_is_asked_for(folder: Path) -> None:
    crops, _ = load_crops(whole(folder), SPEC, "none")
    (folder / "3.png").unlink()
    with pytest.raises(PhotoError, match=r"3\.png"):
        crops.take(np.array([3]))
