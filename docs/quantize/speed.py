"""Time of `quantize`: `python docs/quantize/speed.py [NET [SIDE]]`; default: MobileNetV2 at 224².

Folds, inserts fake quantization, and calibrates on 100 photos. Prints the seconds by the clock, and those that the
processor was busy with it, which other work on the machine changes little.
"""

from __future__ import annotations

import sys
import time

import keras
import numpy as np

import keras_faceattr as kfa

PHOTOS = 100


def main(name: str = "MobileNetV2", side: str = "224") -> None:
    """Build the net with random weights, and time the call."""
    shape = (int(side), int(side), 3)
    model = getattr(keras.applications, name)(weights=None, input_shape=shape)
    photos = np.random.default_rng(0).uniform(-1, 1, (PHOTOS, *shape)).astype("float32")
    kfa.quantize(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)]), photos[:, :8, :8])  # imports
    clock, busy = time.perf_counter(), time.process_time()
    kfa.quantize(model, photos)
    clock, busy = time.perf_counter() - clock, time.process_time() - busy
    print(f"{name} at {side}², {PHOTOS} photos: {clock:.1f} s by the clock, {busy:.1f} s of processor time")


if __name__ == "__main__":
    main(*sys.argv[1:])
