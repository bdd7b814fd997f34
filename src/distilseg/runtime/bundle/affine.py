"""Values at the voxels of another grid, as MONAI's `AffineTransform` takes them, and where that grid lies.

    x = M i,    linear between voxels, or the nearest (of two as near the even); beyond the border it repeats,
                or is 0

in float64. Where axes stay parallel each is interpolated by itself. Places are computed as PyTorch does it,
in a volume that reaches from -1 to 1: which of two voxels is the nearest may hang on the last bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .shown import Affine, Volume

_PARALLEL = 1e-9  # voxels by which a voxel's step leaves its axis
_TOLERANCE = 1e-3  # MONAI's, between corners that count as the same


def moved(
    values: Volume, matrix: Affine, shape: Sequence[int], *, nearest: bool = False, zeros: bool = False
) -> Volume:
    """Values [K *s] at the voxels of another grid, [K *shape]; `matrix` leads from there to here."""
    straight = np.abs(matrix[:3, :3] - np.diag(np.diag(matrix)[:3])).max() < _PARALLEL
    by = _each_axis if straight else _anywhere
    matrix = _normed(values.shape[1:]) @ matrix @ np.linalg.inv(_normed(shape))
    made = np.empty((len(values), *shape), np.float32)
    for value, out in zip(values, made, strict=True):  # one by one: they are in float64 meanwhile
        out[...] = by(value.astype(np.float64), matrix, tuple(shape), nearest, zeros)
    return made


def zoomed(affine: Affine, spacing_mm: Sequence[float], *, diagonal: bool) -> Affine:
    """The affine of a grid of this spacing along the same axes, made right-angled; its first voxel at 0."""
    if diagonal:
        return np.diag([*spacing_mm, 1.0])
    axes = affine[:3, :3]
    upper = np.linalg.cholesky(axes.T @ axes).T  # axes = rotation @ upper
    new = np.eye(4)
    new[:3, :3] = axes @ np.linalg.inv(upper) @ np.diag(np.sign(np.diag(upper)) * np.abs(spacing_mm))
    return new


def placed(shape: Sequence[int], affine: Affine, zoomed: Affine) -> tuple[tuple[int, ...], Affine]:
    """Voxels of the new grid, and its affine: where a corner of the old grid is its first voxel, that stays
    where it is; else its middle does."""
    last = np.asarray(shape, float) - 1
    corners = np.concatenate([np.array([*np.ndindex(2, 2, 2)]).T * last[:, None], np.ones((1, 8))])
    in_new = (np.linalg.solve(zoomed, affine) @ corners)[:3]
    size = np.round(np.ptp(in_new, axis=1) + 1)
    made = zoomed.copy()
    for k in range(8):
        least = (in_new - in_new[:, k : k + 1]).min(1)
        if np.allclose(least, 0, rtol=_TOLERANCE):
            made[:3, 3] = (affine @ corners)[:3, k]
            break
    else:
        middle = affine[:3, :3] @ (np.asarray(shape, float) / 2) + affine[:3, 3]
        made[:3, 3] = middle - zoomed[:3, :3] @ (size / 2)
    return tuple(int(n) for n in size), made


def _each_axis(
    value: NDArray[np.float64], matrix: Affine, shape: tuple[int, ...], nearest: bool, zeros: bool
) -> NDArray[np.float64]:
    for axis, new in enumerate(shape):
        at = _voxel(matrix[axis, axis] * _normed_voxels(new) + matrix[axis, 3], value.shape[axis])
        across = [1] * value.ndim
        across[axis] = -1
        parts = [
            value.take(index, axis) * share.reshape(across)
            for index, share in _taps(at, value.shape[axis], nearest, zeros)
        ]
        value = parts[0] if nearest else parts[0] + parts[1]
    return value


def _anywhere(
    value: NDArray[np.float64], matrix: Affine, shape: tuple[int, ...], nearest: bool, zeros: bool
) -> NDArray[np.float64]:
    made = np.empty(shape)
    along, *others = map(_normed_voxels, shape)
    y, z = np.meshgrid(*others, indexing="ij")
    for i, x in enumerate(along):  # temporaries of one plane
        places = (matrix[a, 0] * x + matrix[a, 1] * y + matrix[a, 2] * z + matrix[a, 3] for a in range(3))
        axes = [_taps(_voxel(at, n), n, nearest, zeros) for at, n in zip(places, value.shape, strict=True)]
        made[i] = sum(
            value[tuple(index for index, _ in taps)] * np.prod([share for _, share in taps], axis=0)
            for taps in itertools.product(*axes)
        )
    return made


def _normed(shape: Sequence[int]) -> Affine:
    """From voxels to -1 ... 1, between the outer edges."""
    made = np.diag([*(2 / n for n in shape), 1.0])
    made[:3, 3] = [1 / n - 1 for n in shape]
    return made


def _normed_voxels(n: int) -> NDArray[np.float64]:
    """The centres of `n` voxels between -1 and 1, from both ends inwards."""
    i = np.arange(n)
    step = 2 / max(n - 1, 1)
    line = np.where(i < n // 2, -1 + step * i, 1 - step * (n - 1 - i)) if n > 1 else np.zeros(1)
    return np.asarray(line * (n - 1) / n)


def _voxel(at: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.asarray(((at + 1) * n - 1) / 2)


def _taps(
    at: NDArray[np.float64], n: int, nearest: bool, zeros: bool
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Along an axis of `n` voxels: those that a place is interpolated from, and the share of each."""
    at = at if zeros else at.clip(0, n - 1)
    if nearest:
        index = np.rint(at).astype(np.int64)
        return [(index.clip(0, n - 1), ((index >= 0) & (index < n)).astype(np.float64))]
    lower = np.floor(at).astype(np.int64)
    upper_share = at - lower
    taps = []
    for index, share in ((lower, 1 - upper_share), (lower + 1, upper_share)):
        inside = (index >= 0) & (index < n)
        taps.append((index.clip(0, n - 1), np.where(inside, share, 0.0)))
    return taps
