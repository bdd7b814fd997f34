"""Whether the edges of a voxel stand upright on each other, as distances in mm take for granted."""

from __future__ import annotations

import math
from collections.abc import Sequence

UPRIGHT = 1e-4  # what a voxel's volume may lack of the product of its edges: a lean of 0.8 degrees


def leans(spacing_mm: Sequence[float], voxel_mm3: float) -> bool:
    """Whether a voxel of these edges and this volume is sheared, as by a gantry tilt.

    Between two edges that meet at an angle φ the volume is sin φ of that of an upright voxel.
    """
    return voxel_mm3 < (1 - UPRIGHT) * math.prod(spacing_mm)
