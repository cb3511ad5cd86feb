"""The registered nets as parameters of a test: one of each builder on every push, the others in `make test-all`."""

from __future__ import annotations

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


def nets(names: Iterable[str] = tuple(MODELS)) -> list[Any]:
    """Parameters for a fixture or test; all but the quick nets are marked slow."""
    return [name if name in QUICK_NETS else pytest.param(name, marks=pytest.mark.slow) for name in names]
