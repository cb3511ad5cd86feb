"""A stand-in `adb` and phone, whose shell is this machine's."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.android.device import AndroidDevice, AndroidOptions, measure

# Runs what a phone's shell would run, with `/data/local/tmp` in the phone's folder. A pushed binary becomes the
# phone's `played` script, since its real one is no program for this machine.
ADB = """\
#!{python} -SE
import json, os, shutil, sys, time
phone = {phone!r}
arguments = sys.argv[1:]
with open(phone + "/calls", "a") as log:
    log.write(json.dumps(arguments) + "\\n")
rest = arguments[2:] if arguments[0] == "-s" else arguments
with open(phone + "/answers.json") as file:
    answers = json.load(file)
for words, answer, status in answers:
    if words in " ".join(rest):
        print(answer)
        sys.exit(status)
if rest[0] == "devices":
    print("* daemon not running; starting now at tcp:5037\\n* daemon started successfully")
    print("List of devices attached\\nA1\\tdevice\\n")
elif rest[0] == "push":
    played = rest[2].endswith("/benchmark_model")
    target = rest[2].replace("/data/local/tmp", phone + "/tmp")
    shutil.copyfile(phone + "/played" if played else rest[1], target)
    print(rest[1] + ": 1 file pushed, 0 skipped. 30.1 MB/s (123 bytes in 0.001s)")
elif rest[0] == "shell":
    os.environ["PATH"] = phone + "/bin:" + os.environ["PATH"]
    os.execvp("sh", ["sh", "-c", rest[1].replace("/data/local/tmp", phone + "/tmp")])
"""

PROPERTIES = """\
[ro.build.version.release]: [13]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 4]
[ro.board.platform]: [msmnile]
[ro.soc.model]: []
"""

PRINTED = """\
STARTING!
Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
Initialized session in 12.345ms.
count=95 first=9321 curr=5210 min=5100 max=9321 avg=5400.7 std=410

count=188 first=5321 curr=5210 min=5100 max=6200 avg=5300.4 std=120 p5=5110 median=5290 p95=5600

Overall peak memory footprint (MB) via periodic monitoring: 23.5
"""
PROFILE = """\
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Summary by node type ==============================
\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]
\t                 CONV_2D\t        2\t     6.000\t    75.000%\t    75.000%\t     0.000\t        2
\t                 SOFTMAX\t        1\t     2.000\t    25.000%\t   100.000%\t     0.000\t        1
"""

DEVICE = AndroidDevice("A1", "Pixel 4", "Google", "13", "arm64-v8a", "msmnile", ("arm64-v8a", "armeabi-v7a", "armeabi"))


def elf(machine: int) -> bytes:
    """The head of a little-endian 64-bit executable for a CPU, by the number that the ELF standard gives it."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little") + bytes(44)


@dataclasses.dataclass
class Phone:
    """The stand-in: what it answers, what it was asked, and the files of a user."""

    folder: Path
    adb: Path
    model: Path
    binary: Path

    def answer(self, words: str, text: str, status: int = 1) -> None:
        """The adb call that holds these words prints this and does nothing."""
        path = self.folder / "answers.json"
        path.write_text(json.dumps([*json.loads(path.read_text()), [words, text, status]]))

    def play(self, script: str) -> None:
        """What `benchmark_model` does on the phone."""
        (self.folder / "played").write_text(f"#!/bin/sh\n{script}\n")

    def print(self, text: str, status: int = 0) -> None:
        (self.folder / "printed").write_text(text)
        self.play(f'echo "$@" >> "{self.folder}/flags"; cat "{self.folder}/printed"; exit {status}')

    def calls(self) -> list[list[str]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def flags(self) -> list[list[str]]:
        """Of every run of the binary."""
        return [line.split() for line in (self.folder / "flags").read_text().splitlines()]

    def left(self) -> list[str]:
        """What still lies on it."""
        return [path.name for path in (self.folder / "tmp").iterdir()]

    def options(self, **changes) -> AndroidOptions:
        return AndroidOptions(**{"binary": self.binary, **changes})

    def measure(self, **changes):
        return measure(self.adb, DEVICE, self.model, self.options(**changes))

    def failure(self, **changes) -> str:
        """The error's line; nothing may be left on the phone."""
        with pytest.raises(BenchmarkError) as error:
            self.measure(**changes)
        assert "\n" not in str(error.value)
        assert self.left() == []
        return str(error.value)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    folder = tmp_path / "phone"
    for name in ("bin", "tmp", "host"):
        (folder / name).mkdir(parents=True)
    (folder / "answers.json").write_text("[]")
    (folder / "properties").write_text(PROPERTIES)
    adb = folder / "host" / "adb"
    adb.write_text(ADB.format(python=sys.executable, phone=str(folder)))
    commands = {
        "getprop": f'cat "{folder}/properties"',
        "taskset": f'echo "$1" >> "{folder}/mask"; shift; exec "$@"',
    }
    for name, script in commands.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    for program in [adb, *(folder / "bin").iterdir()]:
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(adb.parent), prepend=os.pathsep)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    model, binary = tmp_path / "tiny.tflite", tmp_path / "android_aarch64_benchmark_model"
    model.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    binary.write_bytes(elf(183))
    stand_in = Phone(folder, adb, model, binary)
    stand_in.print(PRINTED)
    return stand_in
