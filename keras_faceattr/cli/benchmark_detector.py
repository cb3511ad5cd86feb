"""`keras-faceattr benchmark detector`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from keras_faceattr.api.named import read_named
from keras_faceattr.cli.arguments import listed
from keras_faceattr.cli.options import print_json
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import ConfigError
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.detector_benchmark import benchmark_detector
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.storage import write_json
from keras_faceattr.terminal.console import plain_console

SEED = 0
SCENE_SEED = 40_000


def run_benchmark_detector(
    source: str | None, count: int, sides: list[str], package: bool, out: Path | None, json: bool
) -> None:
    """Print images/s of our detector and of the `mtcnn` package, and how far both find the same faces."""
    results = []
    for side in _sides(sides):
        print(f"{count} photos at {side} × {side} pixels", file=sys.stderr)
        results.append(benchmark_detector(_photos(source, count, side), package))
    result = {"source": source or "drawn scenes", "results": results}
    if out:
        write_json(out / "detector.json", result)
    if json:
        print_json(result)
        return
    for entry in results:
        _print(entry)
    if out:
        print(f"\nresult   {out / 'detector.json'}")


def _sides(values: list[str]) -> list[int]:
    texts = listed(values)
    if not texts:
        raise ConfigError("--side names no size")
    for text in texts:
        if not (text.isascii() and text.isdigit() and 32 <= int(text) <= 1024):
            raise ConfigError(f"--side {text!r} is no whole number from 32 to 1024")
    return [int(text) for text in texts]


def _photos(source: str | None, count: int, side: int) -> list[np.ndarray]:
    """Squares of one size, so that the package can take them in batches."""
    if source is None:
        return [draw_scene(SCENE_SEED, index, side, side, 1 + index % 2)[0] for index in range(count)]
    paths = read_named(source, {}, [], plain_folder=True).manifest.paths()
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(paths))[:count])
    return [_square(read_photo(paths[index]), side) for index in chosen]


def _square(photo: np.ndarray, side: int) -> np.ndarray:
    cut = min(photo.shape[:2])
    return CropSpec(side, interpolation="area" if side < cut else "cubic").apply(photo)


def _print(entry: dict[str, Any]) -> None:
    console = plain_console()
    title = f"{entry['photos']} photos of {entry['side']} × {entry['side']} pixels, {entry['machine']}"
    table = Table("detector", "images/s", "ms a photo", title=title, title_justify="left", box=None)
    for name, speed in entry["images_per_s"].items():
        table.add_row(name, f"{speed:.1f}", f"{1000 / speed:.1f}")
    console.print(table)
    for name, ratio in entry["ratios"].items():
        console.print(f"{name}: {ratio:.1f} ×")
    for name, same in entry["agreement"].items():
        console.print(
            f"{name}: recall {same['recall']:.2%}, precision {same['precision']:.2%} of {same['faces']} faces "
            f"(IoU ≥ 0.95), points at most {same['largest_point_gap']:.2f} pixels apart",
        )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in entry["stages"].items())
    console.print(f"time of one thread: {shares}\n")
