"""Results for machines."""

from __future__ import annotations

import json
from typing import Any

from keras_faceattr.storage import jsonable


def print_json(value: Any) -> None:
    """Print JSON; what is not a number becomes null."""
    print(json.dumps(jsonable(value), indent=2, ensure_ascii=False))
