"""How far is each point of a grid from a set of others: the hot path of the surface metrics.

A distance transform would answer for every voxel of the box, and cost more the farther one stray voxel
lies. Only surface points ask, and most are close to the other surface, so:

1. points that lie on it are at 0;
2. the others look around in rings of growing distance, all of them at once and one offset at a time;
3. the few that found nothing within `REACH` voxels ask a search tree.

All three are exact: a ring is tried only if no offset beyond the reach could be closer.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .overlap import Mask

Floats = npt.NDArray[np.float64]
Offset = tuple[int, ...]

REACH = 5  # voxels along an axis; from 4 to 6 the time is about the same


def nearest_mm(
    points: Mask, surface: Mask, spacing_mm: Sequence[float], *, within_mm: float = math.inf
) -> Floats:
    """For each of `points` [*S], in C order, its distance in mm to the nearest of `surface` [*S], not empty.

    Beyond `within_mm`, where the exact distance does not matter and costs time, the answer is inf.
    """
    spacing_mm = tuple(spacing_mm)
    distances_mm = np.zeros(np.count_nonzero(points))
    padded = np.ascontiguousarray(np.pad(surface, REACH))
    # The points that have no answer yet, and where they are in `padded`.
    asking = np.flatnonzero(~surface[points])
    indices = np.unravel_index(np.flatnonzero(points & ~surface), points.shape)
    at = np.ravel_multi_index(tuple(i + REACH for i in indices), padded.shape)
    occupied = padded.ravel()
    for distance_mm, offsets in _rings(spacing_mm):
        if distance_mm > within_mm or not asking.size:
            break
        steps = (
            sum(o * stride for o, stride in zip(offset, padded.strides, strict=True)) for offset in offsets
        )
        found = functools.reduce(np.logical_or, (occupied[at + step] for step in steps))
        distances_mm[asking[found]] = distance_mm
        asking, at = asking[~found], at[~found]
    if asking.size and _seen_mm(spacing_mm) <= within_mm:
        left = [i - REACH for i in np.unravel_index(at, padded.shape)]
        distances_mm[asking] = _by_tree(left, surface, spacing_mm, within_mm)
    else:
        distances_mm[asking] = math.inf
    return distances_mm


def _seen_mm(spacing_mm: tuple[float, ...]) -> float:
    """Every voxel closer than this is within reach."""
    return (REACH + 1) * min(spacing_mm)


@functools.lru_cache(maxsize=64)
def _rings(spacing_mm: tuple[float, ...]) -> list[tuple[float, list[Offset]]]:
    """The offsets of all voxels closer than `_seen_mm`, by distance, nearest first."""
    rings: dict[float, list[Offset]] = {}
    for offset in itertools.product(range(-REACH, REACH + 1), repeat=len(spacing_mm)):
        distance_mm = math.hypot(*(o * s for o, s in zip(offset, spacing_mm, strict=True)))
        if 0 < distance_mm < _seen_mm(spacing_mm):
            rings.setdefault(distance_mm, []).append(offset)
    return sorted(rings.items())


def _by_tree(
    positions: Sequence[npt.NDArray[np.intp]], surface: Mask, spacing_mm: tuple[float, ...], within_mm: float
) -> Floats:
    from scipy.spatial import KDTree

    def in_mm(indices: Sequence[npt.NDArray[np.intp]]) -> Floats:
        return np.stack([i * s for i, s in zip(indices, spacing_mm, strict=True)], axis=1)

    # Balance takes time to build and gains nothing on surfaces. Compact nodes gain a little where the
    # surfaces are close and cost eight times as much where one lies around the other.
    surface_mm = in_mm(np.unravel_index(np.flatnonzero(surface), surface.shape))
    tree = KDTree(surface_mm, leafsize=32, compact_nodes=False, balanced_tree=False)
    bound_mm = np.nextafter(within_mm, math.inf)  # the tree leaves out what lies exactly at its bound
    distances_mm: Floats = tree.query(in_mm(positions), distance_upper_bound=bound_mm)[0]
    return distances_mm
