"""The artifact: file, sidecar and golden crops belong together, and every change is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from keras_faceattr.artifact.loading import Artifact, is_artifact, load_artifact, replay_golden
from keras_faceattr.errors import ArtifactError, FaceAttrError
from keras_faceattr.storage import sha256


@pytest.fixture(params=["float32", "int8_qat", "int8_full"])
def copied(request: pytest.FixtureRequest, exported: dict[str, Artifact], tmp_path: Path) -> Artifact:
    """A copy that may be changed."""
    folder = tmp_path / "artifact"
    shutil.copytree(exported[request.param].path.parent, folder, ignore=shutil.ignore_patterns("qat"))
    return load_artifact(folder / exported[request.param].path.name)


def change_expected(artifact: Artifact, change: Callable[[dict[str, Any]], None]) -> None:
    path = artifact.golden_folder / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8"))
    change(expected)
    path.write_text(json.dumps(expected), encoding="utf-8")


def test_what_is_a_file_and_what_a_run_is_told_by_the_suffix() -> None:
    assert is_artifact(Path("a/b.tflite"))
    assert not is_artifact(Path("a/b")) and not is_artifact(Path("runs/tflite"))


def test_the_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_artifact_may_be_moved_as_a_whole(copied: Artifact) -> None:
    assert copied.sidecar.file.name == copied.path.name
    assert copied.model_card_path.is_file() and copied.differences_path.is_file()


def test_every_golden_crop_is_reproduced(copied: Artifact) -> None:
    found = replay_golden(copied)
    assert sorted(found) == [f"{i}.png" for i in range(6)]
    assert max(found.values()) <= 1


def test_golden_crops_are_inputs_as_they_are_and_differ(copied: Artifact) -> None:
    crops = [cv2.imread(str(copied.golden_folder / f"{i}.png")) for i in range(6)]
    assert {crop.shape for crop in crops} == {(32, 32, 3)}
    assert len({crop.tobytes() for crop in crops}) == 6
    expected = json.loads((copied.golden_folder / "expected.json").read_text(encoding="utf-8"))
    assert all(row.keys() == copied.sidecar.outputs.keys() for row in expected.values())


def test_the_expected_numbers_are_those_of_the_pixels_in_rgb(copied: Artifact) -> None:
    expected = json.loads((copied.golden_folder / "expected.json").read_text(encoding="utf-8"))
    pixels = np.stack([cv2.imread(str(copied.golden_folder / name))[..., ::-1] for name in expected])
    got = copied.model().predict(pixels.astype("float32"))
    for i, row in enumerate(expected.values()):
        for name, values in row.items():
            np.testing.assert_allclose(got[name][i], values, atol=copied.sidecar.outputs[name].scale or 1e-4)


def test_a_changed_expected_number_is_noticed(copied: Artifact) -> None:
    step = copied.sidecar.outputs["age"].scale or 1e-4

    def change(expected: dict[str, Any]) -> None:
        expected["2.png"]["age"] += 3 * step

    change_expected(copied, change)
    found = replay_golden(copied)
    assert [name for name, value in found.items() if value > 1] == ["2.png"]


def test_an_expected_number_that_is_none_is_noticed(copied: Artifact) -> None:
    def change(expected: dict[str, Any]) -> None:
        expected["0.png"]["age"] = float("nan")

    change_expected(copied, change)
    found = replay_golden(copied)
    assert [name for name, value in found.items() if not value <= 1] == ["0.png"]


def test_changed_pixels_are_noticed(copied: Artifact) -> None:
    path = copied.golden_folder / "4.png"
    pixels = cv2.imread(str(path))
    cv2.imwrite(str(path), 255 - pixels)
    found = replay_golden(copied)
    assert [name for name, value in found.items() if value > 1] == ["4.png"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / "expected.json").unlink(),
        lambda folder: (folder / "expected.json").write_text("{"),
        lambda folder: (folder / "expected.json").write_text("{}"),
        lambda folder: (folder / "expected.json").write_text("[1]"),
        lambda folder: (folder / "expected.json").write_text('{"0.png": {"smile": 1}}'),
        lambda folder: (folder / "expected.json").write_text('{"0.png": {"age": "a"}}'),
        lambda folder: (folder / "expected.json").write_text('{"0.png": {"age_distribution": [1, 2]}}'),
        lambda folder: (folder / "0.png").unlink(),
        lambda folder: (folder / "0.png").write_bytes(b"no picture"),
        lambda folder: cv2.imwrite(str(folder / "0.png"), np.zeros((20, 20, 3), np.uint8)),
    ],
)
def test_missing_or_damaged_golden_crops_are_one_line(
    exported: dict[str, Artifact], tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    shutil.copytree(exported["float32"].path.parent, tmp_path / "artifact")
    artifact = load_artifact(tmp_path / "artifact" / exported["float32"].path.name)
    damage(artifact.golden_folder)
    with pytest.raises(FaceAttrError) as error:
        replay_golden(artifact)
    assert "golden" in str(error.value) and "\n" not in str(error.value)


def test_a_file_without_its_sidecar_or_not_there_is_refused(copied: Artifact) -> None:
    copied.path.with_suffix(".json").unlink()
    with pytest.raises(ArtifactError, match=r"no sidecar .*\.json: export writes it next to the file"):
        load_artifact(copied.path)
    copied.path.unlink()
    with pytest.raises(ArtifactError, match="no file"):
        load_artifact(copied.path)
    with pytest.raises(ArtifactError, match="no file"):
        load_artifact(copied.path.parent)


def test_a_changed_byte_or_an_exchanged_file_is_refused(copied: Artifact, exported: dict[str, Artifact]) -> None:
    content = bytearray(copied.path.read_bytes())
    content[len(content) // 2] ^= 1
    other = next(a for a in exported.values() if a.sidecar.recipe != copied.sidecar.recipe)
    for wrong in (bytes(content), content[:1000], other.path.read_bytes(), b""):
        copied.path.write_bytes(wrong)
        with pytest.raises(ArtifactError, match="is not the file that .*json describes") as error:
            load_artifact(copied.path)
        assert "\n" not in str(error.value)
