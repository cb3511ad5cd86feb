"""Starting TensorFlow without its chatter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_native_output() -> Iterator[None]:
    """Sends what native code writes to stderr to nowhere; Python's own stderr is flushed first."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def start_backend() -> None:
    """Imports TensorFlow and Keras and lets them find their devices, in silence.

    Their native start-up lines ignore every log level, because they are written before logging is set up.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_native_output():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.zeros(1)
        import keras

        keras.ops.zeros(1)
