"""Settings of the whole process, which the command line may make and the library never does."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path

from keras_faceattr.backend import ONEDNN, silent_native_output

UNUSED_BY_COUNTING = ("tensorflow", "torch", "sklearn", "matplotlib", "pandas", "cv2", "PIL", "IPython", "pydot")
"""Packages that Keras imports where they are installed, and that building a net does not use."""


def prepare_environment() -> None:
    """Set what libraries read when they are first imported, unless the user has set it."""
    # A second guard behind the check of a photo's header: OpenCV refuses larger photos itself.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "178956970")
    # OpenCV writes lines of its own about photos that we name ourselves.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Pillow warns of odd TIFF tags; whether the pixels can be decoded decides, and says so in one line.
    warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")


def start_backend(onednn: str | None = "1") -> None:
    """Import TensorFlow and Keras and let them find their devices, in silence.

    Their native start-up lines ignore every log level, because they are written before logging is set up.

    Args:
        onednn: `TF_ENABLE_ONEDNN_OPTS` where the user has not set it; TensorFlow itself turns its quicker kernels on
            only on processors with AVX-512 VNNI. None leaves the choice to TensorFlow.
    """
    prepare_environment()
    # Once TensorFlow is imported the variable would only tell a lie.
    if onednn is not None and "tensorflow" not in sys.modules:
        os.environ.setdefault(ONEDNN, onednn)
    with silent_native_output():
        import tensorflow as tf

        # Each net that is inspected is traced anew, which is intended.
        tf.get_logger().setLevel("ERROR")
        tf.config.list_physical_devices()
        tf.zeros(1)
        import keras

        keras.ops.zeros(1)


def start_counting_backend() -> None:
    """Import Keras for nets that are built and never run: on its NumPy backend, many times quicker than TensorFlow.

    That backend needs JAX; without JAX, or where the user has chosen a backend, Keras starts as usual.
    """
    if "keras" in sys.modules:
        return
    if "KERAS_BACKEND" in os.environ or importlib.util.find_spec("jax") is None:
        start_backend()
        return
    os.environ["KERAS_BACKEND"] = "numpy"
    hidden = [name for name in UNUSED_BY_COUNTING if name not in sys.modules]
    # An import of None raises ImportError, with which Keras does without.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import keras  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]


def onednn_of(run: Path) -> str | None:
    """The setting with which a run began, so that it goes on with the same kernels; says so where the user's differs.

    Returns:
        `0` or `1`; None where TensorFlow chose, as in runs of earlier versions.
    """
    try:
        began = json.loads((run / "provenance.json").read_text(encoding="utf-8")).get("onednn")
    except (OSError, ValueError, AttributeError, RecursionError):
        # What is wrong with the run is said by who reads it.
        return None
    if not (began is None or isinstance(began, str)):
        return None
    own = os.environ.get(ONEDNN)
    if own is not None and own != began:
        told = "TensorFlow's own choice" if began is None else f"{ONEDNN}={began}"
        print(f"{ONEDNN}={own} is set, but the run began with {told}: numbers may differ slightly", file=sys.stderr)
    return began
