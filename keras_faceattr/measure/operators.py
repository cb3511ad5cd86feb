"""Time of a file on this machine, op by op, as the runtime's own profiler sees it.

The Python interface of ai_edge_litert has no profiler, but the library beneath it has one in its C interface
(litert/c/litert_profiler.h, litert_compiled_model.h; the names of the options stand in litert/c/options). A wrong call
there crashes the process, so that it happens in a child.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_faceattr.artifact.flatbuffer import FLOATS, read_tflite
from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.latency import SEED, WARMUP_RUNS, pinned

RUNS = 20
CPU = 1
WRITE = 1
TENSOR_TYPE_BYTES = 256
"""More than the runtime's description of a tensor takes."""
NUMBER = r"([\d.]+)"
OP_LINE = re.compile(
    rf"^\s*(\S.*?)\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}%\s+{NUMBER}%\s+{NUMBER}\s+(\d+)\s+(\S+)$"
)
"""Kind, start, first ms, average ms, percent, sum of percent, KB, times called, name."""


@dataclass(frozen=True)
class OpTime:
    """Mean time of one op of the graph that runs, which has other ops than the file: XNNPACK fuses and replaces.

    Attributes:
        kind: `Convolution (NHWC, QC8) IGEMM` of XNNPACK, or `QUANTIZE` of the runtime itself.
        name: `[Delegate]:3`, the fourth op of XNNPACK.
        share: of the sum over all ops.
    """

    kind: str
    name: str
    ms: float
    share: float


def op_profile(path: Path, threads: int) -> list[OpTime]:
    """Profiles a file with random pixels, in the order in which the ops run.

    Times are whole microseconds averaged over `RUNS`, so that tiny ops may read 0; profiling itself costs time, so
    that only the shares mean something.

    Raises:
        ArtifactError: the file is damaged.
        BenchmarkError: a number of threads that the machine does not have, or the runtime gives no profile.
    """
    file = read_tflite(path)
    with pinned(threads):
        pass
    dtypes = [file.tensors[index].dtype for index in file.inputs]
    child = subprocess.run(
        [sys.executable, "-m", "keras_faceattr.measure.operators", str(path), str(threads), json.dumps(dtypes)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    ops = parse_summary(child.stdout)
    if child.returncode or not ops:
        lines = child.stderr.strip().splitlines()
        reason = f"signal {-child.returncode}" if child.returncode < 0 else lines[-1][:200] if lines else "no ops"
        raise BenchmarkError(f"{path}: this version of ai_edge_litert gives no op profile of it ({reason})")
    return ops


def parse_summary(text: str) -> list[OpTime]:
    """The ops of the profiler's first table, `Run Order`."""
    table = text.partition(" Run Order ")[2].partition(" Top by ")[0]
    rows = [found.groups() for line in table.splitlines() if (found := OP_LINE.match(line))]
    total = sum(float(row[3]) for row in rows) or 1.0
    return [OpTime(row[0].removeprefix("Delegate/"), row[8], float(row[3]), float(row[3]) / total) for row in rows]


class _Runtime:
    """The C interface; every function returns 0 or an error."""

    def __init__(self) -> None:
        import ai_edge_litert

        folder = Path(ai_edge_litert.__file__).parent
        self.library = ctypes.CDLL(str(next(folder.glob("libLiteRt.*"))))
        self.kept: list[Any] = []

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise OSError(f"{name} failed with status {status}")

    def make(self, name: str, *arguments: Any, kind: Callable[[], Any] = ctypes.c_void_p) -> Any:
        """Return the value that the function writes to its last argument."""
        made = kind()
        self.call(name, *arguments, ctypes.byref(made))
        return made

    def set_option(self, options: Any, identifier: str, text: str) -> None:
        """Adds options, which the runtime reads as TOML while the model is compiled."""
        content = ctypes.create_string_buffer(text.encode())
        nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self.kept += [content, nothing]
        made = self.make("LiteRtCreateOpaqueOptions", identifier.encode(), content, nothing)
        self.call("LiteRtAddOpaqueOptions", options, made)

    def buffers(self, kind: str, environment: Any, signature: Any, compiled: Any) -> Any:
        """A buffer for each `Input` or `Output`."""
        count = self.make(f"LiteRtGetNumSignature{kind}s", signature, kind=ctypes.c_size_t).value
        array = (ctypes.c_void_p * count)()
        for i in range(count):
            index = ctypes.c_size_t(i)
            tensor = self.make(f"LiteRtGetSignature{kind}TensorByIndex", signature, index)
            described = ctypes.create_string_buffer(TENSOR_TYPE_BYTES)
            self.call("LiteRtGetRankedTensorType", tensor, described)
            needs = self.make(f"LiteRtGetCompiledModel{kind}BufferRequirements", compiled, ctypes.c_size_t(0), index)
            made = self.make("LiteRtCreateManagedTensorBufferFromRequirements", environment, described, needs)
            array[i] = made.value
        return array


def _profile(path: str, threads: int, dtypes: list[str]) -> str:
    """The profiler's report; runs in a child process, which ends without tidying up."""
    run = _Runtime()
    environment = run.make("LiteRtCreateEnvironment", 0, None)
    model = run.make("LiteRtCreateModelFromFile", environment, path.encode())
    options = run.make("LiteRtCreateOptions")
    run.call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
    run.set_option(options, "runtime_options_string", "enable_profiling = true\n")
    run.set_option(options, "xnnpack", f"num_threads = {threads}\n")
    compiled = run.make("LiteRtCreateCompiledModel", environment, model, options)
    signature = run.make("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
    inputs = run.buffers("Input", environment, signature, compiled)
    outputs = run.buffers("Output", environment, signature, compiled)
    rng = np.random.default_rng(SEED)
    for buffer, dtype in zip(inputs, dtypes, strict=True):
        pointer = ctypes.c_void_p(buffer)
        size = run.make("LiteRtGetTensorBufferPackedSize", pointer, kind=ctypes.c_size_t).value
        pixels = rng.uniform(0, 255, size // 4).astype(np.float32).tobytes() if dtype in FLOATS else rng.bytes(size)
        place = ctypes.c_void_p()
        run.call("LiteRtLockTensorBuffer", pointer, ctypes.byref(place), WRITE)
        ctypes.memmove(place, pixels, len(pixels))
        run.call("LiteRtUnlockTensorBuffer", pointer)
    profiler = run.make("LiteRtCompiledModelGetProfiler", compiled)
    counts = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(len(outputs))
    for number in range(WARMUP_RUNS + RUNS):
        if number == WARMUP_RUNS:
            run.call("LiteRtStartProfiler", profiler)
        run.call("LiteRtRunCompiledModel", compiled, ctypes.c_size_t(0), counts[0], inputs, counts[1], outputs)
    run.call("LiteRtStopProfiler", profiler)
    return str(run.make("LiteRtGetProfileSummary", profiler, compiled, kind=ctypes.c_char_p).value.decode())


if __name__ == "__main__":
    with pinned(int(sys.argv[2])):
        print(_profile(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
