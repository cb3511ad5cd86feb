"""OpenCV's threads are set for a while and given back."""

from collections.abc import Iterator

import cv2
import pytest

from keras_faceattr.faces.opencv_threads import opencv_threads


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_the_number_holds_within_the_block_and_an_error_ends_it() -> None:
    with pytest.raises(ValueError), opencv_threads(1):
        assert cv2.getNumThreads() == 1
        raise ValueError
    assert cv2.getNumThreads() == 3


def test_blocks_that_overlap_restore_what_was_before_all_of_them() -> None:
    first, second = opencv_threads(1), opencv_threads(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 2
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3
