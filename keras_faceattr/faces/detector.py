"""MTCNN's cascade: P-Net proposes windows in every size, R-Net sorts them out, O-Net finds the five points.

Source: Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks,
2016, section II.A.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_faceattr.backend import silent_native_output
from keras_faceattr.faces.boxes import moved, squared, suppress
from keras_faceattr.faces.detector_spec import DetectorSpec
from keras_faceattr.faces.found import NO_FACES, Faces
from keras_faceattr.faces.nets import WINDOWS, Fixed, net_files
from keras_faceattr.faces.photos import MOST_REDUCED
from keras_faceattr.faces.pyramid import (
    GREY,
    STRIDE,
    WINDOW,
    Layout,
    barrier,
    draw_pyramid,
    empty_canvas,
    plan_layout,
)
from keras_faceattr.machine import usable_cores

LEVEL_OVERLAP, PROPOSAL_OVERLAP, FACE_OVERLAP = 0.5, 0.7, 0.7
"""Boxes that overlap a better one by more are dropped: within a level, between levels and after R-Net, at the end."""

BAND_PIXELS = 100_000
"""Pixels of the canvas that P-Net reads in one call."""

BATCH = 256
"""Most windows that a net looks at in one call."""


class Detector:
    """Finds faces; for one thread at a time.

    Args:
        spec: what is looked for.
        threads: of the runtime.
        files: of the three nets; those of `net_files` without.
        reduced: whether P-Net may look at a smaller copy of a photo whose smallest wanted face is large. Its squares
            then lie elsewhere by parts of a pixel.

    Raises:
        DetectionError: the nets cannot be built.
    """

    def __init__(
        self,
        spec: DetectorSpec | None = None,
        threads: int = 1,
        files: dict[str, Path] | None = None,
        reduced: bool = False,
    ) -> None:
        self.spec = spec or DetectorSpec()
        self.reduction = reduction(self.spec.min_face) if reduced else 1
        self.nets = {name: _Net(path, threads) for name, path in (files or net_files()).items()}
        self.last: tuple[tuple[int, int], tuple[Layout, np.ndarray, np.ndarray]] | None = None
        # P-Net's two scores are not normalised: only where their difference says so, a probability is computed.
        self.surplus = np.log(self.spec.thresholds[0] / (1 - self.spec.thresholds[0]))

    def detect(self, photo: np.ndarray, reduced_by: int = 1) -> Faces:
        """Faces of a photo, in its pixels.

        Args:
            photo: (height, width, 3) uint8 RGB.
            reduced_by: 1, or of a smaller copy of a photo, by how much it is smaller; at most `decodable`.
        """
        if min(photo.shape[:2]) * reduced_by < self.spec.min_face:
            return NO_FACES
        further = self.reduction // reduced_by
        if further == 1:
            pixels = photo.astype(np.float32)
            boxes = self.propose(pixels)
        else:
            # Only what the squares show is ever needed in full; turning all of it to floats takes longer than P-Net.
            pixels, boxes = photo, self._propose_reduced(photo, further)
        if len(boxes):
            boxes = self.refine(pixels, boxes)
        return self.finish(pixels, boxes) if len(boxes) else NO_FACES

    def _propose_reduced(self, photo: np.ndarray, factor: int) -> np.ndarray:
        """As `propose`, from a smaller copy of the photo."""
        height, width = (side // factor for side in photo.shape[:2])
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        boxes = self.propose(small.astype(np.float32))
        scale = np.array([photo.shape[1] / width, photo.shape[0] / height] * 2, np.float32)
        return np.asarray(boxes * scale)

    def canvas(self, height: int, width: int) -> tuple[Layout, np.ndarray, np.ndarray]:
        """Return the layout for photos of a size and P-Net's two inputs; those of the last size are kept."""
        if self.last is None or self.last[0] != (height, width):
            layout = plan_layout(height, width, self.spec.min_face / self.reduction, self.spec.factor)
            inputs = (empty_canvas(layout)[None], barrier(layout)[None]) if layout.levels else (np.empty(0),) * 2
            self.last = (height, width), (layout, *inputs)
        return self.last[1]

    def propose(self, pixels: np.ndarray) -> np.ndarray:
        """(n, 4) squares that P-Net takes for faces, from (height, width, 3) float32 pixels."""
        layout, canvas, wall = self.canvas(*pixels.shape[:2])
        if not layout.levels:
            return NO_FACES.boxes
        draw_pyramid(pixels, layout, canvas[0])
        maps = self.search(canvas, wall)
        found, scores = [], []
        for level in layout.levels:
            nothing, something = np.moveaxis(maps["score"][0][level.cells], -1, 0)
            row, column = np.nonzero(something - nothing > self.surplus)
            if not len(row):
                continue
            score = 1 / (1 + np.exp(nothing[row, column] - something[row, column]))
            offsets = maps["offsets"][0][level.cells][row, column]
            corner = STRIDE * np.stack([column, row], axis=1).astype(np.float32)
            windows = np.concatenate([corner, corner + WINDOW], axis=1)
            windows[:, :2] += 1  # The package counts the first pixel from one.
            size = WINDOW - 1
            boxes = (windows + offsets * size) / level.scale
            kept = suppress(boxes, score, LEVEL_OVERLAP)
            found.append(boxes[kept])
            scores.append(score[kept])
        if not found:
            return NO_FACES.boxes
        boxes, score = np.concatenate(found), np.concatenate(scores)
        return squared(boxes[suppress(boxes, score, PROPOSAL_OVERLAP)])

    def search(self, canvas: np.ndarray, wall: np.ndarray) -> dict[str, np.ndarray]:
        """P-Net's maps of a canvas, band by band: less memory for large photos, and faster within a core's cache."""
        rows = canvas.shape[1] // STRIDE - WINDOW // STRIDE + 1
        band = max(1, BAND_PIXELS // canvas.shape[2] // STRIDE)
        parts = []
        for start in range(0, rows, band):
            top = STRIDE * start
            bottom = top + STRIDE * (min(band, rows - start) - 1) + WINDOW
            parts.append(self.nets["pnet"].run(canvas[:, top:bottom], wall[:, top : bottom - 2]))
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}

    def refine(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """(m, 4) squares of those that R-Net agrees with, moved to where it sees them."""
        outputs = self._look("rnet", pixels, boxes)
        score = outputs["score"][:, 1]
        good = score > self.spec.thresholds[1]
        boxes, score = moved(boxes, outputs["offsets"])[good], score[good]
        return squared(boxes[suppress(boxes, score, PROPOSAL_OVERLAP)])

    def finish(self, pixels: np.ndarray, boxes: np.ndarray) -> Faces:
        """The faces that O-Net agrees with, and their points."""
        outputs = self._look("onet", pixels, boxes)
        score = outputs["score"][:, 1]
        good = score > self.spec.thresholds[2]
        size = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None, :]
        points = outputs["points"].reshape(-1, 5, 2) * size + boxes[:, None, :2] - 1
        boxes, score, points = moved(boxes, outputs["offsets"])[good], score[good], points[good]
        kept = suppress(boxes, score, FACE_OVERLAP, of="smaller")
        return Faces(boxes[kept], score[kept], points[kept])

    def _look(self, name: str, pixels: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
        parts = [
            self.nets[name].run(windows(pixels, boxes[start : start + BATCH], WINDOWS[name]))
            for start in range(0, len(boxes), BATCH)
        ]
        return {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}


def reduction(min_face: float) -> int:
    """By how much a photo may be reduced before P-Net looks at it: a power of two.

    The largest level of the pyramid, which shows the smallest wanted face in a window, has at most half the resolution
    of what it is drawn from.
    """
    factor = 1
    while min_face / (2 * factor) >= 2 * WINDOW:
        factor *= 2
    return factor


def decodable(min_face: float) -> int:
    """By how much a photo may be decoded smaller, so that O-Net, too, need not enlarge the smallest wanted face."""
    return min(max(reduction(min_face) // 2, 1), MOST_REDUCED)


class DetectorPool:
    """Finds faces from many threads, with as many detectors as are busy at a time.

    Args:
        spec: what is looked for.
        reduced: as of `Detector`.

    Raises:
        DetectionError: at the first photo, the nets cannot be built.
    """

    def __init__(self, spec: DetectorSpec | None = None, reduced: bool = False) -> None:
        self.spec, self.reduced = spec, reduced
        self.idle: list[Detector] = []

    def detect(self, photo: np.ndarray, reduced_by: int = 1) -> Faces:
        """Detect faces, as `Detector.detect`."""
        try:
            detector = self.idle.pop()
        except IndexError:
            with _BUILDING:
                detector = Detector(self.spec, reduced=self.reduced)
        try:
            return detector.detect(photo, reduced_by)
        finally:
            self.idle.append(detector)

    def detect_batch(self, photos: Sequence[np.ndarray], workers: int | None = None) -> list[Faces]:
        """Faces of each photo, of whatever sizes.

        Args:
            workers: threads; None for one each core.
        """
        with ThreadPoolExecutor(workers or usable_cores()) as pool:
            return list(pool.map(self.detect, photos))


_BUILDING = threading.Lock()
"""Two threads would build the same nets."""


def windows(pixels: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """Square pictures of what boxes show, bilinear; grey outside the photo.

    Args:
        pixels: (height, width, 3) float32 or uint8, of which only what a box shows becomes float.
        boxes: (n, 4).

    Returns:
        (n, side, side, 3) float32.
    """
    height, width = pixels.shape[:2]
    steps = np.linspace(0, 1, side, dtype=np.float32)
    # A box that reaches from edge to edge shows the first and the last pixel, as in the `mtcnn` package.
    box = boxes.astype(np.float32) * np.array([(width - 1) / width, (height - 1) / height] * 2, np.float32)
    x = box[:, 0:1] + (box[:, 2:3] - box[:, 0:1]) * steps
    y = box[:, 1:2] + (box[:, 3:4] - box[:, 1:2]) * steps
    shape = (len(boxes), side, side)
    # Whatever lies outside is grey, with no seam of half a pixel.
    outside = ((y < 0) | (y > height - 1))[:, :, None] | ((x < 0) | (x > width - 1))[:, None, :]
    map_x, map_y = np.broadcast_to(x[:, None, :], shape), np.broadcast_to(y[:, :, None], shape)
    if pixels.dtype == np.float32 and max(height, width) < REMAP_LIMIT:
        pictures = _remap(pixels, map_x.reshape(-1, side), map_y.reshape(-1, side)).reshape(*shape, 3)
    else:
        pictures = np.stack([_near(pixels, *maps) for maps in zip(map_x, map_y, strict=True)])
    pictures[outside] = GREY
    return pictures


REMAP_LIMIT = 32_000
"""Pixels on a side; OpenCV counts coordinates in 16 bits."""


def _near(pixels: np.ndarray, map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    """One picture from a part of the photo that is small enough."""
    height, width = pixels.shape[:2]
    left, right = np.clip([np.floor(map_x.min()), np.ceil(map_x.max()) + 1], 0, width - 1).astype(int)
    top, bottom = np.clip([np.floor(map_y.min()), np.ceil(map_y.max()) + 1], 0, height - 1).astype(int)
    part = pixels[top : bottom + 1, left : right + 1].astype(np.float32, copy=False)
    return _remap(part, map_x - np.float32(left), map_y - np.float32(top))


def _remap(pixels: np.ndarray, map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.remap(pixels, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


OUTPUT_WIDTHS = {2: "score", 4: "offsets", 10: "points"}


class _Net:
    """A net in the runtime, for inputs of any shape."""

    def __init__(self, path: Path, threads: int) -> None:
        with silent_native_output():
            self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self.interpreter.allocate_tensors()
        # Pixels have three channels, the barrier has one.
        inputs = sorted(self.interpreter.get_input_details(), key=lambda entry: -entry["shape"][-1])
        self.inputs = [entry["index"] for entry in inputs]
        self.outputs = {OUTPUT_WIDTHS[int(e["shape"][-1])]: e["index"] for e in self.interpreter.get_output_details()}
        self.shape = tuple(map(int, inputs[0]["shape"]))

    def run(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        if inputs[0].shape != self.shape:
            for index, value in zip(self.inputs, inputs, strict=True):
                self.interpreter.resize_tensor_input(index, value.shape)
            self.interpreter.allocate_tensors()
            self.shape = inputs[0].shape
        for index, value in zip(self.inputs, inputs, strict=True):
            self.interpreter.set_tensor(index, value)
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(index) for name, index in self.outputs.items()}


class FixedDetector(Detector):
    """The same cascade with nets of fixed shapes, as a phone runs it, for photos of one size.

    Args:
        fixed: shapes in the files.
        files: of the three nets, as of `net_files`.
        spec: gives the thresholds; `fixed` says how small and in which sizes.
        threads: of the runtime.
    """

    def __init__(self, fixed: Fixed, files: dict[str, Path], spec: DetectorSpec, threads: int = 1) -> None:
        super().__init__(dataclasses.replace(spec, min_face=fixed.min_face, factor=fixed.factor), threads, files)
        self.fixed = fixed

    def detect(self, photo: np.ndarray, reduced_by: int = 1) -> Faces:
        """Faces of a photo of the one size.

        Args:
            photo: (fixed.photo[0], fixed.photo[1], 3) uint8 RGB.
        """
        assert photo.shape[:2] == self.fixed.photo and reduced_by == 1
        return super().detect(photo)

    def search(self, canvas: np.ndarray, wall: np.ndarray) -> dict[str, np.ndarray]:
        """P-Net's maps of the whole canvas; its barrier lies in the file."""
        return self.nets["pnet"].run(canvas)

    def _look(self, name: str, pixels: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
        net, parts = self.nets[name], []
        for start in range(0, len(boxes), net.shape[0]):
            part = boxes[start : start + net.shape[0]]
            pictures = np.zeros(net.shape, np.float32)
            pictures[: len(part)] = windows(pixels, part, WINDOWS[name])
            parts.append({output: values[: len(part)] for output, values in net.run(pictures).items()})
        return {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}
