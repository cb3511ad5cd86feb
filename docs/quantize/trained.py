"""A plain Keras training, quantized in four ways: `python docs/quantize/trained.py MobileNetV2 8 2e-3`.

Trains a net of `keras.applications` (or `Sequential`) with ten classes at 96² on 1,200 drawn faces to tell female from
male, and prints the accuracy on 500 others: of the float model, and of int8 files as they run in LiteRT. They are ours,
with and without quantization-aware training, and those of two post-training quantizers, calibrated with the same 100
photos: the TFLite converter's own, and LiteRT Quantizer (`pip install litert-quantizer`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_faceattr as kfa
from keras_faceattr.artifact.cost import integer_share
from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.convert.conversion import convert
from keras_faceattr.data.synthetic import synthetic_photo

TRAIN, TEST, SIDE, SEED, CALIBRATION = 1200, 500, 96, 5, 100

WITHIN = ("MobileNetV3", "EfficientNet", "ConvNeXt", "Sequential")
"""Nets that normalise pixels from 0 to 255 themselves; the others get them from −1 to 1."""


def faces() -> tuple[np.ndarray, np.ndarray]:
    """(n, 96, 96, 3) drawn faces from 0 to 255, and (n,) 0 or 1."""
    drawn = [synthetic_photo(SEED, number, SIDE) for number in range(TRAIN + TEST)]
    return np.stack([face[0] for face in drawn]).astype("float32"), np.array(
        [face[1]["gender"] == "male" for face in drawn], int
    )


def sequential() -> keras.Model:
    """Four blocks of a convolution, a batch norm, a ReLU and a pooling."""
    body = [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 127.5, -1)]
    for channels in (16, 32, 64, 64):
        body += [layers.Conv2D(channels, 3, padding="same", use_bias=False), layers.BatchNormalization()]
        body += [layers.ReLU(), layers.MaxPooling2D()]
    return keras.Sequential([*body, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])


def as_taken(photo: np.ndarray, taken: dict[str, Any]) -> np.ndarray:
    """A photo in the type of a file's input: pixels of our files are uint8, and LiteRT Quantizer's files take int8."""
    if taken["dtype"] != np.int8:
        return photo.astype(taken["dtype"])
    scale, zero_point = taken["quantization"]
    return np.clip(np.round(photo / scale + zero_point), -128, 127).astype("int8")


def classes_of_file(path: Path, photos: np.ndarray) -> np.ndarray:
    """(n,) class that the file gives each photo."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for photo in photos:
        interpreter.set_tensor(taken["index"], as_taken(photo[None], taken))
        interpreter.invoke()
        found.append(interpreter.get_tensor(given["index"])[0].argmax())
    return np.array(found)


def trained(name: str, epochs: int, rate: float, photos: np.ndarray, classes: np.ndarray) -> keras.Model:
    """The net after a plain training: Adam, a cosine, 32 photos per step."""
    build = getattr(keras.applications, name, None)
    model = build(weights=None, input_shape=(SIDE, SIDE, 3), classes=10) if build else sequential()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # These few steps do not reach the end of an average over a thousand.
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    cosine = keras.callbacks.LearningRateScheduler(lambda e, _: float(rate * (1 + np.cos(np.pi * e / epochs)) / 2))
    model.fit(photos, classes, epochs=epochs, batch_size=32, verbose=2, callbacks=[cosine])
    return model


def converter_ptq(model: keras.Model, photos: np.ndarray) -> bytes:
    """The TFLite converter's own post-training quantization."""
    named = keras.Model(model.inputs, {"classes": model.outputs[0]})
    return convert(named, weights="int8", representative=(photo[None] for photo in photos))


def litert_ptq(model: keras.Model, photos: np.ndarray) -> bytes:
    """LiteRT Quantizer's post-training quantization of the float file."""
    from litert_quantizer import Quantizer, recipe

    named = keras.Model(model.inputs, {"classes": model.outputs[0]})
    made = Quantizer(bytearray(convert(named)), recipe.static_wi8_ai8())
    ranges = made.calibrate({"serving_default": [{"image": photo[None]} for photo in photos]}, num_threads=1)
    return bytes(made.quantize(ranges).quantized_model)


def main(name: str, epochs: int, rate: float) -> None:
    """Trains, quantizes, and prints one row per file."""
    keras.utils.set_random_seed(0)
    photos, classes = faces()
    if not name.startswith(WITHIN):
        photos = photos / 127.5 - 1
    train, test = (photos[:TRAIN], classes[:TRAIN]), (photos[TRAIN:], classes[TRAIN:])
    calibration = train[0][:CALIBRATION]
    model = trained(name, epochs, rate, *train)
    floats = model.predict(test[0], verbose=0).argmax(-1)
    print(f"float: {100 * np.mean(floats == test[1]):.1f} % of {TEST}", flush=True)
    quantized = kfa.quantize(model, calibration)

    def ours() -> bytes:
        found = kfa.to_tflite(quantized, Path(f"{name}_ours.tflite"), test[0])
        print(found.outputs)
        return found.path.read_bytes()

    def after_training() -> bytes:
        quantized.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
        quantized.fit(*train, epochs=2, batch_size=32, verbose=2)
        return ours()

    makers: dict[str, Callable[[], bytes]] = {
        "quantize, calibrated": ours,
        "quantize, 2 epochs of QAT": after_training,
        "TFLite converter, calibrated": lambda: converter_ptq(model, calibration),
        "LiteRT Quantizer, calibrated": lambda: litert_ptq(model, calibration),
    }
    for row, make in makers.items():
        start = time.perf_counter()
        path = Path(f"{name}_{row.replace(', ', '_').replace(' ', '_')}.tflite")
        path.write_bytes(make())
        seconds = time.perf_counter() - start
        said = classes_of_file(path, test[0])
        print(
            f"| {row} | {100 * np.mean(said == test[1]):.1f} % | {100 * np.mean(said == floats):.1f} % | "
            f"{100 * integer_share(read_tflite(path)):.2f} % | {path.stat().st_size:,} | {seconds:.0f} s |",
            flush=True,
        )
    print(kfa.quantization_report(quantized))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
