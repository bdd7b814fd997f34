"""A stack that leans, as a gantry tilt makes it, onto a grid with right angles, and labels back onto it.

    v = v_n n + t        the step from plane to plane: upwards, and t sideways within the planes
    straight plane k = plane k, moved back by k t: between four pixels, linearly; outside: the least value
    label of a plane's pixel = that of the nearest voxel of its straight plane

Planes stay planes, so nothing is interpolated between them. The straight grid is wider than the planes by as
much as they move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scan import Geometry


@dataclass(frozen=True, eq=False)
class Tilt:
    """Between a leaning grid and the straight one around it."""

    leaning: Geometry
    straight: Geometry
    moved: NDArray[np.float64]  # [K 2] where plane k begins in the straight one, in pixels along I and J

    def straightened(self, array_IJK: NDArray[np.generic]) -> NDArray[np.generic]:
        """Voxels of the leaning grid on the straight one; floats stay, integers become 32-bit floats."""
        straight = np.full(self.straight.shape, array_IJK.min(), np.float32)
        for k, (along_i, along_j) in enumerate(self.moved):
            plane = array_IJK[:, :, k].astype(np.float32)
            plane = _between(_between(plane, along_i % 1, 0), along_j % 1, 1)
            i, j = int(np.ceil(along_i)), int(np.ceil(along_j))
            straight[i : i + plane.shape[0], j : j + plane.shape[1], k] = plane
        return straight

    def put_back(self, labels_IJK: NDArray[np.generic]) -> NDArray[np.generic]:
        """Labels of the straight grid on the planes of the leaning one."""
        columns, rows, _ = self.leaning.shape
        labels = np.empty(self.leaning.shape, labels_IJK.dtype)
        for k, (i, j) in enumerate(np.floor(self.moved + 0.5).astype(int)):
            labels[:, :, k] = labels_IJK[i : i + columns, j : j + rows, k]
        return labels


def tilt_of(leaning: Geometry) -> Tilt:
    """Where the planes of a leaning grid lie in a straight one."""
    affine = leaning.affine
    along_i, along_j, step = affine[:3, 0], affine[:3, 1], affine[:3, 2]
    normal = np.cross(along_i, along_j)
    normal /= np.linalg.norm(normal)
    per_plane = np.array([step @ along_i / (along_i @ along_i), step @ along_j / (along_j @ along_j)])
    moved = np.round(np.arange(leaning.shape[2])[:, np.newaxis] * per_plane, 6)
    moved -= np.minimum(moved.min(axis=0), 0)
    start = moved[0]  # of the first plane in the straight grid
    wider = np.ceil(moved.max(axis=0)).astype(int) + 1
    straight = affine.copy()
    straight[:3, 2] = (step @ normal) * normal
    straight[:3, 3] -= along_i * start[0] + along_j * start[1]
    shape = (leaning.shape[0] + int(wider[0]), leaning.shape[1] + int(wider[1]), leaning.shape[2])
    return Tilt(leaning, Geometry(shape, straight), moved)


def _between(plane: NDArray[np.float32], part: float, axis: int) -> NDArray[np.float32]:
    """The plane moved on by `part` of a pixel; the pixel that is lost is half outside."""
    if part == 0:
        return plane
    lower = np.take(plane, range(plane.shape[axis] - 1), axis)
    upper = np.take(plane, range(1, plane.shape[axis]), axis)
    return np.asarray(part * lower + (1 - part) * upper, np.float32)
