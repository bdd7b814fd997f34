"""Energy by the processor's own counters (RAPL), where the system lets us read them.

    /sys/class/powercap/intel-rapl:0/energy_uj     one per package, in microjoules; begins anew at its maximum

They count the whole package, cores, caches and memory controller, whoever used them: an upper bound, fair
only on a machine that does nothing else. Linux on Intel and AMD has them; virtual machines mostly do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """The energy counter of one package."""

    path: Path
    most_uj: int

    def read_uj(self) -> int:
        return int(self.path.read_text())


def counters(folder: Path = POWERCAP) -> tuple[tuple[Counter, ...], str]:
    """The counters of all packages, or none and why, in words."""
    packages = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
    if not packages:
        return (), "this machine has no energy counter"
    try:
        found = tuple(
            Counter(package / "energy_uj", int((package / "max_energy_range_uj").read_text()))
            for package in packages
        )
        for counter in found:
            counter.read_uj()
    except PermissionError:
        return (), f"{packages[0] / 'energy_uj'} may not be read by this user"
    except (OSError, ValueError):
        return (), f"{packages[0]} cannot be read"
    return found, ""


def read_uj(counted: Sequence[Counter]) -> list[int]:
    """What each counter shows now."""
    return [counter.read_uj() for counter in counted]


def used_j(counted: Sequence[Counter], before: Sequence[int], after: Sequence[int]) -> float:
    """Joules between two readings, less than one turn of a counter apart."""
    turns = zip(counted, before, after, strict=True)
    return sum((end - start) % (counter.most_uj + 1) for counter, start, end in turns) / 1e6
