"""Where the voxels that a bundle's network was shown lie in the scans."""

from __future__ import annotations

import numpy as np

from ...errors import UserError
from ...runtime.bundle.shown import Shown
from ..teacher import Placement
from .config import WAY_OUT


def placement_of(shown: Shown, case: str) -> Placement:
    """Raises `UserError` where axes are no longer parallel."""
    matrix = np.linalg.solve(shown.stored, shown.affine)  # working voxel -> stored
    order = tuple(int(axis) for axis in np.abs(matrix[:3, :3]).argmax(0))
    across = matrix[:3, :3].copy()
    across[list(order), range(3)] = 0
    if sorted(order) != [0, 1, 2] or np.abs(across).max() > 0.01:
        raise UserError(f"case {case}: the scan is oblique, and the bundle straightens it", WAY_OUT)
    boxes = []
    for axis in order:
        low, high = shown.box[axis]
        boxes.append((max(0, round(low + 0.5)), min(shown.stored_shape[axis], round(high + 0.5))))
    return Placement(
        shown.stored_shape,
        order,
        tuple(float(matrix[axis, 3]) for axis in order),
        tuple(float(matrix[axis, a]) for a, axis in enumerate(order)),
        shown.shape,
        tuple(boxes),
    )
