"""What this machine calls itself, how much of it is ours, and how busy it was. Standard library only."""

from __future__ import annotations

import math
import os
import platform
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

BUSY = 0.05  # a larger part of its time spent waiting says that others had the processors

_CPUINFO = Path("/proc/cpuinfo")
_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# What decides how fast networks are, by the flags that Linux lists: of x86, then of ARM.
_FEATURES = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx_vnni", "avx512_vnni"},  # products of eight bits
    "AMX": {"amx_int8"},  # the same, a block at once
    "SVE": {"sve"},
    "dot products": {"asimddp"},
    "I8MM": {"i8mm"},
}
# What decides which code runs.
_IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part")


def processor_name() -> str:
    """The processor's name as the system gives it."""
    names = _cpuinfo().get("model name", [])
    return names[0] if names else platform.processor() or platform.machine()


def processor_features() -> tuple[str, ...]:
    """Such as ("AVX2", "AVX-512", "VNNI"); () where the system does not tell."""
    told = _cpuinfo()
    flags = {flag for line in (told.get("flags") or told.get("Features", []))[:1] for flag in line.split()}
    return tuple(name for name, any_of in _FEATURES.items() if any_of & flags)


def processor() -> str:
    """Name and features, for people: "AMD EPYC with AVX2, AVX-512, VNNI"."""
    return " with ".join(filter(None, [processor_name(), ", ".join(processor_features())]))


def processor_identity() -> str:
    """All that decides which code runs on it: its name, what it can do, how many there are."""
    told = _cpuinfo()
    first = [f"{name}: {told[name][0]}" for name in _IDENTITY if name in told]
    return "\n".join([*first, platform.machine(), platform.system(), str(os.cpu_count())])


def usable_cores() -> int:
    """Cores that this process may use: queues and containers often grant fewer than the machine has.

    The least of what the system says (the affinity, or all), SLURM (SLURM_CPUS_PER_TASK, also where it binds
    no process to its cores) and a container's share of time (cpu.max of cgroups v2, as Kubernetes sets it).
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    limits = [own, *([int(granted)] if granted.isdigit() else []), *_share_of_time()]
    return max(1, min(limits))


def fewer_cores() -> int:
    """As `usable_cores` where these are fewer than the machine has; 0 where all are ours."""
    usable = usable_cores()
    return usable if usable < (os.cpu_count() or 1) else 0


@cache
def _share_of_time() -> tuple[int, ...]:
    """Whole cores that this container's limit of time amounts to; () without one."""
    try:
        own = re.search(r"^0::/(.*)$", _OWN_CGROUP.read_text(), re.MULTILINE)
        quota, period = (_CGROUPS / (own[1] if own else "") / "cpu.max").read_text().split()
        return (math.ceil(int(quota) / int(period)),)
    except (OSError, ValueError, ZeroDivisionError):  # another system, or "max"
        return ()


def _cpuinfo() -> dict[str, list[str]]:
    """What /proc/cpuinfo says, by name, of each processor; {} on other systems."""
    told: dict[str, list[str]] = {}
    lines = _CPUINFO.read_text(errors="replace").splitlines() if _CPUINFO.is_file() else []
    for name, _, value in (line.partition(":") for line in lines):
        told.setdefault(name.strip(), []).append(value.strip())
    return told


@dataclass(frozen=True)
class Waiting:
    """From here on: for what part of its time this process wanted to run, and had to wait for a processor.

    Linux counts both for every thread; a process that waits for its own threads counts too.
    """

    before: dict[str, tuple[int, int]] = field(default_factory=lambda: _scheduled())

    def share(self) -> float | None:
        """In [0, 1]; None where the system does not tell."""
        after = _scheduled()
        ran = sum(now[0] - self.before.get(thread, (0, 0))[0] for thread, now in after.items())
        waited = sum(now[1] - self.before.get(thread, (0, 0))[1] for thread, now in after.items())
        return waited / (ran + waited) if ran + waited else None


def _scheduled() -> dict[str, tuple[int, int]]:
    """Thread -> nanoseconds on a processor, and waiting for one."""
    found = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        try:
            ran, waited, _ = path.read_text().split()
        except (OSError, ValueError):  # the thread has ended
            continue
        found[path.parent.name] = (int(ran), int(waited))
    return found
