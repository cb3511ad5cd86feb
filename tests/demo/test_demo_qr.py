"""The QR code that says where the page is."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from keras_faceattr.demo.qr import qr_code


@pytest.mark.parametrize("url", ["http://192.168.178.123:8080/", "https://10.0.0.1:443/#token=FWg4o8rtAbPJ07ZyXw_2-Q"])
def test_a_camera_reads_the_address_from_the_printed_code(url: str) -> None:
    rows: list[list[int]] = []
    for line in qr_code(url).splitlines():
        cells = re.findall("\x1b\\[([0-9]+);([0-9]+)m▀", line)
        rows += [
            [0 if upper == "30" else 255 for upper, _ in cells],
            [0 if lower == "40" else 255 for _, lower in cells],
        ]
    picture = np.array(rows, "uint8").repeat(8, 0).repeat(8, 1)
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == url
