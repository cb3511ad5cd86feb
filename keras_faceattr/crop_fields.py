"""The fields of a crop, their defaults and ranges: once, for what people write and for what cuts photos.

`config.CropConfig` reads them from YAML and names the key that is wrong; `faces.crop_spec.CropSpec` cuts by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

SMALLEST_FACE = 12
"""Side in pixels of the windows that MTCNN looks at."""

LARGEST_FACE = 10_000
"""In pixels, beyond the side of any photo that is read."""

Score = Annotated[float, Field(gt=0, lt=1)]

FACTORS = (0.3, 0.95)
SIZES = (16, 1024)
MARGINS = (0.0, 2.0)


@dataclass(frozen=True)
class DetectorFields:
    """What a face detector looks for; the defaults are the paper's.

    Attributes:
        min_face: side in pixels of the smallest face.
        thresholds: scores that P-, R- and O-Net ask for.
        factor: between the sizes in which a photo is searched.
    """

    min_face: Annotated[int, Field(ge=SMALLEST_FACE, le=LARGEST_FACE)] = 20
    thresholds: Annotated[tuple[Score, ...], Field(min_length=3, max_length=3)] = (0.6, 0.7, 0.7)
    factor: Annotated[float, Field(ge=FACTORS[0], le=FACTORS[1])] = 0.709


@dataclass(frozen=True)
class CutFields:
    """What is cut out of a photo.

    Attributes:
        size: side of the square crop in pixels.
        method: `centre_square` cuts the largest centred square; `whole_photo` squeezes the photo into a square;
            `five_points` turns a face upright by its eyes, nose and mouth; `face_box` cuts a square about its box.
        interpolation: how pixels are resampled.
        margin: what the two face methods add on each side, as a share of the face's square.
        face: which of several: the `largest`, or the most `central`. Training shows a photo's label with one face.
        fallback: method for a photo without a face; None leaves such a photo out.
    """

    size: Annotated[int, Field(ge=SIZES[0], le=SIZES[1])] = 224
    method: str = "centre_square"
    interpolation: str = "area"
    margin: Annotated[float, Field(ge=MARGINS[0], le=MARGINS[1])] = 0.2
    face: str = "largest"
    fallback: str | None = None
