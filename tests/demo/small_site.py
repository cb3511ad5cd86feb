"""A page of three files, a stand-in for LiteRT.js and the detector, and artifacts that nobody has to train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hand_made
import pytest

from keras_faceattr.demo import bundle
from keras_faceattr.faces.detector_spec import DetectorSpec

PAGE = {
    "index.html": "<!doctype html><title>demo</title>",
    "sw.js": "// worker",
    "app/main.js": "export {};",
    "__init__.py": "",
    "README.md": "for people",
    "android/README.md": "for people",
    "__pycache__/a.pyc": "",
    "vendor/litert/old.js": "of an older version",
    ".hidden": "",
}

MakeArtifact = Callable[..., Path]
Built = list[tuple[tuple[int, int], DetectorSpec, tuple[int, int]]]
"""Photo, spec and windows of each detector that was built."""


def write_files(folder: Path, files: dict[str, str]) -> Path:
    """Writes texts by their path in a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def detectors(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """The page's sources without download or TensorFlow; gives the detectors that were built."""
    web = write_files(tmp_path / "web", PAGE)
    runtime = {"core.js": "core", "wasm/a.wasm": "wasm"}
    litert = write_files(tmp_path / "litert", {**runtime, "LICENSE": "Apache", "more.js": "not ours"})
    built: Built = []

    def export_detector(folder: Path, photo: tuple[int, int], spec: DetectorSpec, windows: tuple[int, int]) -> Path:
        built.append((photo, spec, windows))
        text = f"net {photo} {spec} {windows}"
        nets = {"pnet": {"file": "pnet.tflite", "sha256": hashlib.sha256(text.encode()).hexdigest()}}
        files = {"pnet.tflite": text, "detector.json": json.dumps({"nets": nets}), "golden/0.png": "photo"}
        return write_files(folder, files) / "detector.json"

    monkeypatch.setattr(bundle, "web_folder", lambda: web)
    monkeypatch.setattr(bundle, "litert_folder", lambda: litert)
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in runtime.items()}
    monkeypatch.setattr(bundle, "SHA256", hashes)
    monkeypatch.setattr(bundle, "export_detector", export_detector)
    return built


@pytest.fixture
def make_artifact(tmp_path: Path) -> MakeArtifact:
    """Writes an artifact whose file is made by hand, and no two of which are alike."""

    def make(path: str = "export/int8/a.tflite", *, batch: int = 1, name: str = "net", **crop: Any) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(hand_made.model(side=64, batch=batch, description=path))
        sidecar = {**hand_made.sidecar(target, recipe="int8_qat", **crop), "name": name}
        golden = {"golden/expected.json": "{}", "golden/0.png": "crop", "golden/photos/0.png": "photo"}
        texts = {target.with_suffix(".json").name: json.dumps(sidecar), "golden/photos.json": "{}", **golden}
        write_files(target.parent, texts)
        return target

    return make
