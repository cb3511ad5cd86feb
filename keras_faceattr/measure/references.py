"""Well-known nets to compare a model's speed with: built once, kept in the cache, run in the same benchmark."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.budget.limits import REFERENCE_NETS
from keras_faceattr.cache import hold
from keras_faceattr.errors import ArtifactError, BenchmarkError, ConfigError, nearest
from keras_faceattr.failures import child_failure
from keras_faceattr.storage import cache_folder, replacing, temporary_prefix

PRECISIONS = ("float32", "int8")
MIN_SIDE, MAX_SIDE = 32, 1024
PHOTOS = 4
"""Random ones, that set the ranges of the activations."""
SEED = 0
REVISION = 1
"""Another number builds all nets anew."""


def reference_net(name: str, precision: str, side: int) -> Path:
    """A reference net with 1,000 classes and random weights, which run as fast as trained ones.

    The first call builds it in a child process, so that this one stays free of TensorFlow and its memory.

    Args:
        name: a key of `REFERENCE_NETS`.
        precision: `float32`, with a float32 input; or `int8`: all-integer, with a uint8 input.
        side: of the square RGB input in pixels; the batch is 1.

    Returns:
        The .tflite file in the cache.

    Raises:
        ConfigError: unknown name or precision, or a side that the nets do not take.
        BenchmarkError: the net cannot be built.
        RunError: the cache cannot be written.
    """
    path = reference_path(name, precision, side)
    if is_built(path):
        hold(path)
        return path
    with (
        replacing(path) as temporary,
        tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=path.parent) as folder,
    ):
        arguments = [name, precision, str(side), folder, str(temporary)]
        child = subprocess.run(
            [sys.executable, "-m", "keras_faceattr.measure.references", *arguments],
            # The graphics card may be training, and only TensorFlow's Keras can export.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if child.returncode or not is_built(temporary):
            raise BenchmarkError(
                f"the reference net {name} ({precision}, {side} × {side}) cannot be built: "
                f"{child_failure(child.returncode, child.stderr)}"
            )
    return path


def reference_path(name: str, precision: str, side: int) -> Path:
    """Return the path of a reference net once it is built; another TensorFlow or Keras gives another file.

    Raises:
        ConfigError: as of `reference_net`.
    """
    if name not in REFERENCE_NETS:
        raise ConfigError(f"unknown reference net {name!r}; {nearest(name, REFERENCE_NETS)}")
    if precision not in PRECISIONS:
        raise ConfigError(f"unknown precision {precision!r} of reference nets; {nearest(precision, PRECISIONS)}")
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise ConfigError(f"reference nets take an input side of {MIN_SIDE} to {MAX_SIDE} pixels, not {side}")
    versions = f"{metadata.version('tensorflow')} {metadata.version('keras')} {REVISION}"
    digest = hashlib.sha256(versions.encode()).hexdigest()[:8]
    return cache_folder() / "references" / f"{name}_{precision}_{side}_{digest}.tflite"


def is_built(path: Path) -> bool:
    """Return whether the file is there and whole."""
    if not path.is_file():
        return False
    try:
        read_tflite(path)
    except ArtifactError:
        return False
    return True


def _build(name: str, precision: str, side: int, folder: str, path: Path) -> None:
    """Converts the net; runs in a child process, whose output nobody sees."""
    import tensorflow as tf

    photos = np.random.default_rng(SEED).uniform(0, 255, (PHOTOS, side, side, 3)).astype(np.float32)
    _save(name, photos, folder)
    # The converter holds several copies of the weights; those of the saved net would be one more.
    gc.collect()
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([photo[np.newaxis]] for photo in photos)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    path.write_bytes(converter.convert())


def _save(name: str, photos: np.ndarray, folder: str) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    model = getattr(keras.applications, REFERENCE_NETS[name])(
        weights=None, include_top=True, classes=1000, input_shape=photos.shape[1:]
    )
    # Without statistics of their own, random nets fade out from layer to layer, and int8 would count nothing but zeros.
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(photos, training=True)
    archive = keras.export.ExportArchive()
    archive.track(model)
    # Delegates and LiteRT.js need a fixed batch.
    pixels = tf.TensorSpec((1, *photos.shape[1:]), tf.float32, name="pixels")
    archive.add_endpoint("serve", lambda pixels: model(pixels, training=False), [pixels])
    archive.write_out(folder, verbose=False)


if __name__ == "__main__":
    _build(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
