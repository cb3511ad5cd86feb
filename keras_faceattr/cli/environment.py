"""Settings of the whole process, which the command line may make and the library never does."""

from __future__ import annotations

import os

from keras_faceattr.backend import silent_native_output


def prepare_environment() -> None:
    """Sets what libraries read when they are first imported, unless the user has set it."""
    # A second guard behind the check of a photo's header: OpenCV refuses larger photos itself.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "178956970")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def start_backend() -> None:
    """Imports TensorFlow and Keras and lets them find their devices, in silence.

    Their native start-up lines ignore every log level, because they are written before logging is set up.
    """
    prepare_environment()
    with silent_native_output():
        import tensorflow as tf

        # Each net that is inspected is traced anew, which is intended.
        tf.get_logger().setLevel("ERROR")
        tf.config.list_physical_devices()
        tf.zeros(1)
        import keras

        keras.ops.zeros(1)
