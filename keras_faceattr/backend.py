"""Starting TensorFlow without its chatter."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def silent_native_output(*, stdout: bool = False) -> Iterator[None]:
    """Sends what native code writes to stderr to nowhere; what Python wrote before is flushed first.

    Args:
        stdout: silences that too; the converter prints to both.
    """
    # A second thread that came in between would keep the first one's silence for good.
    with _ONE_AT_A_TIME:
        streams = {2: sys.stderr, 1: sys.stdout} if stdout else {2: sys.stderr}
        saved = {}
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number, stream in streams.items():
            stream.flush()
            saved[number] = os.dup(number)
            os.dup2(nowhere, number)
        try:
            yield
        finally:
            for number, stream in streams.items():
                stream.flush()
                os.dup2(saved[number], number)
                os.close(saved[number])
            os.close(nowhere)


def start_backend() -> None:
    """Imports TensorFlow and Keras and lets them find their devices, in silence.

    Their native start-up lines ignore every log level, because they are written before logging is set up.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_native_output():
        import tensorflow as tf

        # Each net that is looked into is traced anew, which is meant.
        tf.get_logger().setLevel("ERROR")
        tf.config.list_physical_devices()
        tf.zeros(1)
        import keras

        keras.ops.zeros(1)
