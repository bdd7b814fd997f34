"""Where the pixels of a frame lie among the voxels of a grid: on them exactly, or nowhere.

    v(r, c) = A^-1 (p + r Δrow · column + c Δcolumn · row)     rounded: start + r · along_r + c · along_c

A frame may run in any direction along the grid's axes, as those of other programs do. Each corner lies within
a twentieth of a voxel of its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OFF = 0.05  # of a voxel


class Unplaceable(Exception):
    """The pixels of a frame are no voxels of the grid."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Voxel indices of a frame's pixels."""

    start: NDArray[np.int64]  # [3] of its first pixel
    along_r: NDArray[np.int64]  # [3] from a row to the next
    along_c: NDArray[np.int64]  # [3] from a column to the next

    def voxels(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.int64]:
        """[3 N] of these pixels."""
        found: NDArray[np.int64] = (
            self.start[:, np.newaxis] + np.outer(self.along_r, rows) + np.outer(self.along_c, columns)
        )
        return found


def frame_on(
    frame: Mapping[str, Any], grid_lps: NDArray[np.float64], rows: int = 2, columns: int = 2
) -> Placed:
    """The pixels of a frame of so many rows and columns on a grid; raises `Unplaceable`."""
    position, orientation = np.array(frame["position"]), np.array(frame["orientation"])
    rows_mm, columns_mm = frame["spacing"]
    inverse = np.linalg.inv(grid_lps)
    start = inverse[:3, :3] @ position + inverse[:3, 3]
    along_r = inverse[:3, :3] @ (orientation[3:] * rows_mm)
    along_c = inverse[:3, :3] @ (orientation[:3] * columns_mm)
    whole = [np.round(one).astype(np.int64) for one in (start, along_r, along_c)]
    if np.abs(whole[1]).sum() != 1 or np.abs(whole[2]).sum() != 1 or np.abs(whole[1] @ whole[2]):
        raise Unplaceable
    for r in (0, rows - 1):
        for c in (0, columns - 1):
            exact, rounded = (a + r * b + c * d for a, b, d in ((start, along_r, along_c), whole))
            if np.abs(exact - rounded).max() > OFF:
                raise Unplaceable
    return Placed(*whole)
