"""Worker processes: none outlives the process that started it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import is_running, wait_for

PARENT = """
import os, time
from keras_faceattr.processes import worker_pool

if __name__ == "__main__":
    with worker_pool(2) as pool:
        sleeping = [pool.submit(time.sleep, 100) for _ in range(2)]
        while len(pool._processes) < 2:
            time.sleep(0.05)
        print(*pool._processes, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_busy_workers_end_when_their_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2 and all(map(is_running, workers))
    finally:
        parent.send_signal(how)
        parent.wait()
    assert wait_for(lambda: not any(map(is_running, workers)), seconds=20)
