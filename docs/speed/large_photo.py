"""Time from a 12-megapixel file to crops, by the smallest face: `python docs/speed/large_photo.py`.

The photo is a drawn scene of three faces, enlarged to 4096 × 3072 pixels and stored as JPEG and PNG. CPU time of one
thread, not that of the clock; the ways are measured in turn, and the median counts. "before" decodes the whole photo
and searches it from the size of face that the crop names, 20 pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.faces.boxes import overlaps
from keras_faceattr.faces.crop_spec import CropSpec
from keras_faceattr.faces.cutting import Cropper, Cut
from keras_faceattr.faces.photos import decode_photo
from keras_faceattr.faces.stored import StoredPhoto

ROUNDS = 3
SMALLEST = (40, 80, 100, 200, 400)
CROP = 112


def main() -> None:
    """Prints seconds by smallest face, next to the search of the whole photo, and whether the same faces are found."""
    cv2.setNumThreads(1)
    photo = cv2.resize(draw_scene(5, 2, 768, 1024, 3)[0], (4096, 3072), interpolation=cv2.INTER_CUBIC)
    for kind in (".jpg", ".png"):
        data = cv2.imencode(kind, photo[..., ::-1])[1].tobytes()
        croppers = {side: Cropper(CropSpec(CROP, "five_points"), "all", min_face=side) for side in SMALLEST}
        before = Cropper(CropSpec(CROP, "five_points"), "all")
        ways: dict[str, Callable[[], list[Cut]]] = {
            "decoding alone": lambda data=data: [decode_photo(data, "photo")][:0],  # type: ignore[misc]
            "before": lambda data=data, before=before: before.cut(decode_photo(data, "photo")),  # type: ignore[misc]
        }
        for side, cropper in croppers.items():
            ways[f"from {side} pixels"] = lambda data=data, cropper=cropper: cropper.cut(StoredPhoto(data, "photo"))  # type: ignore[misc]
        found = {name: way() for name, way in ways.items()}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                begun = time.process_time()
                way()
                seconds[name].append(time.process_time() - begun)
        usual = np.median(seconds["before"])
        for name, times in seconds.items():
            median = float(np.median(times))
            said = f"{median:.3f} s, {usual / median:.1f} × as fast" if name != "before" else f"{median:.3f} s"
            print(f"{kind[1:]}, {name}: {said}, {_same(found[name], found['before'])}")


def _same(found: list[Cut], expected: list[Cut]) -> str:
    """How many of the expected faces were found, and by how much of a face's side their points differ at most."""
    if not found:
        return "no face looked for"
    boxes = [np.array([cut.box for cut in cuts]) for cuts in (found, expected)]
    best = overlaps(boxes[1], boxes[0])
    same = [(row, int(best[row].argmax())) for row in range(len(expected)) if best[row].max() > 0.5]
    gaps = [
        np.abs(found[column].points - expected[row].points).max() / (boxes[1][row][2:] - boxes[1][row][:2]).max()
        for row, column in same
    ]
    return f"{len(same)} of {len(expected)} faces, points at most {max(gaps):.1%} of a face apart"


if __name__ == "__main__":
    main()
