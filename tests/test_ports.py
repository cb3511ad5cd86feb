"""The code of the guide "The file in your app" gives the package's own crops and numbers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doc_blocks import ROOT, blocks

from keras_faceattr.artifact.loading import Artifact, load_artifact
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.photos import read_photo

FILE = ROOT / "export/zoo/faces/int8/faces_int8_ptq.tflite"
GOLDEN = FILE.parent / "golden"


def code(language: str, number: int = 0) -> str:
    return [block.code for block in blocks() if block.page.endswith("file-in-your-app.md") and block.kind == language][
        number
    ]


RUN = [code("python"), code("python", 1), code("cpp")]
"""Blocks of the page that tests run."""


@pytest.fixture(scope="module")
def port() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code("python"), "file-in-your-app.md", "exec"), names)
    return names


def photos() -> list[tuple[str, dict[str, Any]]]:
    return list(json.loads((GOLDEN / "photos.json").read_text()).items())


def test_the_python_port_gives_the_package_s_answers_from_photo_to_number(port: dict[str, Any]) -> None:
    mine, package = port["Model"](FILE), load_artifact(FILE)
    spec, runtime = package.sidecar.crop_spec(), package.model(1)
    for name, about in photos():
        points = np.array(about["face"]["points"])
        photo = read_photo(GOLDEN / name)
        crop = port["cut"](
            port["read_rgb"](GOLDEN / name), port["matrix_of_points"](points, spec.to_dict()), spec.to_dict()
        )
        matrix = spec.matrix(photo.shape, points=points)
        np.testing.assert_array_equal(crop, spec.warp(photo, matrix))
        expected = runtime.predict(crop[np.newaxis])
        found = mine.predict(crop)
        assert set(found) == set(expected)
        for output, values in found.items():
            np.testing.assert_array_equal(values, expected[output][0])


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "cubic"])
@pytest.mark.parametrize("method", ["five_points", "face_box", "centre_square", "whole_photo"])
def test_the_python_port_cuts_every_kind_of_crop(port: dict[str, Any], method: str, interpolation: str) -> None:
    # 90 × 130 pixels that shrink by two and more, with a face that reaches beyond them.
    photo = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    spec = CropSpec(size=32, method=method, interpolation=interpolation, margin=0.2)
    box, points = np.array([20.0, -5, 110, 95]), np.array([[40.0, 30], [85, 35], [60, 50], [42, 70], [80, 74]])
    about = spec.to_dict()
    if method == "five_points":
        crop = port["cut"](photo, port["matrix_of_points"](points, about), about)
    elif method == "face_box":
        crop = port["cut"](photo, port["matrix_of_box"](box, about), about)
    else:
        np.testing.assert_array_equal(port["cut_without_face"](photo, about), spec.apply(photo))
        return
    np.testing.assert_array_equal(crop, spec.warp(photo, spec.matrix(photo.shape, box, points)))


@pytest.mark.parametrize("recipe", ["float32", "int8_full"])
def test_the_python_port_reads_float_and_integer_outputs(
    port: dict[str, Any], exported: dict[str, Artifact], recipe: str
) -> None:
    artifact = exported[recipe]
    mine = port["Model"](artifact.path)
    for name, expected in json.loads((artifact.golden_folder / "expected.json").read_text()).items():
        found = mine.predict(port["read_rgb"](artifact.golden_folder / name))
        for output, values in expected.items():
            # Half a step of an integer output, or the golden crops' own tolerance.
            tolerance = (artifact.sidecar.outputs[output].scale or 2e-4) / 2
            np.testing.assert_allclose(found[output], values, atol=tolerance)


def test_the_guide_s_example_prints_an_age(
    port: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code("python", 1), "file-in-your-app.md", "exec"), dict(port))
    assert re.fullmatch(r"[\d.]+ years\n", capsys.readouterr().out)


MAIN = r"""
#include <cstdio>
#include <cstdlib>
#include <cstring>
// Words: width, height, size, margin, then ten coordinates; the photo's bytes on stdin, matrix and crop on stdout.
int main(int, char** words) {
  Image photo{std::atoi(words[1]), std::atoi(words[2]), {}};
  photo.rgb.resize(3 * photo.width * photo.height);
  if (std::fread(photo.rgb.data(), 1, photo.rgb.size(), stdin) != photo.rgb.size()) return 1;
  double points[5][2];
  for (int i = 0; i < 10; i++) points[i / 2][i % 2] = std::atof(words[5 + i]);
  const int size = std::atoi(words[3]);
  const Matrix m = MatrixOfPoints(points, size, std::atof(words[4]));
  const double numbers[6] = {m.a, m.b, m.c, m.d, m.e, m.f};
  std::fwrite(numbers, sizeof(double), 6, stdout);
  const Image crop = Cut(photo, m, size, true);
  std::fwrite(crop.rgb.data(), 1, crop.rgb.size(), stdout);
}
"""


@pytest.mark.slow
def test_the_cpp_port_cuts_the_golden_crops(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler: install g++")
    (tmp_path / "port.cpp").write_text(code("cpp") + MAIN, encoding="utf-8")
    command = [compiler, "-std=c++17", "-O1", "-Wall", "-Werror", "-o", tmp_path / "port", tmp_path / "port.cpp"]
    subprocess.run(command, check=True)
    spec = load_artifact(FILE).sidecar.crop_spec()
    for name, about in photos():
        # As it is, and six times as large, so that blocks are averaged.
        for enlarged in (1, 6):
            photo = np.repeat(np.repeat(read_photo(GOLDEN / name), enlarged, axis=0), enlarged, axis=1)
            points = np.array(about["face"]["points"]) * enlarged + (enlarged - 1) / 2
            words = [photo.shape[1], photo.shape[0], spec.size, spec.margin, *points.ravel()]
            done = subprocess.run(
                [tmp_path / "port", *map(str, words)], input=photo.tobytes(), capture_output=True, check=True
            )
            matrix = np.frombuffer(done.stdout[:48]).reshape(2, 3)
            crop = np.frombuffer(done.stdout[48:], np.uint8).reshape(spec.size, spec.size, 3)
            expected = spec.matrix(photo.shape, points=points)
            np.testing.assert_allclose(matrix, expected, atol=1e-9)
            gap = np.abs(crop.astype(int) - spec.warp(photo, expected))
            assert gap.max() <= 1
