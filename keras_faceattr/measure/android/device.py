"""Measures a .tflite on a phone, through `adb` and the official `benchmark_model` binary."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.android.output import BenchmarkOutput, failure, last_line, parse_output

ADB_TIMEOUT_S = 30.0
FOLDER = "/data/local/tmp"

# e_machine of an ELF header, and the ABIs that run it.
MACHINES = {
    0x03: ("x86", ("x86",)),
    0x28: ("32-bit ARM", ("armeabi-v7a", "armeabi")),
    0x3E: ("x86-64", ("x86_64",)),
    0xB7: ("64-bit ARM", ("arm64-v8a",)),
    0xF3: ("RISC-V", ("riscv64",)),
}

STATES = {
    "unauthorized": "is unauthorised; unlock it and allow USB debugging for this computer",
    "offline": "is offline; plug it in again, or run `adb reconnect`",
    "no permissions": "may not be used by this user; add adb's udev rules, or run `adb kill-server` and try again",
}
LOST = "is lost; check the cable and that USB debugging is still on, and run it again"
ADB_FAILURES = {
    r"No space left on device": "has no space left; free some of its storage",
    r"device unauthorized": STATES["unauthorized"],
    r"device offline": STATES["offline"],
    r"device '.*' not found|no devices|error: closed|protocol fault": LOST,
}


@dataclass(frozen=True)
class AndroidOptions:
    """Settings of a measurement.

    Attributes:
        binary: `benchmark_model` for the device's CPU.
        serial: which device, as `adb devices` names it; None takes `$ANDROID_SERIAL`, else the only one.
        cpu_mask: hexadecimal mask of the CPUs to run on, as `taskset` takes it: f0 is CPUs 4 to 7.
        op_profile: measure the ops too, in a run of its own, since profiling slows what it watches.
        runs, warmup_runs: at least; the tool goes on for at least 1 and 0.5 s.
        timeout_s: of each run.
    """

    binary: Path
    serial: str | None = None
    threads: int = 1
    cpu_mask: str | None = None
    use_xnnpack: bool = True
    use_gpu: bool = False
    op_profile: bool = False
    runs: int = 50
    warmup_runs: int = 10
    timeout_s: float = 300

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("runs", 1), ("warmup_runs", 0)):
            if getattr(self, name) < least:
                raise BenchmarkError(f"{name} = {getattr(self, name)}: must be at least {least}")
        if not self.timeout_s > 0:
            raise BenchmarkError(f"timeout_s = {self.timeout_s}: must be above 0")
        if self.cpu_mask is not None and not re.fullmatch(r"0*[1-9a-fA-F][0-9a-fA-F]*", self.cpu_mask):
            raise BenchmarkError(f"cpu_mask = {self.cpu_mask!r}: write hexadecimal digits, such as f0 for CPUs 4 to 7")


@dataclass(frozen=True)
class AndroidDevice:
    """A connected device, as its system properties describe it; `abis` are all that it runs, its own first."""

    serial: str
    model: str
    manufacturer: str
    android_version: str
    abi: str
    soc: str
    abis: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AndroidMeasurement(BenchmarkOutput):
    """Results of the binary for one model, with the device, file and settings.

    Attributes:
        model: file name; `sha256` is of its content.
        ops: from a second, profiled run; empty when none was asked for or the binary printed none.
        date: ISO, UTC.
    """

    device: AndroidDevice
    model: str
    sha256: str
    threads: int
    cpu_mask: str | None
    xnnpack: bool
    gpu: bool
    date: str


def find_adb() -> Path:
    """Path of `adb`, from PATH or the SDK in `$ANDROID_HOME`.

    Raises:
        BenchmarkError: it is in neither.
    """
    home = os.environ.get("ANDROID_HOME")
    found = shutil.which("adb") or (home and shutil.which("adb", path=str(Path(home, "platform-tools"))))
    if not found:
        raise BenchmarkError("no adb in PATH or $ANDROID_HOME/platform-tools; install Android's SDK platform-tools")
    return Path(found)


def connect(adb: Path, serial: str | None = None) -> AndroidDevice:
    """The device of a serial number, or the only one.

    Raises:
        BenchmarkError: there is none, or several and no serial, or it is not ready.
    """
    serial = serial or os.environ.get("ANDROID_SERIAL")
    listed = _call(adb, ["devices"], None).partition("List of devices attached")[2].splitlines()
    states = dict(line.strip().split("\t", 1) for line in listed if "\t" in line.strip())
    names = ", ".join(f"{name} ({state.split('(')[0].strip()})" for name, state in states.items())
    if not states:
        raise BenchmarkError("no Android device is connected; plug one in and switch its USB debugging on")
    if serial is None and len(states) > 1:
        raise BenchmarkError(f"several devices are connected: {names}; say which one by its serial number")
    serial = serial or next(iter(states))
    if serial not in states:
        raise BenchmarkError(f"no device {serial!r} is connected; connected: {names}")
    state = states[serial].strip()
    if state != "device":
        mend = next(
            (text for key, text in STATES.items() if state.startswith(key)),
            f"is in the state {state!r}; start it as usual",
        )
        raise BenchmarkError(f"device {serial} {mend}")
    return _describe(adb, serial)


def measure(adb: Path, device: AndroidDevice, model: Path, options: AndroidOptions) -> AndroidMeasurement:
    """Copies model and binary to the device, measures, and removes both, whatever happens.

    Raises:
        BenchmarkError: model or binary cannot be used, the device failed, or the binary did not measure.
    """
    content = _read(model, "model")
    if content[4:8] != b"TFL3":
        raise BenchmarkError(f"{model}: not a .tflite file; export the model first")
    _check_binary(options.binary, device)
    with _folder_on(adb, device) as folder:
        # Names of our own: a file's name may hold anything, and the device's shell must not read it.
        for local, name in ((model, "model.tflite"), (options.binary, "benchmark_model")):
            _call(adb, ["push", str(local.absolute()), f"{folder}/{name}"], device.serial, options.timeout_s)
        _call(adb, ["shell", f"chmod 755 {folder}/benchmark_model"], device.serial)
        output = _run(adb, device, folder, options)
        if options.op_profile:
            profiled = _run(adb, device, folder, options, "--enable_op_profiling=true", "--use_profiler=true")
            output = replace(output, ops=profiled.ops)
    return AndroidMeasurement(
        **vars(output),
        device=device,
        model=model.name,
        sha256=hashlib.sha256(content).hexdigest(),
        threads=options.threads,
        cpu_mask=options.cpu_mask,
        xnnpack=options.use_xnnpack,
        gpu=options.use_gpu,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def table(measurement: AndroidMeasurement) -> dict[str, str]:
    """The measurement in words, for people; what was not measured says so."""
    device = measurement.device

    def shown(value: float | None, unit: str = "ms") -> str:
        return "not measured" if value is None else f"{value:.2f} {unit}"

    return {
        "device": f"{device.manufacturer} {device.model}, Android {device.android_version}, {device.soc}, {device.abi}",
        "model": f"{measurement.model}, SHA-256 {measurement.sha256[:12]}…",
        "median": shown(measurement.median_ms),
        "p90": shown(measurement.p90_ms),
        "p95": shown(measurement.p95_ms),
        "mean": f"{shown(measurement.mean_ms)} (min {measurement.min_ms:.2f}, max {measurement.max_ms:.2f})",
        "standard deviation": shown(measurement.std_ms),
        "runs": f"{measurement.runs} after {measurement.warmup_runs} of warm-up",
        "threads": f"{measurement.threads}, CPUs {measurement.cpu_mask or 'as the system chose'}",
        "delegate": measurement.delegate,
        "initialisation": shown(measurement.init_ms),
        "peak memory": shown(measurement.peak_memory_mb, "MB"),
        "runtime": measurement.runtime,
    }


def _describe(adb: Path, serial: str) -> AndroidDevice:
    properties = dict(re.findall(r"^\[(.+?)\]: \[(.*)\]$", _call(adb, ["shell", "getprop"], serial), re.MULTILINE))

    def known(*names: str) -> str:
        return next((properties[name] for name in names if properties.get(name)), "unknown")

    abi = known("ro.product.cpu.abi")
    return AndroidDevice(
        serial=serial,
        model=known("ro.product.model"),
        manufacturer=known("ro.product.manufacturer"),
        android_version=known("ro.build.version.release"),
        abi=abi,
        # Android 12 was the first to name the chip; the board's code name is what older ones have.
        soc=known("ro.soc.model", "ro.board.platform"),
        abis=tuple((properties.get("ro.product.cpu.abilist") or abi).split(",")),
    )


def _check_binary(binary: Path, device: AndroidDevice) -> None:
    head = _read(binary, "benchmark binary")[:20]
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise BenchmarkError(f"{binary}: not an Android binary (no ELF file); take benchmark_model for {device.abi}")
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    name, abis = MACHINES.get(number, (f"machine {number}", ()))
    if not set(abis) & {device.abi, *device.abis}:
        raise BenchmarkError(f"{binary}: built for {name}, but {device.model} runs {device.abi}; take that build")


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"{path}: the {what} cannot be read: {error.strerror}; check the path") from None


@contextmanager
def _folder_on(adb: Path, device: AndroidDevice) -> Iterator[str]:
    """A folder on the device for this call alone; a binary that still runs is ended with it."""
    folder = f"{FOLDER}/keras-faceattr-{os.getpid()}-{secrets.token_hex(4)}"
    tidy = ["shell", f"kill -9 $(cat {folder}/pid 2>/dev/null) 2>/dev/null; rm -rf {folder}"]
    try:
        _call(adb, ["shell", f"mkdir {folder}"], device.serial)
        yield folder
    except BaseException:
        # The first error is the one to read.
        with suppress(BenchmarkError):
            _call(adb, tidy, device.serial)
        raise
    _call(adb, tidy, device.serial)


def _run(adb: Path, device: AndroidDevice, folder: str, options: AndroidOptions, *flags: str) -> BenchmarkOutput:
    words = [
        *(["taskset", options.cpu_mask] if options.cpu_mask else []),
        "./benchmark_model",
        "--graph=model.tflite",
        f"--num_threads={options.threads}",
        f"--num_runs={options.runs}",
        f"--warmup_runs={options.warmup_runs}",
        # Delegates are applied in the order of their flags: after XNNPACK nothing would be left for the GPU.
        *(["--use_gpu=true"] if options.use_gpu else []),
        f"--use_xnnpack={str(options.use_xnnpack).lower()}",
        "--report_peak_memory_footprint=true",
        *flags,
    ]
    # `exec` leaves the binary with the number of its shell, by which it can be ended. Old `adb shell` always
    # exits 0, so the status is printed.
    inner = shlex.quote(f"echo $$ > pid; exec {shlex.join(words)}")
    command = f"cd {folder} && sh -c {inner} 2>&1; status=$?; rm -f {folder}/pid; echo rc=$status"
    text, found, status = _call(adb, ["shell", command], device.serial, options.timeout_s).rpartition("rc=")
    if not found or not status.strip().isdigit():
        raise BenchmarkError(f"device {device.serial} {LOST}")
    if int(status) != 0:
        raise BenchmarkError(f"{options.binary.name} {failure(text, int(status), device.abi)}")
    output = parse_output(text)
    _refuse_ignored(output, options)
    return output


def _refuse_ignored(output: BenchmarkOutput, options: AndroidOptions) -> None:
    """A flag that the binary does not know is only a warning to it, and would make the result untrue."""
    harmless: tuple[str, ...] = ("--report_peak_memory_footprint", "--enable_op_profiling", "--use_profiler")
    # LiteRT's own tool has no such flag and always takes XNNPACK, which shows in the delegate.
    if options.use_xnnpack and output.delegate != "none":
        harmless = (*harmless, "--use_xnnpack")
    wrong = [flag for flag in output.ignored_flags if not flag.startswith(harmless)]
    if wrong:
        raise BenchmarkError(
            f"{options.binary}: does not know {', '.join(wrong)}; measure without, or take another build"
        )


def _call(adb: Path, arguments: list[str], serial: str | None, timeout_s: float = ADB_TIMEOUT_S) -> str:
    """Return the output of adb and the device.

    Raises:
        BenchmarkError: adb cannot be run, took too long, or failed.
    """
    subject = f"device {serial}" if serial else "adb"
    try:
        done = subprocess.run(
            [str(adb), *(["-s", serial] if serial else []), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(
            f"{subject}: `adb {arguments[0]}` took longer than {timeout_s:g} s; check the device, or allow more time"
        ) from None
    except OSError as error:
        raise BenchmarkError(f"{adb}: cannot be run: {error.strerror}; install platform-tools anew") from None
    # Old releases fail to copy and exit 0.
    if done.returncode == 0 and not (arguments[0] == "push" and "failed to copy" in done.stdout):
        return done.stdout
    for pattern, mend in ADB_FAILURES.items():
        if re.search(pattern, done.stdout):
            raise BenchmarkError(f"{subject} {mend}")
    raise BenchmarkError(
        f"{subject}: `adb {arguments[0]}` failed: {last_line(done.stdout)!r}; check the connection and run it again"
    )
