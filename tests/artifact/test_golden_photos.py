"""Golden photos: a port that starts from a whole photo can check every step up to the crop."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from small import Quiet, untrained_run

from keras_faceattr.artifact.loading import Artifact, replay_golden
from keras_faceattr.convert.export import export_recipe
from keras_faceattr.convert.recipe import load_recipe
from keras_faceattr.convert.source import read_source
from keras_faceattr.faces.affine import moved_points, warp
from keras_faceattr.faces.cutting import Cropper
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.run import Run

SIZE = 32
TEMPLATE = np.array([[38.38, 51.6], [73.62, 51.6], [56.0, 71.74], [41.41, 92.29], [70.59, 92.29]])
"""Where eyes, nose and mouth lie in a crop of 112 pixels without a margin."""


@pytest.fixture(scope="module", params=["five_points", "centre_square"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp(request.param)
    data = {
        "sources": [{"reader": "synthetic", "options": {"count": 20, "size": 96}}],
        "crop": {"method": request.param, "size": SIZE, "margin": 0.1},
        "max_bad_share": 0.5,
    }
    config = {"name": "own", "data": data, "tasks": {"age": {}}, "evaluation": {"bootstrap_samples": 0}}
    run = untrained_run(folder / "run", config, ("train", "val", "test"))
    source = read_source(Run(run), [], {}, Quiet())
    return export_recipe(source, load_recipe("float32"), folder / "float32", Quiet())


@pytest.fixture
def golden(artifact: Artifact) -> dict[str, dict[str, Any]]:
    return dict(json.loads((artifact.golden_folder / "photos.json").read_text(encoding="utf-8")))


def needs_face(artifact: Artifact) -> bool:
    return artifact.sidecar.crop_spec().needs_face


def test_each_golden_crop_has_its_whole_photo(artifact: Artifact, golden: dict[str, dict[str, Any]]) -> None:
    expected = json.loads((artifact.golden_folder / "expected.json").read_text(encoding="utf-8"))
    assert sorted(entry["crop"] for entry in golden.values()) == sorted(expected)
    assert len(golden) == 6
    for name, entry in golden.items():
        photo, crop = read_photo(artifact.golden_folder / name), read_photo(artifact.golden_folder / entry["crop"])
        assert min(photo.shape[:2]) > SIZE and crop.shape == (SIZE, SIZE, 3)
        assert np.shape(entry["matrix"]) == (2, 3)
        assert (entry["face"] is not None) == needs_face(artifact)
    assert len({read_photo(artifact.golden_folder / name).tobytes() for name in golden}) == 6
    assert max(replay_golden(artifact).values()) <= 1


def test_the_sidecars_crop_cuts_each_photo_to_its_golden_crop(
    artifact: Artifact, golden: dict[str, dict[str, Any]]
) -> None:
    cropper = Cropper(artifact.sidecar.crop_spec())
    for name, entry in golden.items():
        found = cropper.cut(read_photo(artifact.golden_folder / name))[0]
        np.testing.assert_array_equal(found.pixels, read_photo(artifact.golden_folder / entry["crop"]))
        np.testing.assert_allclose(found.matrix, entry["matrix"], atol=1e-6)
        if entry["face"]:
            np.testing.assert_allclose(np.asarray(found.box), entry["face"]["box"], atol=1e-3)
            np.testing.assert_allclose(np.asarray(found.points), entry["face"]["points"], atol=1e-3)
            assert found.score == pytest.approx(entry["face"]["score"])


def test_the_map_brings_the_points_to_the_template_or_the_square_to_the_crop(
    artifact: Artifact, golden: dict[str, dict[str, Any]]
) -> None:
    for name, entry in golden.items():
        matrix = np.array(entry["matrix"])
        if entry["face"]:
            wanted = (TEMPLATE / 112 + 0.1) / 1.2 * SIZE - 0.5
            landed = moved_points(np.array(entry["face"]["points"]), matrix)
            # A turn, a scale and a shift meet the middle of five points, and come near to each.
            np.testing.assert_allclose(landed.mean(axis=0), wanted.mean(axis=0), atol=0.01)
            assert np.abs(landed - wanted).max() < 0.1 * SIZE
            a, b = matrix[0, :2]
            np.testing.assert_allclose(matrix[1, :2], [-b, a])
        else:
            height, width = read_photo(artifact.golden_folder / name).shape[:2]
            side = min(height, width)
            corner = np.array([(width - side) // 2, (height - side) // 2])
            corners = np.array([corner, corner + side]) - 0.5
            np.testing.assert_allclose(moved_points(corners, matrix), [[-0.5] * 2, [SIZE - 0.5] * 2], atol=1e-4)


def test_the_map_alone_gives_the_crop(artifact: Artifact, golden: dict[str, dict[str, Any]]) -> None:
    for name, entry in golden.items():
        photo = read_photo(artifact.golden_folder / name)
        crop = read_photo(artifact.golden_folder / entry["crop"]).astype(int)
        gap = np.abs(warp(photo, np.array(entry["matrix"]), SIZE, "area") - crop)
        # Squares are resized by areas of their own, which is a little sharper than the map's blocks.
        assert gap.mean() < (0.5 if needs_face(artifact) else 6), name
