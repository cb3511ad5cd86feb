"""A page of three files, a stand-in for LiteRT.js and the detector, and artifacts that nobody has to train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    """Writes an artifact whose bytes are no net, as building a site reads none."""
    from keras_faceattr.config_files import load_experiment

    experiment = load_experiment("quickstart", [], {}).model_dump(mode="json")

    def make(path: str = "export/int8/a.tflite", *, batch: int = 1, name: str = "net", **crop: Any) -> Path:
        target = tmp_path / path
        write_files(target.parent, {target.name: f"net {path}"})
        sidecar = {
            "name": name, "recipe": "int8_qat", "status": "passed", "gates": [], "model": "tiny_att_net",
            "file": {"name": target.name, "bytes": 1, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()},
            "input": {"name": "pixels", "shape": [batch, 64, 64, 3], "dtype": "uint8"}, "outputs": {}, "tasks": {},
            "crop": crop, "quantization": {}, "metrics": {}, "protocol": {}, "parity": {}, "operations": {},
            "cost": dict.fromkeys(("parameters", "macs", "file_bytes", "weight_bytes", "peak_activation_bytes"), 1),
            "licences": {}, "training": {}, "notices": [], "versions": {}, "experiment": experiment,
        }  # fmt: skip
        golden = {"golden/expected.json": "{}", "golden/0.png": "crop", "golden/photos/0.png": "photo"}
        texts = {target.with_suffix(".json").name: json.dumps(sidecar), "golden/photos.json": "{}", **golden}
        write_files(target.parent, texts)
        return target

    return make
