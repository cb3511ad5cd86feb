"""Silence around native code ends with it, whatever other threads do."""

import os
import subprocess
import sys

import pytest

from keras_faceattr.backend import silent_native_output


def test_what_native_code_writes_is_not_seen_and_what_follows_is(capfd: pytest.CaptureFixture[str]) -> None:
    with silent_native_output():
        os.write(2, b"native\n")
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "after\n"


def test_silence_in_many_threads_leaves_stderr_as_it_was() -> None:
    # In a process of its own, whose stderr may be lost.
    script = (
        "import sys, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from keras_faceattr.backend import silent_native_output\n"
        "barrier = threading.Barrier(4)\n"
        "def silent(i):\n"
        "    barrier.wait()\n"
        "    for _ in range(50):\n"
        "        with silent_native_output():\n"
        "            time.sleep(0.001)\n"
        "with ThreadPoolExecutor(4) as pool: list(pool.map(silent, range(4)))\n"
        "print('still here', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "still here\n"
