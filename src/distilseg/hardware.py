"""What this machine calls itself, and how busy it was, for records. Standard library only."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

BUSY = 0.05  # a larger part of its time spent waiting says that others had the processors

_OF_PROCESSORS = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "flags",
    "Features",
    "CPU part",
)


def processor_name() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def processor() -> str:
    """All that decides which code runs on it: its name, what it can do, how many there are."""
    lines = []
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        for line in info:
            if not line.strip():  # the next one
                break
            lines.append(line)
    parts = [line for line in lines if line.split(":")[0].strip() in _OF_PROCESSORS]
    return "".join([*parts, platform.machine(), " ", platform.system(), " ", str(os.cpu_count())])


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
