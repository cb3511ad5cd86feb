"""`benchmark detector`: our cascade and the `mtcnn` package in one run, on the same photos, with what both find."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.faces.boxes import overlaps
from keras_faceattr.faces.detector import Detector, DetectorPool
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.found import Faces
from keras_faceattr.faces.opencv_threads import opencv_threads
from keras_faceattr.faces.pyramid import draw_pyramid
from keras_faceattr.machine import usable_cores

PACKAGE_BATCH = 16
"""Photos of one size that the package takes in one call; its memory grows with them."""

ROUNDS = 3
"""Measurements of each way, in turn; the median counts."""

FAST_MIN_FACE = 40
SAME_IOU = 0.95


@opencv_threads(1)
def benchmark_detector(photos: list[np.ndarray], package: bool = True) -> dict[str, Any]:
    """Measures ways to find the same faces, in turn.

    Args:
        photos: (side, side, 3) uint8 RGB, all of one size.
        package: whether to run the `mtcnn` package beside.

    Returns:
        `images_per_s` by way; `ratios` to the package's; `stages`: shares of one thread's time; `agreement` with the
        package, and of a search for larger faces only; the machine.

    Raises:
        BenchmarkError: the package cannot be run.
    """
    cores = usable_cores()
    pool, fast = DetectorPool(), Detector(DetectorSpec(min_face=FAST_MIN_FACE))
    single = Detector()
    ways: dict[str, Callable[[], Any]] = {
        "ours, one thread": lambda: [single.detect(photo) for photo in photos],
        f"ours, {cores} threads": lambda: pool.detect_batch(photos, cores),
        f"ours, one thread, min_face {FAST_MIN_FACE}": lambda: [fast.detect(photo) for photo in photos],
    }
    children = [_Package(threads) for threads in dict.fromkeys((1, cores))] if package else []
    try:
        for child in children:
            threads = "one thread" if child.threads == 1 else f"{child.threads} threads"
            child.give(photos)
            ways[f"mtcnn, {threads}, one by one"] = lambda child=child: child.run(1)  # type: ignore[misc]
            ways[f"mtcnn, {threads}, {PACKAGE_BATCH} at once"] = lambda child=child: child.run(PACKAGE_BATCH)  # type: ignore[misc]
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        found: dict[str, list[Faces]] = {}
        for name, way in ways.items():
            found[name] = way()  # Warm-up.
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - start)
    finally:
        for child in children:
            child.close()
    speed = {name: len(photos) / float(np.median(times)) for name, times in seconds.items()}
    names = list(ways)
    result: dict[str, Any] = {
        "photos": len(photos),
        "side": int(photos[0].shape[0]),
        "images_per_s": speed,
        "stages": _stages(single, photos),
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores",
        "rounds": ROUNDS,
        "ratios": {},
        "agreement": {f"min_face {FAST_MIN_FACE} with min_face 20": agreement(found[names[2]], found[names[0]])},
    }
    if package:
        one, batch = names[-2], names[-1]
        result["ratios"] = {
            "one thread, to mtcnn's one thread one by one": speed[names[0]] / speed[names[3]],
            "all cores, to mtcnn's one by one": speed[names[1]] / speed[one],
            "all cores, to mtcnn's batches": speed[names[1]] / speed[batch],
        }
        result["agreement"]["ours with mtcnn"] = agreement(found[names[0]], found[one])
    return result


def agreement(ours: list[Faces], theirs: list[Faces]) -> dict[str, float]:
    """Measure how far two detectors find the same faces: IoU of at least 0.95.

    Returns:
        `faces` of `theirs`; `recall`: share of them that `ours` has too; `precision`: share of `ours` that `theirs`
        has; `largest_point_gap`: between points of the same faces, in pixels.
    """
    total = sum(len(faces) for faces in theirs)
    mine = sum(len(faces) for faces in ours)
    same, gap = 0, 0.0
    for first, second in zip(ours, theirs, strict=True):
        shared = overlaps(second.boxes, first.boxes)
        for row in range(len(second)):
            if not len(first) or shared[row].max() < SAME_IOU:
                continue
            column = int(shared[row].argmax())
            # A face of ours answers for one of theirs.
            shared[:, column] = -1
            same += 1
            gap = max(gap, float(np.abs(first.points[column] - second.points[row]).max()))
    return {
        "faces": total,
        "recall": same / total if total else 1.0,
        "precision": same / mine if mine else 1.0,
        "largest_point_gap": gap,
    }


def _stages(detector: Detector, photos: list[np.ndarray]) -> dict[str, float]:
    """Shares of the time of one thread."""
    spent = dict.fromkeys(("size pyramid", "P-Net and its boxes", "R-Net and its boxes", "O-Net and its boxes"), 0.0)
    for photo in photos:
        pixels = photo.astype(np.float32)
        layout, canvas, _ = detector.canvas(*photo.shape[:2])
        times = [time.perf_counter()]
        if layout.levels:
            draw_pyramid(pixels, layout, canvas[0])
        times.append(time.perf_counter())
        boxes = detector.propose(pixels)
        times.append(time.perf_counter())
        boxes = detector.refine(pixels, boxes) if len(boxes) else boxes
        times.append(time.perf_counter())
        if len(boxes):
            detector.finish(pixels, boxes)
        times.append(time.perf_counter())
        pyramid, propose, refine, finish = np.diff(times)
        for name, value in zip(spent, (pyramid, max(0.0, propose - pyramid), refine, finish), strict=True):
            spent[name] += float(value)
    whole = sum(spent.values())
    return {name: value / whole for name, value in spent.items()}


class _Package:
    """The `mtcnn` package in a process of its own: TensorFlow's threads are set once, before it starts."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, threads), daemon=True)
        self.process.start()
        other.close()

    def give(self, photos: list[np.ndarray]) -> None:
        self._ask(photos)

    def run(self, batch: int) -> list[Faces]:
        found: list[Faces] = self._ask(batch)
        return found

    def close(self) -> None:
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.terminate()

    def _ask(self, question: Any) -> Any:
        try:
            self.connection.send(question)
            answer = self.connection.recv()
        except (EOFError, OSError):
            answer = "its process ended"
        if isinstance(answer, str):
            raise BenchmarkError(f"the package mtcnn cannot be run: {answer}")
        return answer


def _serve(connection: Connection, threads: int) -> None:
    """Answers with the faces of the photos that were given, until the other end closes."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        from mtcnn import MTCNN

        detector = MTCNN()
        photos: list[np.ndarray] = []
        while True:
            question = connection.recv()
            if isinstance(question, list):
                photos = question
                connection.send(True)
                continue
            parts = [photos[start : start + question] for start in range(0, len(photos), question)]
            connection.send([faces for part in parts for faces in _faces(detector, part)])
    except EOFError:
        return
    except Exception as error:
        connection.send(f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")


def _faces(detector: Any, photos: list[np.ndarray]) -> list[Faces]:
    rows = detector.detect_faces(photos, threshold_onet=0.7, postprocess=False, output_type="numpy", box_format="xyxy")
    rows = np.asarray(rows, np.float32).reshape(-1, 16)
    parts = [rows[rows[:, 0] == index] for index in range(len(photos))]
    return [Faces(p[:, 1:5], p[:, 5], np.stack([p[:, 6:11], p[:, 11:16]], axis=2)) for p in parts]
