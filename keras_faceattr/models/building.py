"""Settings that hold only while a net is built: the seed of its initial weights, and its precision."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Make Keras draw the seeds of initializers and layers from `seed`, and restore Python's generator afterwards.

    Keras draws each seed that it is not given from Python's own generator, and from nothing else.

    Args:
        seed: None leaves everything to chance.
    """
    if seed is None:
        yield
        return
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Make a Keras dtype policy that of all layers that are built, and restore the one before."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
