"""How far windows may grow beyond those of training, axis by axis, before Dice is lost.

Where windows of training hold nearly a whole structure, a network may learn where it is from how far the
borders are: a hippocampus of 50 voxels in windows of 48. In windows of 64 it is lost then, while the same
network does not mind 48 in place of 32 along another axis. So

1. windows of any extent are tried
2. if they lose Dice, each axis alone: without limit, half as far, not at all
3. then what the axes allow, together; while that loses Dice, the axis that hurts most is held to training's
4. and last whether windows may be smaller than those of training where the scan is

No window grows farther than it did in a scan that was tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..functional.window_options import FittedWindowsOptions

Shapes = Sequence[tuple[int, ...]]  # voxels of the scans that are tried, once prepared
Lost = Callable[[FittedWindowsOptions], float]  # points of Dice


def grown(free: FittedWindowsOptions, shapes: Shapes, lost: Lost, allowed: float) -> FittedWindowsOptions:
    """The largest windows that lose no more than `allowed`; those of `free` may grow as far as scans are."""
    reached = _reached(free, shapes)
    if lost(free) <= allowed:
        return replace(free, most=reached)
    held = replace(free, least=free.patch, most=free.patch)
    most, harm = list(free.patch), [0.0] * len(free.patch)
    for axis in range(len(free.patch)):
        for extent in _steps(free, axis, reached[axis]):
            alone = replace(held, most=_put(free.patch, axis, extent))
            if (harmed := lost(alone)) <= allowed:
                most[axis], harm[axis] = extent, harmed
                break
    together = replace(held, most=tuple(most))
    while together.most != free.patch and lost(together) > allowed:
        growing = [axis for axis in range(len(most)) if together.most[axis] > free.patch[axis]]
        worst = max(growing, key=lambda axis: harm[axis])
        together = replace(together, most=_put(together.most, worst, free.patch[worst]))
    smaller = replace(together, least=free.least)
    if cuts(smaller, shapes) != cuts(together, shapes) and lost(smaller) <= allowed:
        return smaller
    return together


def cuts(options: FittedWindowsOptions, shapes: Shapes) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Voxels of the windows, and from one to the next, of each scan."""
    windows = [options.window(shape) for shape in shapes]
    return tuple((window.patch, window.strides) for window in windows)


def _reached(free: FittedWindowsOptions, shapes: Shapes) -> tuple[int, ...]:
    extents = [free.patch, *(free.window(shape).patch for shape in shapes)]
    return tuple(max(axis) for axis in zip(*extents, strict=True))


def _steps(free: FittedWindowsOptions, axis: int, reached: int) -> list[int]:
    """Extents beyond the patch, the largest first."""
    patch, by = free.patch[axis], free.multiple[axis]
    halfway = patch + math.ceil((reached - patch) / 2 / by) * by
    return [extent for extent in dict.fromkeys((reached, halfway)) if extent > patch]


def _put(sizes: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    return tuple(size if n == axis else old for n, old in enumerate(sizes))
