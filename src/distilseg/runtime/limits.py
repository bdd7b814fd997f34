"""What is too large to be read at all, told from a header before any voxel is."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..data.scans.reading import read_geometry
from ..data.scans.scan import Geometry, UnreadableImage

COPIES = 3  # of a scan as 32-bit floats that must fit: as read, as prepared, and the least of logits
_CONTAINER = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
UNKNOWN_BYTES = 16 * 2**30  # where a machine does not tell its memory


def most_voxels() -> int:
    """How many voxels a scan may have here, as stored or on the plan's grid."""
    return _memory_bytes() // (4 * COPIES)


def check_voxels(path: Path) -> Geometry:
    """The header's geometry; raises `UnreadableImage` where it promises more than this machine could hold."""
    geometry = read_geometry(path)
    limit = most_voxels()
    shape, voxels = " x ".join(map(str, geometry.shape)), math.prod(geometry.shape)
    if voxels > limit:
        raise UnreadableImage(
            "shape",
            f"{path} says it holds {shape} voxels ({_gb(voxels)} as 32-bit floats), at most"
            f" {_gb(limit)} fit on this machine",
            "crop it, or correct its header",
        )
    return geometry


def check_size(path: Path, spacing_mm: Sequence[float]) -> None:
    """The same for the scan once it is resampled to the spacing of a plan.

    A header with absurd spacings makes a small scan huge.
    """
    geometry, limit = check_voxels(path), most_voxels()
    voxels = math.prod(geometry.shape)
    voxel_mm3 = abs(float(np.linalg.det(geometry.affine[:3, :3])))
    working = voxels * voxel_mm3 / math.prod(spacing_mm)
    if 1 not in geometry.shape and working > limit:
        sizes = " x ".join(f"{mm:g}" for mm in geometry.spacing_mm)
        wanted = " x ".join(f"{mm:g}" for mm in spacing_mm)
        raise UnreadableImage(
            "spacing",
            f"{path} says its voxels measure {sizes} mm: resampled to {wanted} mm that is {_gb(working)}, at"
            f" most {_gb(limit)} fit on this machine",
            "correct the spacing in its header",
        )


def _gb(voxels: float) -> str:
    return f"{4 * voxels / 1e9:,.1f} GB"


def _memory_bytes() -> int:
    """The machine's memory, or what a container may use of it."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        found = UNKNOWN_BYTES
    for path in _CONTAINER:
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            found = min(found, int(path.read_text()))
    return found
