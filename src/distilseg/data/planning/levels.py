"""How large a patch is, and which axes each level of a network halves: arithmetic, no decisions.

A level's stride is 1 or 2 per axis. The product over the levels, the total stride, divides the patch; what is
left is the bottleneck, and an axis is halved only while at least 2 voxels are left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def patch_size(median: NDArray[np.float64], spacing_mm: Sequence[float], voxels: int) -> NDArray[np.float64]:
    """The cube in mm, cut to the median case, that holds `voxels` voxels; or the whole median case."""
    if median.prod() <= voxels:
        return median
    spacing = np.array(spacing_mm)
    low, high = 0.0, float((median * spacing).max())
    for _ in range(60):  # the volume grows with the edge: bisection
        edge = (low + high) / 2
        low, high = (edge, high) if np.minimum(median, edge / spacing).prod() < voxels else (low, edge)
    return np.maximum(np.minimum(median, low / spacing), 1.0)


def level_strides(
    size: NDArray[np.float64], spacing_mm: Sequence[float], levels: int, *, whole: bool
) -> tuple[tuple[int, ...], ...]:
    """Strides of at most `levels` levels for a patch of about `size`, exactly that if `whole`."""
    strides: list[tuple[int, ...]] = [(1, 1, 1)]
    total, spacing = np.ones(3, int), np.array(spacing_mm, float)
    while len(strides) < levels:
        possible = size // (2 * total) >= 2
        if whole:
            possible &= size % (2 * total) == 0
        if not possible.any():
            break
        halved = possible & (spacing < 2 * spacing[possible].min())
        strides.append(tuple(2 if halve else 1 for halve in halved))
        total, spacing = np.where(halved, 2 * total, total), np.where(halved, 2 * spacing, spacing)
    return tuple(strides)


def to_multiples(size: NDArray[np.float64], stride: NDArray[Any], voxels: int) -> tuple[int, ...]:
    """The nearest multiples of the strides; the multiples below where those are too many voxels."""
    nearest = np.maximum(np.floor(size / stride + 0.5), 1) * stride
    patch = nearest if nearest.prod() <= voxels else np.maximum(size // stride, 1) * stride
    return tuple(int(n) for n in patch)


def times(shape: Sequence[int]) -> str:
    """(64, 64, 32) -> "64x64x32"."""
    return "x".join(str(n) for n in shape)
