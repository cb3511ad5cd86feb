"""Face-attribute models, from a folder of labelled photos to a phone."""

import os

__version__ = "0.1.0"

# OpenCV reads its limit once, when it is first imported: larger photos are refused before they are decoded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "178956970")
