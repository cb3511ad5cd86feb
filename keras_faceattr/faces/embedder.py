"""Features of anybody's `.tflite` file that takes a photo and gives a vector."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_faceattr.artifact.flatbuffer import read_tflite
from keras_faceattr.artifact.soundness import refuse_free_pictures
from keras_faceattr.backend import silent_native_output
from keras_faceattr.errors import ArtifactError, ConfigError, DataError, ModelError, nearest
from keras_faceattr.machine import usable_cores


class Embedder(Protocol):
    """(n, height, width, 3) uint8 RGB crops → (n, d) float32 features."""

    def __call__(self, crops: np.ndarray) -> np.ndarray: ...


def checked_crops(crops: np.ndarray) -> np.ndarray:
    """The crops themselves.

    Raises:
        DataError: they are not (n, height, width, 3) uint8.
    """
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or not min(crops.shape[1:3]):
        raise DataError(f"an embedder takes crops (n, height, width, 3) uint8, not {crops.shape} {crops.dtype}")
    return crops


@dataclass(frozen=True)
class Scale:
    """Value of a pixel for a net: (pixel − shift) / divisor."""

    shift: float
    divisor: float


SCALES = {
    "raw": Scale(0.0, 1.0),
    "zero_one": Scale(0.0, 255.0),
    "minus_one_one": Scale(127.5, 127.5),
    "mobilefacenet": Scale(127.5, 128.0),
}


class TFLiteEmbedder:
    """Features of a `.tflite` file, photo by photo on an interpreter for each thread; use `tflite_embedder`.

    Attributes:
        scale: of `SCALES`, as given or as found.
        height: of the input in pixels.
        width: of the input in pixels.
        dimension: of the features.
    """

    def __init__(self, path: Path, scale: str, threads: int | None) -> None:
        if scale != "auto" and scale not in SCALES:
            raise ConfigError(f"unknown pixel scale {scale!r}; {nearest(scale, ['auto', *SCALES])}")
        data = _read(path)
        try:
            with silent_native_output():
                # An interpreter's own threads help less than more interpreters, and so does a batch.
                self.interpreters = [
                    Interpreter(model_content=data, num_threads=1) for _ in range(threads or usable_cores())
                ]
                for interpreter in self.interpreters:
                    interpreter.allocate_tensors()
            inputs, outputs = self.interpreters[0].get_input_details(), self.interpreters[0].get_output_details()
        except (RuntimeError, ValueError) as error:
            raise _refused(path, error) from None
        self.path = path
        self.input = _only(path, "input", inputs, ("float32", "uint8", "int8"))
        self.output = _only(path, "output", outputs, ("float32", "uint8", "int8"))
        shape, result = tuple(map(int, self.input["shape"])), tuple(map(int, self.output["shape"]))
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape[1:3]) < 2:
            raise ModelError(f"{path}: its input {shape} is no picture (1, height, width, 3)")
        if len(result) < 2 or math.prod(result[:-1]) != 1:
            raise ModelError(f"{path}: its output {result} is no vector (1, numbers)")
        self.height, self.width, self.dimension = shape[1], shape[2], result[-1]
        self.scale = _scale_of(path, data, self.input) if scale == "auto" else scale

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """(n, dimension) float32 of (n, height, width, 3) uint8 RGB crops of any size."""
        crops = checked_crops(crops)
        features = np.empty((len(crops), self.dimension), np.float32)

        def work(first: int) -> None:
            interpreter = self.interpreters[first]
            for index in range(first, len(crops), len(self.interpreters)):
                try:
                    interpreter.set_tensor(self.input["index"], self._pixels(crops[index])[None])
                    interpreter.invoke()
                except (RuntimeError, ValueError) as error:
                    raise _refused(self.path, error) from None
                features[index] = _numbers(interpreter.get_tensor(self.output["index"]).ravel(), self.output)

        with ThreadPoolExecutor(len(self.interpreters)) as pool:
            list(pool.map(work, range(len(self.interpreters))))
        return features

    def _pixels(self, crop: np.ndarray) -> np.ndarray:
        row = SCALES[self.scale]
        pixels = (fitted(crop, self.height, self.width).astype(np.float32) - row.shift) / row.divisor
        dtype = np.dtype(self.input["dtype"])
        if dtype.kind == "f":
            return np.asarray(pixels)
        step, zero = self.input["quantization"]
        bounds = np.iinfo(dtype)
        return np.asarray(np.clip(np.round(pixels / step + zero), bounds.min, bounds.max).astype(dtype))


def tflite_embedder(path: Path, scale: str = "auto", threads: int | None = None) -> TFLiteEmbedder:
    """Features of anybody's `.tflite` file: one picture in, one vector out; it needs no signature.

    Crops are cut about their centre to the input's aspect ratio, then resized. TensorFlow is not needed. The embedder
    may be called from one thread at a time.

    Args:
        path: of an input (1, height, width, 3) and an output (1, d), float32, uint8 or int8.
        scale: of `SCALES`; `auto` reads it from a quantized input, or from the operation that quantizes a float one.
        threads: None for all cores.

    Raises:
        ArtifactError: missing or damaged, or operations that the runtime does not know.
        ModelError: several inputs or outputs, no picture, no vector.
        ConfigError: an unknown scale, or one that the file does not tell.
    """
    return TFLiteEmbedder(path, scale, threads)


def fitted(crop: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest centred part of a crop with the aspect ratio of height × width, in that size."""
    scale = min(crop.shape[0] / height, crop.shape[1] / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (crop.shape[0] - rows) // 2, (crop.shape[1] - columns) // 2
    part = crop[top : top + rows, left : left + columns]
    if part.shape[:2] == (height, width):
        return part
    return np.asarray(
        cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    )


def _read(path: Path) -> bytes:
    # The native runtime trusts what it reads.
    refuse_free_pictures(path, read_tflite(path))
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; give the path of a .tflite file") from None


def _refused(path: Path, error: Exception) -> ArtifactError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ArtifactError(f"{path}: damaged, or nothing that the runtime can run: {reason}")


def _only(path: Path, what: str, details: list[dict[str, Any]], dtypes: tuple[str, ...]) -> dict[str, Any]:
    if len(details) != 1:
        raise ModelError(f"{path}: an embedder has one {what}, this file has {len(details)}")
    dtype = np.dtype(details[0]["dtype"]).name
    if dtype not in dtypes:
        raise ModelError(f"{path}: its {what} is {dtype}, not {' or '.join(dtypes)}")
    return details[0]


def _numbers(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Convert an output's integers to numbers."""
    if values.dtype.kind == "f":
        return values
    step, zero = details["quantization"]
    return np.asarray((values.astype(np.float32) - zero) * step)


def _scale_of(path: Path, data: bytes, entry: dict[str, Any]) -> str:
    """The row whose step from grey level to grey level is that of the input's quantization."""
    step, zero = entry["quantization"]
    dtype = np.dtype(entry["dtype"])
    if dtype.kind == "f":
        step, zero, dtype = _first_quantization(data, entry["index"])
    if step:
        levels = np.iinfo(dtype)
        lowest, highest = (levels.min - zero) * step, (levels.max - zero) * step
        for name, row in sorted(SCALES.items(), key=lambda pair: abs(math.log(pair[1].divisor * step))):
            ends = (-row.shift / row.divisor, (255 - row.shift) / row.divisor)
            # Black and white within two levels of the range's ends.
            if abs(lowest - ends[0]) <= 2 * step and abs(highest - ends[1]) <= 2 * step:
                return name
    raise ConfigError(f"{path}: the file does not tell how pixels are scaled: give one of {', '.join(SCALES)}")


def _first_quantization(data: bytes, index: int) -> tuple[float, int, np.dtype]:
    """Step, zero point and type to which a graph turns its float input at once; a step of 0 where it does not."""
    graph = schema.Model.GetRootAs(data).Subgraphs(0)
    readers = [op for op in map(graph.Operators, range(graph.OperatorsLength())) if index in op.InputsAsNumpy()]
    if len(readers) == 1 and readers[0].InputsLength() == readers[0].OutputsLength() == 1:
        tensor = graph.Tensors(readers[0].Outputs(0))
        dtypes = {schema.TensorType.UINT8: np.dtype(np.uint8), schema.TensorType.INT8: np.dtype(np.int8)}
        quantization = tensor.Quantization()
        if tensor.Type() in dtypes and quantization is not None and quantization.ScaleLength() == 1:
            return float(quantization.Scale(0)), int(quantization.ZeroPoint(0)), dtypes[tensor.Type()]
    return 0.0, 0, np.dtype(np.uint8)
