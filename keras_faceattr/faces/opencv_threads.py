"""OpenCV's number of threads, which belongs to the whole process, set for a while and given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_LOCK = threading.Lock()
_inside = 0
_before = 0


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Lets OpenCV use `count` threads; the last block to end restores what was set before the first one began.

    Threads of ours that each decode or resize a photo would fight with those of OpenCV.
    """
    global _inside, _before
    with _LOCK:
        if not _inside:
            _before = cv2.getNumThreads()
        _inside += 1
        cv2.setNumThreads(count)
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                cv2.setNumThreads(_before)
