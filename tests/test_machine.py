"""Cores and memory of containers, from control-group files written by hand."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from keras_faceattr import machine
from keras_faceattr.machine import processor, usable_cores, usable_memory

GB = 1 << 30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "allowed_cores", lambda: set(range(8)))


V2, V1 = "0::/app/task\n", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": V2}, 8),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/app/task/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/app/task/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/app/task/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/app/task/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/app/task/cpu.max": "1600000 100000\n"}, 8),
        # A limit of the group around this one holds for it too.
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/app/cpu.max": "300000 100000\n"}, 3),
        # Inside a container its own group is the top.
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_cores_are_those_that_the_container_may_use(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert usable_cores(write(tmp_path, files)) == cores


MEMINFO = f"MemTotal: {32 * GB // 1024} kB\nMemFree: 1 kB\nMemAvailable:   {16 * GB // 1024} kB\n"


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ({}, 16 * GB),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}, 16 * GB),
        (
            {
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/app/memory.max": f"{4 * GB}\n",
                "sys/fs/cgroup/app/memory.current": f"{3 * GB}\n",
                "sys/fs/cgroup/app/memory.stat": f"anon 5\nfile 7\ninactive_file {GB // 2}\n",
            },
            4 * GB - 3 * GB + GB // 2,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{2 * GB}\n",
                "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": f"{GB}\n",
            },
            GB,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}\n",
            },
            16 * GB,
        ),
        (
            {
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/memory.max": f"{GB}\n",
                "sys/fs/cgroup/memory.current": f"{2 * GB}\n",
            },
            0,
        ),
    ],
)
def test_memory_is_what_machine_and_container_leave(tmp_path: Path, files: dict[str, str], room: int) -> None:
    assert usable_memory(write(tmp_path, {"proc/meminfo": MEMINFO, **files})) == room


def test_a_system_that_says_nothing_gives_an_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", silent)
    assert usable_memory(tmp_path) == machine.UNKNOWN_MEMORY


@pytest.mark.parametrize(
    ("cpuinfo", "name", "instruction_sets"),
    [
        ("model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu sse4_2 avx2 fma\n", "Some CPU @ 2 GHz", ("AVX2",)),
        ("model name\t: X\nflags\t: avx512f avx2 avx512_vnni\n", "X", ("AVX2", "AVX-512", "AVX-512 VNNI")),
        ("processor : 0\nmodel name : Neo\nFeatures\t: fp asimd asimddp\n", "Neo", ("NEON", "NEON dot product")),
    ],
)
def test_the_processor_is_named_with_its_instruction_sets(
    tmp_path: Path, cpuinfo: str, name: str, instruction_sets: tuple[str, ...]
) -> None:
    found = processor(write(tmp_path, {"proc/cpuinfo": cpuinfo}))
    assert (found.name, found.instruction_sets) == (name, instruction_sets)


def test_without_cpuinfo_the_architecture_names_the_processor(tmp_path: Path) -> None:
    found = processor(tmp_path)
    assert found.name and found.instruction_sets == ()


def test_nothing_else_counts_the_cores_of_the_machine() -> None:
    package = Path(machine.__file__).parent
    counting = [p.name for p in package.rglob("*.py") if re.search(r"cpu_count|SC_AVPHYS|meminfo", p.read_text())]
    assert counting == ["machine.py"]
