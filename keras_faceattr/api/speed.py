"""`benchmark api`: what the Python API adds to the work itself, as ratios within one run.

What one process does is measured in CPU seconds, which other work on the machine hardly disturbs; what several do, by
the clock.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from keras_faceattr.api.by_hand import by_hand
from keras_faceattr.artifact.loading import is_artifact
from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.machine import processor, usable_cores
from keras_faceattr.measure.latency import interleave, turns
from keras_faceattr.net import Net, load
from keras_faceattr.zoo import file_of

WORKERS = 2
SCENES, SCENE_SEED = 16, 50_000
"""Drawn photos of 640 × 480 pixels with one face each, which come again and again."""

SETTLED = 0.25
"""Share of the photos after which memory is taken to be warm: buffers have their final size."""

MANY = 100_000
"""Photos to which the growth of memory is extrapolated."""

IMPORT = "import time; begun = time.process_time(); import keras_faceattr; print(time.process_time() - begun)"
FIRST = {
    "kfa.load and predict": (
        "import sys, time, keras_faceattr as kfa\n"
        "begun = time.process_time()\n"
        "kfa.load(sys.argv[1]).predict(sys.argv[2])\n"
        "print(time.process_time() - begun)"
    ),
    "the command after start-up": (
        "import contextlib, io, sys, time\n"
        "from keras_faceattr.cli.app import app\n"
        "begun = time.process_time()\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "    app(['predict', *sys.argv[1:]], standalone_mode=False)\n"
        "print(time.process_time() - begun)"
    ),
}
"""Programs that print CPU seconds: each starts anew, as its imports are what is measured."""


@dataclass(frozen=True)
class Aim:
    """What is asked of a number."""

    title: str
    value: float
    at_most: bool = True

    def met(self, number: float) -> bool:
        return number <= self.value if self.at_most else number >= self.value


AIMS = {
    "import_s": Aim("import keras_faceattr, seconds", 0.1),
    "first_ratio": Aim("load and first predict, to the command after start-up", 1.0),
    "predict_ratio": Aim("predict, to detector, crop and interpreter by hand", 1.05),
    "many_ratio": Aim(f"photos/s of predict_many(workers={WORKERS}), to as many bare processes", 0.95, at_most=False),
    "growth_mb": Aim(f"memory gained over {MANY:,} photos, extrapolated, MB", 20.0),
}


def measure_api(name: str, rounds: int, photos: int, memory_photos: int) -> dict[str, Any]:
    """Measures the Python API next to the same work by other ways, in turn.

    Args:
        name: of a shipped net, or path of a `.tflite` file whose crop is of five points.
        rounds: of each part; the median counts.
        photos: that are predicted by several processes, in each round.
        memory_photos: that are predicted while the memory is watched.

    Returns:
        `seconds` of each way, `numbers` of each aim, `memory` in MB when it was warm and at the end, the machine.

    Raises:
        ArtifactError: the file is damaged.
        BenchmarkError: a run, a net of another crop, or a way that fails.
    """
    path = file_of(Path(name))
    if not is_artifact(path):
        raise BenchmarkError(f"{name}: only a .tflite file is called by hand; export the run first")
    with tempfile.TemporaryDirectory() as folder:
        paths = _drawn(Path(folder))
        # Also builds the detector's nets, which happens once per machine.
        hand, net = by_hand(path), load(path, threads=1)
        if not all(hand(photo) for photo in paths):
            raise BenchmarkError(f"{name}: its crop finds no face in the drawn photos of the benchmark")
        seconds = _started(path, paths[0], rounds)
        seconds |= _one_by_one(hand, net, paths, rounds)
        seconds |= _many(net, path, list(islice(cycle(paths), photos)), rounds, Path(folder))
        megabytes = _memory(net, list(islice(cycle(paths), memory_photos)))
    warm, end, growth = growth_of(megabytes, memory_photos)
    medians = {way: float(np.median(times)) for way, times in seconds.items()}
    first, command, own, other, api, bare = list(medians.values())[1:]
    return {
        "net": str(path),
        "seconds": medians,
        "numbers": {
            "import_s": medians["import"],
            "first_ratio": first / command,
            "predict_ratio": own / other,
            "many_ratio": bare / api,
            "growth_mb": growth,
        },
        "memory": {"warm_mb": warm, "end_mb": end, "photos": memory_photos},
        "photos": photos,
        "rounds": rounds,
        "machine": f"{processor().name}, {usable_cores()} cores",
    }


def growth_of(megabytes: Sequence[float], photos: int) -> tuple[float, float, float]:
    """Memory when it was warm and at the end, and what it would gain over `MANY` photos, by a straight line.

    Args:
        megabytes: at even distances over the photos.
        photos: over how many.
    """
    warm = np.asarray(megabytes)[int(SETTLED * len(megabytes)) :]
    places = np.linspace(0, photos * (1 - SETTLED), len(warm))
    slope = float(np.polyfit(places, warm, 1)[0])
    return float(warm[0]), float(warm[-1]), slope * MANY


def _drawn(folder: Path) -> list[Path]:
    paths = [folder / f"{number}.jpg" for number in range(SCENES)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), draw_scene(SCENE_SEED, number, 480, 640, 1)[0][..., ::-1])
    return paths


def _started(path: Path, photo: Path, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of programs that start anew, in turn."""
    seconds: dict[str, list[float]] = {"import": [], **{way: [] for way in FIRST}}
    programs = {"import": IMPORT, **FIRST}
    for number in range(rounds + 1):
        for way in turns(list(programs), number):
            out = _child(["-c", programs[way], str(path), str(photo)])
            if number:  # The first round warms the caches of the disk.
                seconds[way].append(float(out))
    return seconds


