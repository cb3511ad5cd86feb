"""Time to find faces in a photo of 12 megapixels, by the smallest face: `python docs/speed/large_photo.py`.

The photo is a drawn scene of three faces, enlarged to 4096 × 3072 pixels. CPU time, not that of the clock.
"""

from __future__ import annotations

import time

import cv2

from keras_faceattr.data.synthetic import draw_scene
from keras_faceattr.faces.detector import Detector
from keras_faceattr.faces.detector_spec import DetectorSpec

RUNS = 3


def main() -> None:
    """Prints a line per smallest face, as `predict --min-face` searches for it."""
    cv2.setNumThreads(1)
    photo = cv2.resize(draw_scene(5, 2, 768, 1024, 3)[0], (4096, 3072), interpolation=cv2.INTER_CUBIC)
    for min_face in (20, 40, 80, 160):
        detector = Detector(DetectorSpec(min_face=min_face), reduced=True)
        faces = detector.detect(photo)
        begun = time.process_time()
        for _ in range(RUNS):
            detector.detect(photo)
        print(f"from {min_face} pixels: {(time.process_time() - begun) / RUNS:.2f} s, {len(faces)} faces")


if __name__ == "__main__":
    main()
