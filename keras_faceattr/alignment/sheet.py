"""A picture to look at before one trains: photos with what was found, each beside its crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from keras_faceattr.alignment.job import Alignment
from keras_faceattr.errors import PhotoError
from keras_faceattr.faces.photos import read_photo
from keras_faceattr.storage import replacing

TILE = 160
COLUMNS = 4
MOST = 24
BOX, POINT, NOTHING = (64, 220, 64), (255, 48, 48), (127, 127, 127)


def write_sheet(alignment: Alignment, path: Path) -> int:
    """Draws up to 24 of the photos that have a crop, spread over all, with box and points, each beside its crop.

    Returns:
        The number of photos drawn.
    """
    count = sum(1 for _ in alignment.crops())
    drawn_ones = set(np.linspace(0, count - 1, min(count, MOST)).round().astype(int).tolist())
    tiles = []
    for index, (photo_path, crop_path, entry) in enumerate(alignment.crops()):
        if index not in drawn_ones:
            continue
        try:
            photo, crop = read_photo(photo_path), read_photo(crop_path)
        except PhotoError:
            continue
        tiles.append(np.concatenate([_photo_tile(photo, entry["faces"]), _fitted(crop)[0]], axis=1))
    drawn = len(tiles)
    blank = np.full((TILE, 2 * TILE, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[start : start + COLUMNS], axis=1) for start in range(0, len(tiles), COLUMNS)]
    sheet = np.concatenate(rows or [blank])
    with replacing(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    return drawn


def _photo_tile(photo: np.ndarray, faces: list[dict[str, list[float]]]) -> np.ndarray:
    tile, scale, shift = _fitted(photo)
    for face in faces:
        if face["box"] is None:
            continue
        left, top, right, bottom = (np.array(face["box"]) * scale + np.tile(shift, 2)).round().astype(int)
        cv2.rectangle(tile, (int(left), int(top)), (int(right), int(bottom)), BOX, 1, cv2.LINE_AA)
        for x, y in (np.array(face["points"]) * scale + shift).round().astype(int):
            cv2.circle(tile, (int(x), int(y)), 2, POINT, -1, cv2.LINE_AA)
    return tile


def _fitted(picture: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The picture in the middle of a grey tile, the scale, and the shift."""
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shift = np.array([(TILE - size[0]) // 2, (TILE - size[1]) // 2])
    tile = np.full((TILE, TILE, 3), NOTHING, np.uint8)
    tile[shift[1] : shift[1] + size[1], shift[0] : shift[0] + size[0]] = cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA
    )
    return tile, scale, shift