def _one_by_one(hand: Callable[[Path], object], net: Net, paths: list[Path], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of a photo by the API and by hand, in turn."""
    photos = {"predict": cycle(paths), "by hand": cycle(paths)}
    ways = {"predict": lambda: net.predict(next(photos["predict"])), "by hand": lambda: hand(next(photos["by hand"]))}
    with opencv_threads(1):
        seconds = interleave(ways, rounds=rounds * 10, budget_s=2.0 * rounds, clock=time.process_time)
    return {way: times.ravel().tolist() for way, times in seconds.items()}


def _many(net: Net, path: Path, photos: list[Path], rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds from start to end of all photos, by the API's processes and by bare ones."""
    lists = [folder / f"{number}.txt" for number in range(WORKERS)]
    for number, names in enumerate(lists):
        names.write_text("\n".join(map(str, photos[number::WORKERS])), encoding="utf-8")

    def api() -> None:
        predictions = net.predict_many(photos, workers=WORKERS)
        if sum(1 for _ in predictions) < len(photos):
            raise BenchmarkError(f"predict_many left photos out: {predictions.left_out[0]}")

    def bare() -> None:
        command = [sys.executable, "-m", "keras_faceattr.api.by_hand", str(path)]
        children = [subprocess.Popen([*command, str(names)], stdout=subprocess.DEVNULL) for names in lists]
        if any(code for code in [child.wait() for child in children]):
            raise BenchmarkError("a bare process of the benchmark has failed: see its message above")

    ways = {f"predict_many, {WORKERS} workers": api, f"{WORKERS} bare processes": bare}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in turns(list(ways), number):
            begun = time.perf_counter()
            ways[way]()
            seconds[way].append(time.perf_counter() - begun)
    return seconds


def _memory(net: Net, photos: list[Path]) -> list[float]:
    """Resident memory in MB while photos are predicted."""
    process, step = psutil.Process(), max(1, len(photos) // 100)
    return [process.memory_info().rss / 1e6 for number, _ in enumerate(net.predict_many(photos)) if number % step == 0]


def _child(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"a program of the benchmark has failed: {(done.stderr.strip() or '?').splitlines()[-1]}")
    return done.stdout
