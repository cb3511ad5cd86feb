"""The command line: thin commands, each of which imports what it needs when it runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `keras-faceattr`: a user's error is one line and exit 2."""
    from keras_faceattr.cli.app import app
    from keras_faceattr.errors import FaceAttrError

    try:
        app()
    except FaceAttrError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
