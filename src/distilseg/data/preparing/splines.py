"""Splines of an array to another number of voxels over the same extent, as SciPy makes them; NumPy alone.

    y = M x along an axis,   M [new old]

Voxel i of n new ones is centred at (i + 1/2) old / new - 1/2. A spline interpolates its knots, so that M is
the B-splines at those places times the inverse of the B-splines at the voxels; both are numbers that depend
on three integers alone. An axis is then a product of matrices, its rows by blocks: far from its place a voxel
weighs nothing. `scipy.ndimage.zoom(mode="nearest", grid_mode=True)` gives the same to rounding (tests hold
this to it) from (order + 1)^3 voxels for each one.

Unser, "Splines: A Perfect Fit for Signal and Image Processing", IEEE Signal Processing Magazine 1999.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ORDER = 5
_BEYOND = 12  # voxels by which SciPy repeats the edges before it finds a spline's coefficients
_NOTHING = 1e-16  # weights below change no digit
_ROWS = 64  # of a matrix at once: the columns that they need, in float64, stay few

# The roots inside the unit circle of the B-spline sampled at whole numbers, by order.
_POLES = {
    2: (math.sqrt(8) - 3,),
    3: (math.sqrt(3) - 2,),
    4: (
        math.sqrt(664 - math.sqrt(438976)) + math.sqrt(304) - 19,
        math.sqrt(664 + math.sqrt(438976)) - math.sqrt(304) - 19,
    ),
    5: (
        math.sqrt(67.5 - math.sqrt(4436.25)) + math.sqrt(26.25) - 6.5,
        math.sqrt(67.5 + math.sqrt(4436.25)) - math.sqrt(26.25) - 6.5,
    ),
}


def spline_resized(array: NDArray[Any], shape: Sequence[int], order: int) -> NDArray[Any]:
    """Floats [*s] -> [*shape] in the same type, each sum in float64; the axes that shrink most come first."""
    resized = array
    for axis in sorted(range(array.ndim), key=lambda axis: shape[axis] / array.shape[axis]):
        if shape[axis] != array.shape[axis]:
            resized = _along(resized, axis, spline_matrix(array.shape[axis], shape[axis], order))
    return resized


@lru_cache(maxsize=16)
def spline_matrix(old: int, new: int, order: int) -> NDArray[np.float64]:
    """[new old]: what each of `old` voxels counts for each of `new` ones."""
    x = (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5
    if order < 2:
        coefficients = np.eye(old)
        x = x.clip(0, old - 1)
    else:
        coefficients = _coefficients(old, order)
        x = (x + _BEYOND).clip(0, len(coefficients) - 1)
    made = _values(x, len(coefficients), order) @ coefficients
    made.flags.writeable = False
    return made


def _along(array: NDArray[Any], axis: int, weights_nm: NDArray[np.float64]) -> NDArray[Any]:
    """The product of a matrix with an array along one of its axes."""
    before, after = math.prod(array.shape[:axis]), math.prod(array.shape[axis + 1 :])
    old = np.ascontiguousarray(array).reshape(before, array.shape[axis], after)
    new = np.empty((before, len(weights_nm), after), array.dtype)
    for start in range(0, len(weights_nm), _ROWS):
        rows = slice(start, min(start + _ROWS, len(weights_nm)))
        there = np.flatnonzero((np.abs(weights_nm[rows]) > _NOTHING).any(0))
        columns = slice(int(there[0]), int(there[-1]) + 1)
        seen, block = old[:, columns].astype(np.float64), weights_nm[rows, columns]
        new[:, rows] = (seen[..., 0] @ block.T)[..., None] if after == 1 else block @ seen
    return new.reshape(*array.shape[:axis], len(weights_nm), *array.shape[axis + 1 :])


def _values(x: NDArray[np.floating[Any]], knots: int, order: int) -> NDArray[np.float64]:
    """[n knots]: the B-splines around whole numbers, at places x; edges are mirrored."""
    first = np.floor(x - (order - 1) / 2).astype(int)
    made = np.zeros((len(x), knots))
    for k in range(order + 1):
        at = _mirrored(first + k, knots)
        np.add.at(made, (np.arange(len(x)), at), _b_spline(x - (first + k), order))
    return made


def _b_spline(x: NDArray[np.floating[Any]], order: int) -> NDArray[np.float64]:
    """beta(x) = sum_k (-1)^k (n+1 over k) (x + (n+1)/2 - k)_+^n / n!"""
    if order == 0:
        return ((x >= -0.5) & (x < 0.5)).astype(np.float64)
    total = np.zeros_like(x)
    for k in range(order + 2):
        share = (-1) ** k * math.comb(order + 1, k)
        total += share * np.maximum(x + (order + 1) / 2 - k, 0) ** order
    return np.asarray(total / math.factorial(order))


def _mirrored(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Whole numbers within [0, n): edges are mirrored around their voxels."""
    if n == 1:
        return np.zeros_like(index)
    within = np.abs(index) % (2 * n - 2)
    return np.asarray(np.minimum(within, 2 * n - 2 - within))


def _coefficients(old: int, order: int) -> NDArray[np.float64]:
    """[old + 2 beyond, old]: from voxels, their edges repeated, to the weights of the B-splines that meet
    them: the inverse of a banded matrix, by a filter forth and back for each pole."""
    source = np.clip(np.arange(-_BEYOND, old + _BEYOND), 0, old - 1)
    c = np.eye(old)[source]
    n = len(c)
    for pole in _POLES[order]:
        c *= (1 - pole) * (1 - 1 / pole)
        # Edges are mirrored between voxels: c[-1] = c[0].
        decay = pole ** np.arange(n)
        c[0] += (pole / (1 - decay[-1] * decay[-1] * pole * pole)) * (
            decay @ c + (decay[-1] * pole) * (decay @ c[::-1])
        )
        for i in range(1, n):
            c[i] += pole * c[i - 1]
        c[n - 1] *= pole / (pole - 1)
        for i in range(n - 2, -1, -1):
            c[i] = pole * (c[i + 1] - c[i])
    return c
