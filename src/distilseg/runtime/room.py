"""Whether the memory suffices for a case, asked before its network is.

A process that takes more than there is ends without a word, and on a machine that swaps hours later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..data.preparing.grid import Grid
from ..data.scans import limits
from ..errors import UserError


def check_room(needed_bytes: int, grid: Grid, classes: Sequence[str], *, case: str, now: bool) -> None:
    """Raises `UserError`, naming the case and both numbers, where `needed_bytes` are more than there are.

    `now`: than are free at the moment; else than the machine, or the container, has at all.
    """
    available = limits.free_bytes() if now else limits.memory_bytes()
    if needed_bytes <= available:
        return
    voxels = " x ".join(map(str, grid.working_shape))
    raise UserError(
        f"case {case}: to predict its {voxels} voxels ({math.prod(grid.original_shape):,} as stored) in"
        f" {len(classes)} classes takes {_gb(needed_bytes)} of memory,"
        f" {_gb(available)} {'are free' if now else 'are all that this machine has'}",
        "crop the scan, or export the student with smaller windows"
        + (", or close other programs" if now else ""),
    )


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
