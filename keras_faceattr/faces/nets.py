"""The three nets of MTCNN as `.tflite` files: converted once, kept in the cache, run without TensorFlow.

Source: Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks,
2016, figure 2. The weights are those of the `mtcnn` package (MIT).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.cache import hold_for_good
from keras_faceattr.errors import DetectionError
from keras_faceattr.faces.pyramid import WINDOW, Layout, barrier, plan_layout
from keras_faceattr.failures import child_failure
from keras_faceattr.storage import cache_folder, replacing, sha256, write_json

WINDOWS = {"pnet": WINDOW, "rnet": 24, "onet": 48}
"""Side of the square window that each net looks at, in pixels."""

REVISION = 3
"""Another number builds the nets anew."""


@dataclass(frozen=True)
class Fixed:
    """Shapes for runtimes that cannot resize an input.

    Attributes:
        photo: height and width in pixels.
        min_face: side of the smallest face in pixels.
        factor: between the sizes in which the photo is searched.
        windows: that R-Net and O-Net look at in one call.
    """

    photo: tuple[int, int]
    min_face: int
    factor: float
    windows: tuple[int, int]

    def layout(self) -> Layout:
        """Return the places of the photo's sizes on P-Net's canvas."""
        return plan_layout(*self.photo, self.min_face, self.factor)


def net_files(fixed: Fixed | None = None) -> dict[str, Path]:
    """The three files in the cache; the first call builds them in a child process, within half a minute.

    Each takes float32 RGB pixels from 0 to 255 and gives `score` (probabilities of no face and of a face), `offsets`
    (left, top, right, bottom of the face against the window, as shares of its side), and O-Net `points` (x, y of the
    five points in the window, as shares of its side; see `faces.POINTS`).
    P-Net looks at a whole canvas (see `pyramid`) and gives maps, a cell for every second pixel; its `score` are two
    logarithms of odds, whose softmax are the probabilities.

    Args:
        fixed: shapes in the files, with P-Net's barrier inside; None for files whose inputs are resized, batch 1 as
            they come, where the barrier is P-Net's second input.

    Raises:
        DetectionError: the package `mtcnn` or TensorFlow is missing, or the nets cannot be built.
        RunError: the cache cannot be written.
    """
    key = hashlib.sha256(repr((detector_version(), fixed)).encode()).hexdigest()[:16]
    folder = cache_folder() / "mtcnn" / key
    files = {name: folder / f"{name}.tflite" for name in WINDOWS}
    if not _whole(folder, files):
        with tempfile.TemporaryDirectory() as built:
            _build_in_child(fixed, Path(built))
            for name, path in files.items():
                with replacing(path) as temporary:
                    temporary.write_bytes((Path(built) / f"{name}.tflite").read_bytes())
        # Last, because it says that the files are whole.
        write_json(folder / "sha256.json", {name: sha256(path) for name, path in files.items()})
    hold_for_good(folder)
    return files


def _whole(folder: Path, files: dict[str, Path]) -> bool:
    try:
        hashes = json.loads((folder / "sha256.json").read_text(encoding="utf-8"))
        return bool(hashes == {name: sha256(path) for name, path in files.items()})
    except (OSError, ValueError):
        return False


def detector_version() -> str:
    """Version of weights and nets: another one may find other faces."""
    return f"{weights_version()}-{REVISION}"


def weights_version() -> str:
    """Version of the package that the weights come from.

    Raises:
        DetectionError: it is not installed.
    """
    try:
        return metadata.version("mtcnn")
    except metadata.PackageNotFoundError:
        raise DetectionError(
            "finding faces needs the weights of the package mtcnn: pip install mtcnn; or choose a crop without faces, "
            "such as data.crop.method=centre_square"
        ) from None


def _build_in_child(fixed: Fixed | None, folder: Path) -> None:
    """Leaves this process free of TensorFlow and its memory."""
    plain = json.dumps(dataclasses.asdict(fixed) if fixed else None)
    child = subprocess.run(
        [sys.executable, "-m", "keras_faceattr.faces.nets", str(folder), plain],
        # The graphics card may be training, and only TensorFlow's Keras can convert.
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if child.returncode:
        reason = child_failure(child.returncode, child.stderr)
        raise DetectionError(f"the nets of MTCNN, which TensorFlow builds once, cannot be built: {reason}")


TRUNKS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "pnet": (("conv", 3, "VALID"), ("pool", 2, "SAME"), ("conv", 3, "VALID"), ("conv", 3, "VALID")),
    "rnet": (
        ("conv", 3, "VALID"), ("pool", 3, "SAME"), ("conv", 3, "VALID"), ("pool", 3, "VALID"), ("conv", 2, "VALID"),
        ("dense", 0, ""),
    ),
    "onet": (
        ("conv", 3, "VALID"), ("pool", 3, "SAME"), ("conv", 3, "VALID"), ("pool", 3, "VALID"), ("conv", 3, "VALID"),
        ("pool", 2, "SAME"), ("conv", 2, "VALID"), ("dense", 0, ""),
    ),
}  # fmt: skip
"""Kind, side and padding of the layers below the outputs; a PReLU follows each convolution and dense layer."""

OUTPUTS = {"pnet": ("offsets", "score"), "rnet": ("offsets", "score"), "onet": ("offsets", "points", "score")}


def _build(folder: Path, fixed: Fixed | None) -> None:
    """Converts the nets; runs in a child process, whose output nobody sees."""
    import tensorflow as tf

    for name, inputs in _inputs(fixed).items():
        wall = barrier(fixed.layout()) if fixed and name == "pnet" else None
        module = tf.Module()
        module.predict = tf.function(_net(name, wall), input_signature=inputs)
        with tempfile.TemporaryDirectory() as saved:
            tf.saved_model.save(module, saved, signatures=module.predict)
            converter = tf.lite.TFLiteConverter.from_saved_model(saved)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            (folder / f"{name}.tflite").write_bytes(converter.convert())


def _inputs(fixed: Fixed | None) -> dict[str, list[Any]]:
    import tensorflow as tf

    height, width = (fixed.layout().height, fixed.layout().width) if fixed else (WINDOW, WINDOW)
    batches = fixed.windows if fixed else (1, 1)
    inputs = {"pnet": [tf.TensorSpec((1, height, width, 3), tf.float32, name="pixels")]}
    if not fixed:
        inputs["pnet"].append(tf.TensorSpec((1, height - 2, width - 2, 1), tf.float32, name="wall"))
    for name, batch in zip(("rnet", "onet"), batches, strict=True):
        inputs[name] = [tf.TensorSpec((batch, WINDOWS[name], WINDOWS[name], 3), tf.float32, name="pixels")]
    return inputs


def _net(name: str, constant_wall: np.ndarray | None) -> Callable[..., dict[str, Any]]:
    """Function of pixels with the weights as constants: variables would stay variables in the file."""
    import tensorflow as tf

    def predict(pixels: Any, wall: Any = None) -> dict[str, Any]:
        weights = iter(_weights(name))
        wall = constant_wall if wall is None else wall
        x = pixels
        for kind, side, padding in TRUNKS[name]:
            if kind == "pool":
                x = tf.nn.max_pool2d(x, side, 2, padding)
                continue
            if kind == "dense":
                # The weights expect the map column by column.
                x = tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (-1, math.prod(x.shape[1:])))
            x = _linear(x, next(weights), next(weights))
            # In the form that the converter knows as PReLU.
            x = tf.nn.relu(x) + -next(weights) * tf.nn.relu(-x)
            if wall is not None:
                x, wall = x + wall, None
        outputs = {output: _linear(x, next(weights), next(weights)) for output in OUTPUTS[name]}
        if name != "pnet":
            outputs["score"] = tf.nn.softmax(outputs["score"])
        return outputs

    return predict


def _linear(x: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    import tensorflow as tf

    return (tf.nn.conv2d(x, kernel, 1, "VALID") if kernel.ndim == 4 else x @ kernel) + bias


def _weights(name: str) -> list[np.ndarray]:
    """Weights of one net, for pixels from 0 to 255, and with x and y of a point next to each other."""
    import joblib

    # The package is not imported: that would import TensorFlow's Keras for its own nets.
    package = importlib.util.find_spec("mtcnn")
    assert package is not None and package.submodule_search_locations is not None
    weights = joblib.load(Path(package.submodule_search_locations[0]) / "assets" / "weights" / f"{name}.lz4")
    # The nets were trained on (pixel − 127.5) / 128. Nothing is padded before the first convolution, so this is exact.
    weights[1] = weights[1] - 127.5 / 128 * weights[0].sum(axis=(0, 1, 2))
    weights[0] = weights[0] / 128
    if name == "pnet":
        # Ten channels are no multiple of a vector's length: six more of zeros make the net a quarter faster.
        for index, axis in ((0, 3), (1, 0), (2, 2), (3, 2)):
            spare = np.zeros((weights[index].ndim, 2), int)
            spare[axis, 1] = 6
            weights[index] = np.pad(weights[index], spare)
    if "points" in OUTPUTS[name]:
        order = np.arange(10).reshape(2, 5).T.ravel()
        weights[-4:-2] = [weight[..., order] for weight in weights[-4:-2]]
    return list(weights)


if __name__ == "__main__":
    _build(Path(sys.argv[1]), Fixed(**given) if (given := json.loads(sys.argv[2])) else None)
