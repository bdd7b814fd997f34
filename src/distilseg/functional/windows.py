"""Where windows stand along an axis, and what each counts: arithmetic, no tensors of images.

    even_starts     as few windows as the step allows, evenly spaced
    step_starts     one every `stride`, the last one ends with the axis
    covering        how many of these cover each position
    axis_windows    evenly spaced ones with weights that sum to 1 at every voxel

NumPy alone: prediction without torch puts volumes together in the same places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Far from its centre a patch still counts a little: else a corner seen by one patch alone is 0 / 0.
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, eq=False)
class AxisWindow:
    """Where a patch lies along one axis."""

    voxels: slice
    weight: NDArray[np.float32]  # [patch]; over all windows of the axis they sum to 1 at every voxel


def even_starts(size: int, patch: int, step: int) -> list[int]:
    """As few evenly spaced windows along an axis of `size` >= `patch` voxels as the step allows."""
    n = math.ceil((size - patch) / step) + 1
    return [round(i * (size - patch) / max(n - 1, 1)) for i in range(n)]


def step_starts(size: int, patch: int, step: int) -> list[int]:
    """Where windows of `patch` start: every `step`, the last one ends at `size`; one where it is smaller."""
    last = max(0, size - patch)
    return [*range(0, last, step), last]


def covering(size: int, patch: int, step: int) -> NDArray[np.int64]:
    """How many windows of `step_starts` cover each position, [size]; 1, 2, …, k, …, 2, 1 with step 1."""
    counts = np.zeros(size, np.int64)
    for start in step_starts(size, patch, step):
        counts[start : start + patch] += 1
    return counts


def axis_windows(size: int, patch: int, step: int, blend: str) -> list[AxisWindow]:
    """The windows along an axis of `size` >= `patch` voxels, "gaussian" (sigma = patch / 8) or "constant"."""
    profile = np.ones(patch)
    if blend == "gaussian":
        distance = np.arange(patch) - (patch - 1) / 2
        profile = np.exp(-0.5 * (distance / (patch / 8)) ** 2).clip(min=LEAST_WEIGHT)
    places = [slice(start, start + patch) for start in even_starts(size, patch, step)]
    total = np.zeros(size)
    for place in places:
        total[place] += profile
    return [AxisWindow(place, (profile / total[place]).astype(np.float32)) for place in places]


def window_steps(patch: tuple[int, ...], overlap: float, stride: tuple[int, ...] | None) -> tuple[int, ...]:
    """Voxels from one window to the next, at most, along each axis."""
    if stride is not None:
        return tuple(stride)
    return tuple(max(1, math.floor(size * (1 - overlap))) for size in patch)
