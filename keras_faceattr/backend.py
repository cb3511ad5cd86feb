"""What native libraries read and print: oneDNN's variable, and silence around lines that no log level stops."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""Variable read when TensorFlow is imported: whether it computes with oneDNN's kernels on a CPU."""

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def silent_native_output(*, stdout: bool = False) -> Iterator[None]:
    """Sends what native code writes to stderr to nowhere; what Python wrote before is flushed first.

    Args:
        stdout: silences that too; the converter prints to both.
    """
    # A second thread that came in between would keep the first one's silence for good.
    with _ONE_AT_A_TIME:
        streams = {2: sys.stderr, 1: sys.stdout} if stdout else {2: sys.stderr}
        saved = {}
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number, stream in streams.items():
            stream.flush()
            saved[number] = os.dup(number)
            os.dup2(nowhere, number)
        try:
            yield
        finally:
            for number, stream in streams.items():
                stream.flush()
                os.dup2(saved[number], number)
                os.close(saved[number])
            os.close(nowhere)
