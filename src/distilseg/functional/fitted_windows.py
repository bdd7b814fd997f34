"""Windows fitted to a scan, for networks that take windows of any size: how large, and how far apart.

A small scan is one window, a large one is cut into few large ones. Along each axis windows are

    a multiple of `multiple`     what the network divides by
    at least `least`, at most `most`
    `overlap` voxels or more     into their neighbours: what those of training did, so that no voxel is seen
                                 with less around it than there

and a window holds at most `most_voxels`, which is what memory allows. Of the ways to cut a scan, the one is
taken that shows the network the fewest voxels; of equal ones, the fewest windows.

Standard library and NumPy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_MOST_CHOICES = 32  # extents that are weighed along an axis


def fitted(
    shape: Sequence[int],
    multiple: Sequence[int],
    least: Sequence[int],
    most: Sequence[int],
    overlap: Sequence[int],
    most_voxels: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Voxels of a window, and from one to the next at most, for a scan of `shape` voxels.

    `most_voxels` must be enough for `smallest`. An axis of one window has its extent for a stride.
    """
    limits = smallest(multiple, least, overlap)
    axes = zip(shape, multiple, least, most, overlap, limits, strict=True)
    choices = [_choices(*axis) for axis in axes]
    extents, counts = (
        np.stack(np.meshgrid(*([pair[of] for pair in axis] for axis in choices), indexing="ij")).reshape(
            len(choices), -1
        )
        for of in (0, 1)
    )
    voxels, windows = extents.prod(0), counts.prod(0)
    best = np.lexsort((windows, voxels * windows, voxels > most_voxels))[0]
    patch = tuple(map(int, extents[:, best]))
    stride = tuple(
        size if count == 1 else size - over
        for size, count, over in zip(patch, counts[:, best], overlap, strict=True)
    )
    return patch, stride


def smallest(multiple: Sequence[int], least: Sequence[int], overlap: Sequence[int]) -> tuple[int, ...]:
    """Voxels of the smallest window that leaves room beside the overlap."""
    return tuple(
        max(size, _up(over + 1, by)) for by, size, over in zip(multiple, least, overlap, strict=True)
    )


def _choices(
    size: int, multiple: int, least: int, most: int, overlap: int, limit: int
) -> list[tuple[int, int]]:
    """Extents of windows along an axis of `size` voxels, and how many of each it takes."""
    whole = max(least, _up(size, multiple))
    found = {1: whole} if whole <= most else {}  # of each count the smallest extent
    for extent in range(min(whole - multiple, most), limit - 1, -multiple):
        found[_count(size, extent, overlap)] = extent
        if len(found) == _MOST_CHOICES:
            break
    if limit < whole:
        found[_count(size, limit, overlap)] = limit
    return [(extent, count) for count, extent in found.items()]


def _count(size: int, extent: int, overlap: int) -> int:
    return max(0, math.ceil((size - extent) / (extent - overlap))) + 1


def _up(size: int, by: int) -> int:
    return math.ceil(size / by) * by
