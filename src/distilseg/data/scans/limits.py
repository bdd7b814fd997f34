"""What is too large to be read at all, told from a header before any voxel is.

Every reader of voxels goes through `check_size`, every grid that scans are resampled to through `check_grid`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import UserError
from .scan import Header, UnreadableImage, ending

COPIES = 3  # of a scan as 32-bit floats that must fit: as read, as prepared, and the least of logits
UNKNOWN_BYTES = 16 * 2**30  # where a machine does not tell its memory
_CONTAINER = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
_FLOAT = 4  # bytes
_PACKED = 1100  # bytes out of one: more than deflate can do, 1032
_DEFLATED = (".nii.gz", ".mha")
_SPARE = 2**20


def most_voxels() -> int:
    """How many voxels a scan may have here, in all its channels, as stored or on the plan's grid."""
    return memory_bytes() // (_FLOAT * COPIES)


def check_size(path: Path, header: Header) -> None:
    """Raises `UnreadableImage` where a header promises more than this machine, or its file, could hold.

    All axes count, and the components of a voxel.
    """
    values, limit = math.prod(header.shape), most_voxels()
    shape = " x ".join(map(str, header.shape))
    needed = values * max(header.value_bytes, _FLOAT)
    if needed > limit * _FLOAT:
        wide = "32-bit floats" if header.value_bytes <= _FLOAT else "stored"
        raise UnreadableImage(
            "shape",
            f"{path} says it holds {shape} voxels ({_gb(needed)} as {wide}),"
            f" at most {_gb(limit * _FLOAT)} fit on this machine",
            "crop it, or correct its header",
        )
    size, promised = path.stat().st_size, values * header.value_bytes
    if ending(path).lower() in _DEFLATED and promised > _PACKED * size + _SPARE:
        raise UnreadableImage(
            "truncated",
            f"{path} says it holds {shape} voxels ({_gb(promised)}), far more than its {size:,} bytes can",
            "correct the header, or export the file again",
        )


def check_grid(shape: Sequence[float], spacing_mm: Sequence[float], what: str) -> None:
    """Raises `UserError` where a scan would be too large once it is resampled to the spacing of a plan.

    A header with absurd spacings makes a small scan huge. `what` names the case, and the scan if it is known.
    """
    voxels, limit = math.prod(shape), most_voxels()
    if voxels > limit:
        size, wanted = " x ".join(f"{n:.0f}" for n in shape), " x ".join(f"{mm:g}" for mm in spacing_mm)
        raise UserError(
            f"{what}: resampled to {wanted} mm it has {size} voxels ({_gb(voxels * _FLOAT)}), at most"
            f" {_gb(limit * _FLOAT)} fit on this machine",
            "correct the spacing in its header, or plan a coarser one",
        )


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:,.1f} GB"


def memory_bytes() -> int:
    """The machine's memory, or what a container may use of it."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        found = UNKNOWN_BYTES
    for path in _CONTAINER:
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            found = min(found, int(path.read_text()))
    return found


def free_bytes() -> int:
    """What this process may take beyond what it has, as far as the system tells; swap does not count."""
    most = memory_bytes()
    with suppress(OSError, ValueError, IndexError, StopIteration):
        most = min(
            most, _told_kb("/proc/meminfo", "MemAvailable"), most - _told_kb("/proc/self/status", "VmRSS")
        )
    return max(0, most)


def _told_kb(path: str, field: str) -> int:
    """Bytes that a file of Linux tells in kB."""
    lines = Path(path).read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
