"""The command line: thin commands, each of which imports what it needs when it runs."""

from __future__ import annotations

import os
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
    except KeyboardInterrupt:
        print("interrupted; a fit goes on with: keras-faceattr fit --resume RUN", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
