"""Measuring through adb, with a stand-in `adb` and phone, whose shell is this machine's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import is_running, wait_for
from stand_in_phone import DEVICE, PRINTED, PROFILE, Phone, elf

from keras_faceattr.errors import BenchmarkError
from keras_faceattr.measure.android.device import AndroidOptions, connect, find_adb, measure, table


def test_adb_is_found_in_path_before_the_sdk(phone: Phone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_adb() == phone.adb
    sdk = tmp_path / "sdk" / "platform-tools"
    sdk.mkdir(parents=True)
    (sdk / "adb").write_text("#!/bin/sh\n")
    (sdk / "adb").chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(sdk.parent))
    assert find_adb() == phone.adb
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_adb() == sdk / "adb"


@pytest.mark.parametrize("home", [None, "nowhere"])
def test_without_adb_the_mend_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str | None) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    if home:
        monkeypatch.setenv("ANDROID_HOME", str(tmp_path / home))
    with pytest.raises(BenchmarkError, match="no adb in PATH or .*; install Android's SDK platform-tools"):
        find_adb()


def test_the_only_device_is_described_by_its_properties(phone: Phone) -> None:
    assert connect(phone.adb) == DEVICE
    assert phone.calls() == [["devices"], ["-s", "A1", "shell", "getprop"]]


def test_a_chip_that_states_its_name_is_called_by_it_and_missing_properties_are_unknown(phone: Phone) -> None:
    (phone.folder / "properties").write_text("[ro.soc.model]: [SM8650]\r\n[ro.product.cpu.abi]: [arm64-v8a]\r\n")
    found = connect(phone.adb)
    assert (found.soc, found.model, found.abi, found.abis) == ("SM8650", "unknown", "arm64-v8a", ("arm64-v8a",))


def listing(*rows: str) -> str:
    return "List of devices attached\n" + "".join(f"{row}\n" for row in rows) + "\n"


@pytest.mark.parametrize(
    ("rows", "serial", "message"),
    [
        ((), None, "no Android device is connected; plug one in"),
        (
            ("A1\tdevice", "B2\tunauthorized"),
            None,
            "several devices are connected: A1 (device), B2 (unauthorized); say",
        ),
        (("A1\tdevice", "B2\tdevice"), "C3", "no device 'C3' is connected; connected: A1 (device), B2 (device)"),
        (("A1\tunauthorized",), None, "device A1 is unauthorised; unlock it and allow USB debugging"),
        (("A1\toffline",), None, "device A1 is offline; plug it in again"),
        (("A1\tdevice", "B2\toffline"), "B2", "device B2 is offline"),
        (
            ("A1\tno permissions (user in plugdev group); see [http://x]",),
            None,
            "device A1 may not be used by this user",
        ),
        (("A1\trecovery",), None, "device A1 is in the state 'recovery'; start it as usual"),
    ],
)
def test_a_device_that_cannot_be_used_is_named_with_the_mend(
    phone: Phone, rows: tuple[str, ...], serial: str | None, message: str
) -> None:
    phone.answer("devices", listing(*rows), 0)
    with pytest.raises(BenchmarkError) as error:
        connect(phone.adb, serial)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_of_several_devices_the_named_one_is_used(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    wireless = "adb-A1 (2)._adb-tls-connect._tcp"
    phone.answer("devices", listing("A1\tdevice", "B2\tdevice", f"{wireless}\tdevice"), 0)
    assert connect(phone.adb, "B2").serial == "B2"
    assert connect(phone.adb, wireless).serial == wireless
    monkeypatch.setenv("ANDROID_SERIAL", "A1")
    assert connect(phone.adb).serial == "A1"


def test_an_adb_that_cannot_be_run_is_an_error_of_one_line(phone: Phone, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="none: cannot be run: No such file"):
        connect(tmp_path / "none")
    phone.answer("devices", "adb: cannot connect to daemon", 1)
    with pytest.raises(BenchmarkError, match="adb: `adb devices` failed: 'adb: cannot connect to daemon'"):
        connect(phone.adb)


def test_a_measurement_carries_numbers_device_file_and_settings_and_leaves_nothing_behind(phone: Phone) -> None:
    found = phone.measure(threads=2)
    assert (found.median_ms, found.mean_ms, found.p95_ms) == pytest.approx((5.29, 5.3004, 5.6))
    assert (found.p90_ms, found.delegate, found.runs, found.warmup_runs) == (None, "full", 188, 95)
    assert (found.init_ms, found.peak_memory_mb) == pytest.approx((12.345, 23.5))
    assert found.device == DEVICE
    assert (found.model, found.threads, found.xnnpack, found.gpu, found.ops) == ("tiny.tflite", 2, True, False, ())
    assert found.sha256 == hashlib.sha256(phone.model.read_bytes()).hexdigest()
    assert found.date.endswith("+00:00")
    assert phone.left() == []
    json.dumps(dataclasses.asdict(found))


def test_every_call_names_the_device_and_both_files_go_to_a_folder_of_this_call(phone: Phone) -> None:
    phone.measure()
    phone.measure()
    assert all(call[:2] == ["-s", "A1"] for call in phone.calls())
    targets = [Path(call[-1]) for call in phone.calls() if call[2] == "push"]
    assert [path.name for path in targets] == ["model.tflite", "benchmark_model"] * 2
    folders = {path.parent for path in targets}
    assert len(folders) == 2
    assert all(folder.parent == Path("/data/local/tmp") and f"-{os.getpid()}-" in folder.name for folder in folders)


def test_the_binary_gets_the_settings_as_flags_with_values(phone: Phone) -> None:
    phone.measure(threads=4, runs=30, warmup_runs=5)
    assert phone.flags() == [
        [
            "--graph=model.tflite", "--num_threads=4", "--num_runs=30", "--warmup_runs=5",
            "--use_xnnpack=true", "--report_peak_memory_footprint=true",
        ]
    ]  # fmt: skip


def test_the_gpu_comes_before_xnnpack_which_would_leave_it_nothing(phone: Phone) -> None:
    assert phone.measure(use_gpu=True).gpu
    flags = phone.flags()[0]
    assert flags.index("--use_gpu=true") < flags.index("--use_xnnpack=true")


def test_without_xnnpack_the_binary_is_told_so(phone: Phone) -> None:
    assert not phone.measure(use_xnnpack=False).xnnpack
    assert "--use_xnnpack=false" in phone.flags()[0]


def test_a_cpu_mask_goes_to_taskset(phone: Phone) -> None:
    assert phone.measure(cpu_mask="f0").cpu_mask == "f0"
    assert (phone.folder / "mask").read_text() == "f0\n"


def test_ops_come_from_a_run_of_their_own(phone: Phone) -> None:
    slower = PRINTED.replace("median=5290", "median=9999")
    (phone.folder / "profiled").write_text(slower + PROFILE)
    (phone.folder / "printed").write_text(PRINTED)
    phone.play(
        f'case "$*" in *--enable_op_profiling=true*) cat "{phone.folder}/profiled";; '
        f'*) cat "{phone.folder}/printed";; esac'
    )
    found = phone.measure(op_profile=True)
    assert found.ops == (("CONV_2D", 6.0, 0.75), ("SOFTMAX", 2.0, 0.25))
    assert found.median_ms == pytest.approx(5.29)


@pytest.mark.parametrize(
    "name", ["a model.tflite", "it's; rm -rf $HOME `id`.tflite", "-a\nb.tflite", "Gesicht ü.tflite"]
)
def test_any_name_of_a_file_is_safe(phone: Phone, name: str) -> None:
    phone.model = phone.model.rename(phone.model.with_name(name))
    phone.binary = phone.binary.rename(phone.binary.with_name("benchmark model $(id)"))
    assert phone.measure().model == name
    assert phone.left() == []


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            ("push", "adb: error: failed to copy 'a' to 'b': remote write failed: No space left on device"),
            "no space left",
        ),
        (
            ("push", "adb: error: failed to copy 'a' to 'b': remote Permission denied"),
            'remote Permission denied"; check the connection',
        ),
        (("chmod", "error: device 'A1' not found"), "device A1 is lost; check the cable"),
        (("taskset", "error: closed"), "device A1 is lost; check the cable"),
        (("taskset", "error: device offline"), "device A1 is offline"),
        (("taskset", "error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set"), "is unauthorised"),
        (("mkdir", "mkdir: '/data/local/tmp/x': Read-only file system"), '`adb shell` failed: "mkdir: '),
    ],
)
def test_what_adb_cannot_do_is_said_in_one_line(phone: Phone, answers: tuple[str, str], message: str) -> None:
    phone.answer(*answers)
    assert message in phone.failure(cpu_mask="f0")


def test_an_old_adb_that_fails_to_copy_and_exits_0_is_noticed(phone: Phone) -> None:
    phone.answer("model.tflite", "failed to copy 'a' to 'b': No space left on device", 0)
    assert "has no space left; free some of its storage" in phone.failure()


def test_a_device_that_goes_away_amid_the_run_is_lost_whatever_was_printed_before(phone: Phone) -> None:
    phone.answer("num_threads", PRINTED, 0)
    assert "device A1 is lost" in phone.failure()


def test_an_error_stays_the_first_one_when_the_device_cannot_be_tidied_either(phone: Phone) -> None:
    phone.answer("num_threads", "error: closed")
    phone.answer("rm -rf", "error: device 'A1' not found")
    with pytest.raises(BenchmarkError, match="device A1 is lost"):
        phone.measure()


def test_a_folder_that_stays_behind_after_a_good_run_is_said(phone: Phone) -> None:
    phone.answer("rm -rf", "rm: Permission denied")
    with pytest.raises(BenchmarkError, match="Permission denied"):
        phone.measure()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo "INFO: Loaded model"; kill -SEGV $$', "ended with SIGSEGV: "),
        ('echo "INFO: Loaded model"; kill -KILL $$', "ended with SIGKILL: "),
        ('echo "ERROR: Failed to allocate tensors!"; echo "ERROR: Benchmarking failed."; exit 1',
         "ended with status 1: 'ERROR: Failed to allocate tensors!'; try another build"),
        ('echo "/system/bin/sh: ./benchmark_model: not executable: 64-bit ELF file" >&2; exit 126',
         "64-bit ELF file'; get the binary for arm64-v8a"),
        ("exit 3", "ended with status 3; try another build"),
        ("echo STARTING!", "holds no measurement, its last line is 'STARTING!'"),
    ],
)  # fmt: skip
def test_how_the_binary_failed_is_known_although_the_shell_exits_0(phone: Phone, script: str, message: str) -> None:
    phone.play(script)
    assert message in phone.failure()


@pytest.mark.parametrize(
    ("machine", "message"),
    [(62, "built for x86-64, but Pixel 4 runs arm64-v8a"), (3, "built for x86, but"), (8, "built for machine 8, but")],
)
def test_a_binary_for_another_cpu_is_refused_before_anything_is_copied(
    phone: Phone, machine: int, message: str
) -> None:
    phone.binary.write_bytes(elf(machine))
    assert message in phone.failure()
    assert phone.calls() == []


def test_a_32_bit_binary_runs_where_the_device_says_so_and_nowhere_else(phone: Phone) -> None:
    phone.binary.write_bytes(elf(40))
    assert phone.measure().runs == 188
    only_64 = dataclasses.replace(DEVICE, abis=("arm64-v8a",))
    with pytest.raises(BenchmarkError, match="built for 32-bit ARM, but Pixel 4 runs arm64-v8a"):
        measure(phone.adb, only_64, phone.model, phone.options())


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\necho a script that is longer than a head\n"])
def test_what_is_no_elf_file_is_refused_as_a_binary(phone: Phone, content: bytes) -> None:
    phone.binary.write_bytes(content)
    assert "not an Android binary (no ELF file); take benchmark_model for arm64-v8a" in phone.failure()


def test_missing_and_wrong_files_are_refused_by_name(phone: Phone, tmp_path: Path) -> None:
    assert "none: the benchmark binary cannot be read: No such file" in phone.failure(binary=tmp_path / "none")
    assert "the benchmark binary cannot be read: Is a directory" in phone.failure(binary=tmp_path)
    phone.model.write_bytes(b"not a model at all")
    assert "tiny.tflite: not a .tflite file; export the model first" in phone.failure()
    phone.model.unlink()
    assert "tiny.tflite: the model cannot be read: No such file" in phone.failure()
    assert phone.calls() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threads": 0}, "threads = 0: must be at least 1"),
        ({"runs": 0}, "runs = 0: must be at least 1"),
        ({"warmup_runs": -1}, "warmup_runs = -1: must be at least 0"),
        ({"timeout_s": 0}, "timeout_s = 0: must be above 0"),
        ({"timeout_s": float("nan")}, "timeout_s = nan: must be above 0"),
        ({"cpu_mask": "0-3"}, "cpu_mask = '0-3': write hexadecimal digits"),
        ({"cpu_mask": "0xf0"}, "write hexadecimal digits"),
        ({"cpu_mask": "0"}, "write hexadecimal digits"),
        ({"cpu_mask": "f0; reboot"}, "write hexadecimal digits"),
        ({"cpu_mask": ""}, "write hexadecimal digits"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(BenchmarkError) as error:
        AndroidOptions(Path("benchmark_model"), **changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("ignored", "changes", "refused"),
    [
        ("--use_gpu=true", {"use_gpu": True}, True),
        ("--use_xnnpack=false", {"use_xnnpack": False}, True),
        ("--num_threads=1", {}, True),
        ("--use_xnnpack=true --report_peak_memory_footprint=true", {}, False),
    ],
)
def test_a_setting_that_the_binary_does_not_know_makes_no_measurement(
    phone: Phone, ignored: str, changes: dict, refused: bool
) -> None:
    phone.print(f"WARN: Unconsumed cmdline flags: {ignored}\n{PRINTED}")
    if refused:
        assert f"does not know {ignored}; measure without" in phone.failure(**changes)
    else:
        assert phone.measure(**changes).runs == 188


def test_xnnpack_that_neither_flag_nor_output_knows_is_not_claimed(phone: Phone) -> None:
    silent = PRINTED.replace("Explicitly applied XNNPACK delegate", "Nothing was applied")
    phone.print(f"WARN: Unconsumed cmdline flags: --use_xnnpack=true\n{silent}")
    assert "does not know --use_xnnpack=true" in phone.failure()


SLEEPS = 'echo $$ > "{}/process"; echo "INFO: Loaded model"; exec sleep 60'


def test_a_run_that_takes_too_long_is_ended_on_the_device_too(phone: Phone) -> None:
    phone.play(SLEEPS.format(phone.folder))
    assert "device A1: `adb shell` took longer than 3 s; check the device, or allow" in phone.failure(timeout_s=3)
    process = int((phone.folder / "process").read_text())
    assert wait_for(lambda: not is_running(process), seconds=10)


def test_ctrl_c_ends_the_run_and_tidies_the_device(phone: Phone) -> None:
    phone.play(SLEEPS.format(phone.folder))
    code = (
        "import signal, sys; from pathlib import Path\n"
        "from keras_faceattr.measure.android.device import AndroidOptions, connect, measure\n"
        # A shell starts what runs in its background deaf to ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "adb, model, binary = map(Path, sys.argv[1:])\n"
        "measure(adb, connect(adb), model, AndroidOptions(binary))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, phone.adb, phone.model, phone.binary], stderr=subprocess.PIPE, text=True
    )
    assert wait_for(
        lambda: (phone.folder / "process").is_file() and bool((phone.folder / "process").read_text()), seconds=10
    )
    assert phone.left()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert phone.left() == []
    process = int((phone.folder / "process").read_text())
    assert wait_for(lambda: not is_running(process), seconds=10)


def test_what_was_not_measured_is_shown_as_such(phone: Phone) -> None:
    shown = table(phone.measure(cpu_mask="f0"))
    assert shown["median"] == "5.29 ms"
    assert shown["p90"] == "not measured"
    assert shown["p95"] == "5.60 ms"
    assert shown["mean"] == "5.30 ms (min 5.10, max 6.20)"
    assert shown["device"] == "Google Pixel 4, Android 13, msmnile, arm64-v8a"
    assert shown["runs"] == "188 after 95 of warm-up"
    assert shown["threads"] == "1, CPUs f0"
    assert shown["peak memory"] == "23.50 MB"
    assert shown["runtime"] == "not stated"
    phone.print(PRINTED.replace("Overall peak", "No peak").replace(" p5=5110 median=5290 p95=5600", ""))
    shown = table(phone.measure())
    assert [shown[key] for key in ("median", "p90", "p95", "peak memory")] == ["not measured"] * 4
    assert shown["threads"] == "1, CPUs as the system chose"
