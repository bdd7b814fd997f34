"""NSD, the normalised surface Dice at a tolerance, by area: the definition of DeepMind's surface-distance.

Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck anatomy for
radiotherapy", 2018, arXiv:1809.04430; https://github.com/google-deepmind/surface-distance.

The surface is made of elements that sit where 2x2x2 voxels (2x2 pixels) meet and are not all alike. With
a(x) the area (length) of the surface within the cell that the eight voxel centres span and d(x, .) the
distance in mm to the nearest element of the other surface,

    NSD = (sum of a(x) over elements of both surfaces with d(x) <= tolerance) / (sum of a(x) over all)

The area within a cell is that of marching cubes (Lorensen and Cline, 1987) with all vertices halfway. Their
15 cases reduce to one rule: of the cell's corners take the side, inside or outside, that has at most four;
split it into the pieces that edges connect; each piece is cut off by its own surface. There are six such
pieces, and the area vectors of the triangles that cut them off are below, in units of the cell. A vector a
belongs to a triangle with area |(a_0 s_1 s_2, a_1 s_0 s_2, a_2 s_0 s_1)| at spacing s.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .nearest import nearest_mm
from .overlap import Mask
from .surface import ROUNDING

Corner = tuple[int, ...]
Codes = npt.NDArray[np.uint8]


def nsd(reference: Mask, prediction: Mask, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """NSD in [0, 1] of two masks [*S], 2D or 3D, neither empty, each with an empty margin of one voxel."""
    areas = element_areas(tuple(spacing_mm))
    codes = neighbour_codes(reference), neighbour_codes(prediction)
    elements = tuple((code != 0) & (code != len(areas) - 1) for code in codes)
    limit_mm = tolerance_mm * (1 + ROUNDING)
    close = total = 0.0
    for own, other in ((0, 1), (1, 0)):
        area = areas[codes[own][elements[own]]]
        distance_mm = nearest_mm(elements[own], elements[other], spacing_mm, within_mm=limit_mm)
        close += float(area[distance_mm <= limit_mm].sum())
        total += float(area.sum())
    return close / total


def neighbour_codes(mask: Mask) -> Codes:
    """Which voxels meet at each inner corner of a mask [*S]: one bit for each of the 2^n, [*(S - 1)].

    Corner (i, j, k) of a cell has bit i + 2 j + 4 k (axis 0 first).
    """
    codes = mask.view(np.uint8)
    for axis in range(mask.ndim):
        first = (slice(None),) * axis
        codes = codes[(*first, slice(None, -1))] | (codes[(*first, slice(1, None))] << np.uint8(1 << axis))
    return codes


@functools.lru_cache(maxsize=64)
def element_areas(spacing_mm: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """The area in mm² (in 2D the length in mm) of the surface in a cell, by neighbour code: [256] or [16]."""
    corners: list[Corner] = [tuple(reversed(c)) for c in itertools.product((0, 1), repeat=len(spacing_mm))]
    face_areas = math.prod(spacing_mm) / np.asarray(spacing_mm)
    areas = np.zeros(2 ** len(corners))
    for code in range(areas.size):
        inside = [corner for bit, corner in enumerate(corners) if code >> bit & 1]
        outside = [corner for corner in corners if corner not in inside]
        for piece in _pieces(min(inside, outside, key=len)):
            areas[code] += np.linalg.norm(np.asarray(_cut(piece)) * face_areas, axis=1).sum()
    areas.setflags(write=False)
    return areas


def _pieces(corners: Sequence[Corner]) -> list[list[Corner]]:
    """The corners grouped by the edges that connect them."""
    left, pieces = list(corners), []
    while left:
        piece = [left.pop()]
        for corner in piece:
            piece += [near for near in left if _edges(corner, near) == 1]
            left = [far for far in left if far not in piece]
        pieces.append(piece)
    return pieces


def _cut(piece: Sequence[Corner]) -> list[list[float]]:
    """The area vectors (absolute values, units of the cell) of the triangles that cut a piece off."""
    neighbours = [[b for b in piece if _edges(a, b) == 1] for a in piece]
    across = [float(len(set(positions)) == 1) for positions in zip(*piece, strict=True)]  # 1 where it is flat
    match len(across), len(piece):
        case 2, 1:
            return [[1 / 2, 1 / 2]]
        case 2, 2:  # a side
            return [across]
        case 3, 1:
            return [[1 / 8] * 3]
        case 3, 2:  # an edge
            return [[a / 2 for a in across]]
        case 3, 3:  # three corners of a face
            return [[a / 2 for a in across], [1 / 8] * 3, [1 / 4] * 3]
        case 3, 4 if any(across):  # a face
            return [across]
        case 3, 4 if any(len(near) == 3 for near in neighbours):  # a corner and its three neighbours
            return [[3 / 4] * 3]
        case _:  # a path of three edges, one along each axis: a triangle beside each end, and two between
            ends = [(a, near[0]) for a, near in zip(piece, neighbours, strict=True) if len(near) == 1]
            beside = [[float(x == y) / 4 for x, y in zip(a, b, strict=True)] for a, b in ends]
            return [*beside, [1 / 8] * 3, [3 / 8] * 3]


def _edges(a: Corner, b: Corner) -> int:
    """How many edges lie between two corners."""
    return sum(x != y for x, y in zip(a, b, strict=True))
