"""The table of docs/quantize.md: `python docs/quantize/table.py [NET …]` measures nets of `keras.applications`.

Each net comes with random weights and ten classes at 96², is quantized, converted and compared on 500 drawn faces, and
gets its row in `docs/quantize/table.csv`; the others keep theirs. The table is printed as it stands in the page. Batch
norms have the statistics of one pass over the faces that calibrate, and the nets without any (VGG16) the kernels of
He's initializer, so that outputs differ from face to face.

An untrained net enlarges every rounding, layer by layer: "rounding" says by how much, as the signal-to-noise ratio of
the quantized Keras model to the float one. "file" is that of the file to the quantized model.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

import keras_faceattr as kfa
from keras_faceattr.convert.any_model import agreement
from keras_faceattr.convert.conversion import convert
from keras_faceattr.data.synthetic import synthetic_photo
from keras_faceattr.quantization.folding import fold_batch_norm

FLOORS = {
    "MobileNet": 99.9, "MobileNetV2": 99.9, "MobileNetV3Small": 99.9, "MobileNetV3Large": 99.9,
    "EfficientNetB0": 99.9, "EfficientNetV2B0": 99.9, "Xception": 99.9, "InceptionV3": 99.9, "NASNetMobile": 99.9,
    "ConvNeXtTiny": 99.9, "DenseNet121": 99.9, "ResNet50": 99.9, "ResNet50V2": 99.9, "VGG16": 99.9,
}  # fmt: skip
"""Share of each net's multiply-adds that is at least integer, in %."""

WITHIN = ("MobileNetV3", "EfficientNet", "ConvNeXt")
"""Nets that normalise the pixels themselves; the others get them from −1 to 1."""

SIDE, FACES, CALIBRATION, RUNS, CLASSES = 96, 500, 32, 30, 10
SIDES = {"VGG16": 64}
"""Of the nets whose side is not 96: VGG16 multiplies fifty times as much as a MobileNet."""

CSV = Path(__file__).with_name("table.csv")
COLUMNS = {
    "net": "Net",
    "side": "Side",
    "operations": "Operations",
    "integer_percent": "Integer multiply-adds",
    "floor_percent": "Floor",
    "fold_error": "Fold error",
    "rounding_db": "Rounding, dB",
    "file_db": "File, dB",
    "top1_percent": "Top-1 agreement",
    "megabytes": "MB",
    "time_ratio": "int8 : float32",
}
"""Title of each column of the CSV file in the page."""

Row = dict[str, str]


@cache
def drawn(side: int) -> np.ndarray:
    """(500, side, side, 3) drawn faces from 0 to 255."""
    return np.stack([synthetic_photo(3, number, side)[0] for number in range(FACES)]).astype("float32")


def built(name: str, faces: np.ndarray) -> keras.Model:
    """A net whose outputs are its last map and its classes, with the statistics of the faces."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=faces.shape[1:], classes=CLASSES)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(faces, training=True)
    if name == "VGG16":
        for number, layer in enumerate(layer for layer in model.layers if layer.weights):
            layer.kernel.assign(keras.initializers.HeNormal(number)(layer.kernel.shape))
    last = next(x.output for x in reversed(model.layers) if len(x.output.shape) == 4 and x.output.shape[1] > 1)
    return keras.Model(model.inputs, {"map": last, "classes": model.outputs[0]}, name=model.name)


def milliseconds(paths: Iterable[Path]) -> list[float]:
    """Median time of one run of each file on one thread; they take turns."""
    runners = [Interpreter(model_path=str(path), num_threads=1) for path in paths]
    times: list[list[float]] = [[] for _ in runners]
    for runner in runners:
        runner.allocate_tensors()
        runner.invoke()
    for _ in range(RUNS):
        for runner, found in zip(runners, times, strict=True):
            start = time.perf_counter()
            runner.invoke()
            found.append(1000 * (time.perf_counter() - start))
    return [float(np.median(found)) for found in times]


def measured(name: str, faces: np.ndarray, folder: Path) -> Row:
    """The row of a net."""
    if not name.startswith(WITHIN):
        faces = faces / 127.5 - 1
    model, few = built(name, faces[:CALIBRATION]), faces[:CALIBRATION]
    folded = fold_batch_norm(model)
    exact, same = np.asarray(model(few, training=False)["map"]), np.asarray(folded(few, training=False)["map"])
    quantized = kfa.quantize(model, few)
    rounded = np.asarray(quantized(few, training=False)["map"])
    found = kfa.to_tflite(quantized, folder / "int8.tflite", faces)
    (folder / "float.tflite").write_bytes(convert(folded))
    integer, floating = milliseconds([found.path, folder / "float.tflite"])
    share = 100 * found.integer_share
    if share < FLOORS[name]:
        raise SystemExit(f"{name}: {share:.2f} % of the multiply-adds are integer, and its floor is {FLOORS[name]} %")
    values = {
        "net": name,
        "side": faces.shape[1],
        "operations": found.operations,
        "integer_percent": f"{share:.3f}",
        "floor_percent": FLOORS[name],
        "fold_error": f"{np.abs(same - exact).max() / np.abs(exact).max():.0e}",
        "rounding_db": f"{agreement(exact, rounded).snr_db:.1f}",
        "file_db": f"{found.outputs['map'].snr_db:.1f}",
        "top1_percent": f"{100 * (found.outputs['classes'].top1 or 0):.1f}",
        "megabytes": f"{found.file_bytes / 1e6:.2f}",
        "time_ratio": f"{integer / floating:.2f}",
    }
    return {column: str(value) for column, value in values.items()}


def stored() -> dict[str, Row]:
    """Rows of the CSV file, by net."""
    with CSV.open(encoding="utf-8", newline="") as file:
        return {row["net"]: row for row in csv.DictReader(file)}


def store(rows: dict[str, Row]) -> None:
    """Writes the rows, in the order of `FLOORS`."""
    with CSV.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in FLOORS if name in rows)


def table(rows: dict[str, Row]) -> str:
    """The rows as Markdown."""
    lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    for row in rows.values():
        lines.append([f"{row[c]} %" if c.endswith("_percent") else row[c] for c in COLUMNS])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- |", "|---|").replace(" --- |", "---|")


def main(names: list[str]) -> None:
    """Measure the nets, all of them by default, and print the table."""
    if unknown := [name for name in names if name not in FLOORS]:
        raise SystemExit(f"unknown net {unknown[0]!r}; valid: {', '.join(FLOORS)}")
    rows = stored() if CSV.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names or FLOORS:
            rows[name] = measured(name, drawn(SIDES.get(name, SIDE)), Path(folder))
            store(rows)
            keras.backend.clear_session()
    print(table(stored()))


if __name__ == "__main__":
    main(sys.argv[1:])
