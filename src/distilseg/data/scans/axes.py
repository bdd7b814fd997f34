"""Which way the axes of a grid run in the patient: towards right, anterior, superior, or against them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def axes_along(affine: np.ndarray) -> NDArray[np.float64]:
    """[3 2]: for each voxel axis, which of R A S (0, 1, 2) it runs along, and 1 towards it or -1 against it.

    NaN for an axis of spacing zero. As nibabel's `io_orientation`: of the rotation nearest to the affine, the
    axis that is nearest to one of R A S takes it first.
    """
    steps = affine[:3, :3]
    lengths = np.sqrt(np.sum(steps * steps, axis=0))
    left, sizes, right = np.linalg.svd(steps / np.where(lengths == 0, 1, lengths), full_matrices=False)
    kept = sizes > sizes.max() * 3 * np.finfo(sizes.dtype).eps
    rotation = left[:, kept] @ right[kept]
    found = np.full((3, 2), np.nan)
    for axis in np.argsort(np.min(-(rotation**2), axis=0), kind="stable"):
        along = rotation[:, axis]
        if not np.allclose(along, 0):
            ras = int(np.argmax(np.abs(along)))
            found[axis] = ras, -1 if along[ras] < 0 else 1
            rotation[ras] = 0  # taken
    return found
