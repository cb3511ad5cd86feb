"""Arithmetic on boxes (n, 4): left, top, right, bottom in pixels."""

from __future__ import annotations

import numpy as np

BLOCK = 512
"""Rows of the table of overlaps that are computed at once."""


def overlaps(first: np.ndarray, second: np.ndarray, of: str = "union") -> np.ndarray:
    """Area of the intersection as a share.

    Args:
        first: (n, 4) boxes.
        second: (m, 4) boxes.
        of: `union` (IoU), or `smaller`: the smaller of the two areas.

    Returns:
        (n, m) from 0 to 1.
    """
    left_top = np.maximum(first[:, None, :2], second[None, :, :2])
    right_bottom = np.minimum(first[:, None, 2:], second[None, :, 2:])
    width, height = np.moveaxis(np.maximum(right_bottom - left_top, 0), -1, 0)
    intersection = width * height
    a, b = areas(first)[:, None], areas(second)[None, :]
    whole = np.minimum(a, b) if of == "smaller" else a + b - intersection
    shares: np.ndarray = np.divide(intersection, whole, out=np.zeros(intersection.shape, np.float32), where=whole > 0)
    return shares


def areas(boxes: np.ndarray) -> np.ndarray:
    """(n,) in square pixels; 0 for a box that is inside out."""
    width, height = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).T
    product: np.ndarray = width * height
    return product


def suppress(boxes: np.ndarray, scores: np.ndarray, limit: float, of: str = "union") -> np.ndarray:
    """Non-maximum suppression: drops every box that overlaps one with a higher score by more than `limit`.

    As in the `mtcnn` package, a box that is itself dropped still drops others, which needs no loop over boxes.

    Returns:
        Positions of the boxes that stay, best first.
    """
    # Sure scores are equal to the last bit; the `mtcnn` package then prefers the order that this call gives.
    order = np.argsort(scores.astype(np.float64))[::-1]
    boxes = boxes[order]
    stays = np.ones(len(boxes), bool)
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        # Only worse boxes can be dropped by a box.
        drops = overlaps(block, boxes[start:], of) > limit
        drops &= np.arange(drops.shape[1])[None, :] > np.arange(len(block))[:, None]
        stays[start:] &= ~drops.any(axis=0)
    return order[stays]


def squared(boxes: np.ndarray) -> np.ndarray:
    """Boxes grown on their shorter side to squares about the same centres."""
    centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    return np.concatenate([centre - side / 2, centre + side / 2], axis=1)


def moved(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes whose edges are shifted by shares of their own size; a box of n pixels counts n + 1, as in training."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    shifted: np.ndarray = boxes + offsets * np.tile(size, 2)
    return shifted
