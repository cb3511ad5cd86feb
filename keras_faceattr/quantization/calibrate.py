"""Ranges of activations from what they are on a few photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np

from keras_faceattr.errors import ConfigError, DataError, nearest
from keras_faceattr.quantization.graph import read_graph
from keras_faceattr.quantization.layers import FakeQuantize
from keras_faceattr.quantization.quantize import QuantizedNetwork

SAMPLED_PER_BATCH = 8192
"""Values of a tensor kept from each batch, for observers that look at more than the extremes."""

MOMENTUM = 0.9
PERCENTILE = 99.99
SHRINKS = np.linspace(0.3, 1.0, 71)


@dataclass(frozen=True)
class Observed:
    """What a tensor was, over all batches.

    Attributes:
        minima: (batches,) smallest value of each batch.
        maxima: (batches,) largest.
        sample: (m,) values drawn at random.
    """

    minima: np.ndarray
    maxima: np.ndarray
    sample: np.ndarray


Range = tuple[float, float]


def minmax(observed: Observed) -> Range:
    """The extremes of all batches."""
    return float(observed.minima.min()), float(observed.maxima.max())


def moving(observed: Observed) -> Range:
    """Moving averages of the batches' extremes."""
    low, high = observed.minima[0], observed.maxima[0]
    for a, b in zip(observed.minima[1:], observed.maxima[1:], strict=True):
        low, high = MOMENTUM * low + (1 - MOMENTUM) * a, MOMENTUM * high + (1 - MOMENTUM) * b
    return float(low), float(high)


def percentile(observed: Observed) -> Range:
    """What holds all but 0.01 % of the values on each side."""
    low, high = np.percentile(observed.sample, [100 - PERCENTILE, PERCENTILE])
    return float(low), float(high)


def least_squares(observed: Observed) -> Range:
    """The share of the extremes that rounds and clips the values with the smallest squared error."""
    low, high = (min(limit, 0.0) if i == 0 else max(limit, 0.0) for i, limit in enumerate(minmax(observed)))
    errors = [_squared_error(observed.sample, share * low, share * high) for share in SHRINKS]
    best = float(SHRINKS[int(np.argmin(errors))])
    return best * low, best * high


def _squared_error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / 255 or 1.0
    zero_point = np.round(-low / scale)
    rounded = (np.clip(np.round(values / scale) + zero_point, 0, 255) - zero_point) * scale
    return float(np.mean((values - rounded) ** 2))


OBSERVERS: dict[str, Callable[[Observed], Range]] = {
    "minmax": minmax,
    "moving": moving,
    "percentile": percentile,
    "least_squares": least_squares,
}


DEFAULT_OBSERVER: Final = "minmax"
"""Of `calibrate` and of the recipes alike."""


def calibrate(
    quantized: QuantizedNetwork, folded: keras.Model, batches: Iterable[np.ndarray], observer: str = DEFAULT_OBSERVER
) -> None:
    """Sets the ranges from the float model's activations.

    Args:
        quantized: of `folded`.
        batches: of (b, side, side, 3) pixels from 0 to 255.
        observer: of `OBSERVERS`.

    Raises:
        ConfigError: unknown observer.
        DataError: no photos.
    """
    if observer not in OBSERVERS:
        raise ConfigError(f"unknown observer {observer!r}; {nearest(observer, OBSERVERS)}")
    set_ranges(quantized.ranges(), observe(folded, quantized.plan.points(), batches), observer)


def set_ranges(ranges: dict[str, FakeQuantize], observed: dict[str, Observed], observer: str) -> None:
    """Sets every range that is not fixed."""
    for name, values in observed.items():
        if ranges[name].fixed is None:
            ranges[name].set_range(*OBSERVERS[observer](values))


def observe(
    folded: keras.Model, points: dict[str, list[str]], batches: Iterable[Any], seed: int = 0
) -> dict[str, Observed]:
    """Extremes and a sample of the activations at each range's nodes.

    Args:
        batches: of inputs; of lists of them where the model has several.

    Raises:
        DataError: no photos, or of another size than the model's.
    """
    found_at = {name: node.output for name, node in read_graph(folded).nodes.items()}
    nodes = sorted({node for names in points.values() for node in names})
    probe = keras.Model(folded.inputs, {node: found_at[node] for node in nodes})
    random = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float, np.ndarray]]] = {name: [] for name in points}
    for batch in batches:
        parts = batch if len(folded.inputs) > 1 else [batch]
        for part, tensor in zip(parts, folded.inputs, strict=True):
            if np.shape(part)[1:] != tensor.shape[1:]:
                raise DataError(f"photos to calibrate with are batches of {tensor.shape[1:]}, not {np.shape(part)}")
        if not len(parts[0]):
            continue
        outputs = {node: np.asarray(value) for node, value in probe.predict_on_batch(batch).items()}
        for name, names in points.items():
            values = [outputs[node].ravel() for node in names]
            drawn = [random.choice(v, min(len(v), SAMPLED_PER_BATCH // len(values))) for v in values]
            extremes = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
            found[name].append((*extremes, np.concatenate(drawn)))
    if not next(iter(found.values()), None):
        raise DataError("no photos to calibrate with: give one batch of training photos or more")
    return {name: _stacked(rows) for name, rows in found.items()}


def _stacked(rows: list[tuple[float, float, np.ndarray]]) -> Observed:
    minima, maxima, samples = zip(*rows, strict=True)
    return Observed(np.array(minima), np.array(maxima), np.concatenate(samples))
