"""Cores, memory and processor that this process may use, inside containers too."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""Where `proc` and `sys` lie; tests have one of their own."""

UNKNOWN_MEMORY = 1 << 28
"""Bytes that are assumed to be free where the system does not say."""

INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8 matrices",
}
"""Names of what the kernel calls flags or features, for those that matrix kernels choose their code by."""

_UNIFIED = ("", "unified")
_CPU_FOLDERS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
_NO_LIMIT = 1 << 60
"""A limit of version 1 that is larger stands for none."""


@dataclass(frozen=True)
class Processor:
    """Name and abilities of a processor.

    Attributes:
        name: as its maker calls it, or its architecture.
        instruction_sets: those of `INSTRUCTION_SETS` that it has; empty where the system does not say.
    """

    name: str
    instruction_sets: tuple[str, ...]


def allowed_cores() -> set[int]:
    """Numbers of the cores on which the system lets this thread run."""
    try:
        return set(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows keep no such set.
        return set(range(os.cpu_count() or 1))


def usable_cores(root: Path = ROOT) -> int:
    """Number of cores worth a thread each: those allowed, or fewer where the container's quota is smaller."""
    quotas = [math.ceil(quota) for quota in _cpu_quotas(root) if quota > 0]
    return max(1, min([len(allowed_cores()), *quotas]))


def usable_memory(root: Path = ROOT) -> int:
    """Bytes that this process can still take without swapping, by the machine and by the container's limit."""
    rooms = [max(0, limit - used) for limit, used in _memory_limits(root)]
    return min([_available(root), *rooms])


def processor(root: Path = ROOT) -> Processor:
    """Name and instruction sets of the processor."""
    text = _read(root / "proc" / "cpuinfo") or ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    listed = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(listed[1].split()) if listed else set()
    name = named[1].strip() if named else platform.processor() or platform.machine()
    return Processor(name, tuple(title for flag, title in INSTRUCTION_SETS.items() if flag in flags))


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Cores that each of this process's control groups grants: version 2, then version 1."""
    for folder in _groups(root, "", _UNIFIED):
        words = (_read(folder / "cpu.max") or "").split()
        if len(words) == 2 and words[0] != "max":
            yield int(words[0]) / int(words[1])
    for folder in _groups(root, "cpu", _CPU_FOLDERS):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and period:
            yield quota / period


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of each of this process's control groups; cached files can be dropped and count as unused."""
    for folder in _groups(root, "", _UNIFIED):
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is not None and used is not None:
            yield limit, used - _statistic(folder, "inactive_file")
    for folder in _groups(root, "memory", ("memory",)):
        limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _NO_LIMIT:
            yield limit, used - _statistic(folder, "total_inactive_file")


def _groups(root: Path, controller: str, mounts: tuple[str, ...]) -> Iterator[Path]:
    """Folders of this process's control group and of those around it, whose limits hold for it too.

    Args:
        controller: of version 1; empty for version 2.
        mounts: names under which the controller may be mounted.
    """
    for line in (_read(root / "proc" / "self" / "cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        parts = Path(path.lstrip("/")).parts
        for mount in mounts:
            # In a container the path may be that of the host, of which only the top is there.
            for length in range(len(parts), -1, -1):
                yield root / "sys" / "fs" / "cgroup" / mount / Path(*parts[:length])


def _available(root: Path) -> int:
    found = re.search(r"^MemAvailable:\s*(\d+) kB$", _read(root / "proc" / "meminfo") or "", re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return UNKNOWN_MEMORY


def _statistic(folder: Path, name: str) -> int:
    found = re.search(rf"^{name} (\d+)$", _read(folder / "memory.stat") or "", re.MULTILINE)
    return int(found[1]) if found else 0


def _number(path: Path) -> int | None:
    """A number above 0; None for `max`, -1 and what cannot be read."""
    text = (_read(path) or "").strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
