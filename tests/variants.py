"""The registered nets as parameters of a test: one of each builder on every push, the others in `make test-all`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import pytest

from keras_faceattr.models import MODELS

QUICK_NETS = (
    "tiny_att_net",
    "faces_net",
    "hmtnet_mobile",
    "crnet_mobile",
    "identity_net_mobile",
    "attribute_net_mobile",
    "tree_cnn_mobile",
)
"""A small variant of each builder. `test_every_builder_has_a_quick_net` says when one is missing."""


def bodies() -> list[Any]:
    """Parameters as of `nets`, one for each body: nets that differ in their tasks alone are represented by the first.

    Of a net whose features depend on the task, no two names share their options.
    """
    found: dict[tuple[Any, str], str] = {}
    for name, entry in MODELS.items():
        found.setdefault((inspect.unwrap(entry.net), repr(entry.options)), name)
    return nets(found.values())


def nets(names: Iterable[str] = tuple(MODELS)) -> list[Any]:
    """Parameters for a fixture or test; all but the quick nets are marked slow."""
    return [name if name in QUICK_NETS else pytest.param(name, marks=pytest.mark.slow) for name in names]
