"""From logits on the working grid to label values on the grid of the scan, on NumPy.

As `distilseg.inference.label_export` and `region_export`, whose reasoning holds here: the result is made
block by block, one class at a time with a running maximum, and classes that cannot win anywhere in a block
are not looked at. So memory does not grow with the number of classes. Blocks are shared out to threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..functional.threads import shared

if TYPE_CHECKING:
    from ..data.planning.plan import Plan
    from ..data.preparing.grid import Grid

Classes = NDArray[np.unsignedinteger[Any]]

_BLOCK = 48  # edge of an output block in voxels: a float block (0.4 MB) and its temporaries stay in cache


def export_labels(logits_KS: NDArray[np.float32], shape: Sequence[int], *, threads: int = 0) -> Classes:
    """The class with the highest logit at every voxel of a grid of `shape`; ties go to the lowest class.

    logits_KS: [K *s], 2D or 3D, on any grid whose extent is that of the result, linearly interpolated with
    voxel edges aligned. Returns class indices [*shape], uint8 up to 256 classes and uint16 above.
    """
    dtype = np.uint8 if len(logits_KS) <= 256 else np.uint16
    if logits_KS.shape[1:] == tuple(shape):
        return _by_planes(logits_KS, dtype, threads)
    return _by_blocks(logits_KS, shape, _winners, dtype, threads)


def export_regions(
    logits_RS: NDArray[np.float32], shape: Sequence[int], paints: Sequence[int], *, threads: int = 0
) -> Classes:
    """Class indices [*shape], uint8, of region logits [R *s]: region r, where above 0, is `paints[r]`."""

    def painted(coarse_Rs: NDArray[np.float32], parts: Sequence[_Part]) -> Classes:
        classes = np.zeros([part.fine.stop - part.fine.start for part in parts], np.uint8)
        for coarse_s, k in zip(coarse_Rs, paints, strict=True):
            if coarse_s.max() > 0:
                classes[_interpolated(coarse_s, parts) > 0] = k
        return classes

    return _by_blocks(logits_RS, shape, painted, np.uint8, threads)


def restored_labels(classes: Classes, grid: Grid, plan: Plan) -> Classes:
    """Label values [I J K] on the original grid from class indices on the cropped one."""
    restored = grid.restore(classes)
    values = np.array(plan.label_values)
    if np.array_equal(values, np.arange(len(values))):
        return restored
    mapped: Classes = values.astype(np.min_scalar_type(values.max()))[restored]
    return mapped


@dataclass(frozen=True, eq=False)
class _Part:
    """A piece of one axis: fine value = (1 - weight) * coarse[lower] + weight * coarse[upper]."""

    fine: slice
    coarse: slice
    lower: NDArray[np.int64]  # [n] index into the coarse slice
    upper: NDArray[np.int64]
    weight: NDArray[np.float32]


def _by_planes(logits_KS: NDArray[np.float32], dtype: Any, threads: int) -> Classes:
    """The argmax on the logits' own grid; a running maximum is several times faster than NumPy's argmax."""
    labels = np.zeros(logits_KS.shape[1:], dtype)

    def fill(n: int) -> None:
        best, winner = logits_KS[0, n].copy(), labels[n]
        for k in range(1, len(logits_KS)):
            winner[logits_KS[k, n] > best] = k
            np.maximum(best, logits_KS[k, n], out=best)

    shared(fill, range(len(labels)), labels.size, threads)
    return labels


def _by_blocks(
    logits_KS: NDArray[np.float32],
    shape: Sequence[int],
    decide: Callable[[NDArray[np.float32], Sequence[_Part]], Classes],
    dtype: Any,
    threads: int,
) -> Classes:
    """What `decide` makes of the coarse logits [K *c] under every block."""
    if logits_KS.ndim != len(shape) + 1 or len(shape) not in (2, 3):
        raise ValueError(f"expected logits [K *s] for a grid of shape {shape}, got {list(logits_KS.shape)}")
    labels = np.empty(tuple(shape), dtype)
    axes = [_parts(coarse, fine) for coarse, fine in zip(logits_KS.shape[1:], shape, strict=True)]

    def fill(parts: Sequence[_Part]) -> None:
        coarse_Ks = logits_KS[(slice(None), *(part.coarse for part in parts))]
        labels[tuple(part.fine for part in parts)] = decide(coarse_Ks, parts)

    shared(fill, itertools.product(*axes), labels.size, threads)
    return labels


def _parts(coarse: int, fine: int) -> list[_Part]:
    """The pieces of one axis of `fine` voxels, interpolated from `coarse` voxels."""
    # Voxel centres: x = (i + 1/2) coarse / fine - 1/2, rounded as torch does.
    scale = np.float64(np.float32(coarse / fine))
    source = ((np.arange(fine) + 0.5) * scale - 0.5).clip(min=0).astype(np.float32)
    lower = np.minimum(source.astype(np.int64), coarse - 1)
    upper = np.minimum(lower + 1, coarse - 1)
    weight = source - lower.astype(np.float32)
    parts = []
    for start in range(0, fine, _BLOCK):
        piece = slice(start, min(start + _BLOCK, fine))
        first, last = int(lower[piece.start]), int(upper[piece.stop - 1])
        ends = (lower[piece] - first, upper[piece] - first, weight[piece])
        parts.append(_Part(piece, slice(first, last + 1), *ends))
    return parts


def _winners(coarse_Ks: NDArray[np.float32], parts: Sequence[_Part]) -> Classes:
    """Class indices of one block."""
    candidates = _candidates(coarse_Ks)
    if len(candidates) == 1:
        return np.uint16(candidates[0])  # type: ignore[return-value]  # broadcasts over the block
    best = _interpolated(coarse_Ks[candidates[0]], parts)
    winner = np.full(best.shape, candidates[0], np.uint16)
    for k in candidates[1:]:
        value = _interpolated(coarse_Ks[k], parts)
        winner[value > best] = k
        np.maximum(best, value, out=best)
    return winner


def _candidates(coarse_Ks: NDArray[np.float32]) -> list[int]:
    """Classes that may win somewhere among or between these voxels, in ascending order."""
    flat = coarse_Ks.reshape(len(coarse_Ks), -1)
    low_K, high_K = flat.min(1), flat.max(1)
    # Each of the three interpolations rounds at most three times: 9 half-eps of the largest magnitude.
    margin = 16 * np.finfo(np.float32).eps * np.maximum(np.abs(low_K), np.abs(high_K)).max()
    return [int(k) for k in np.flatnonzero(high_K >= low_K.max() - margin)]


def _interpolated(coarse_s: NDArray[np.float32], parts: Sequence[_Part]) -> NDArray[np.float32]:
    """One class on the block's output grid: linear along the last axis first, as torch's kernel nests."""
    value = coarse_s
    for axis in reversed(range(len(parts))):
        part, across = parts[axis], [1] * len(parts)
        across[axis] = -1
        lower, upper = value.take(part.lower, axis), value.take(part.upper, axis)
        upper *= part.weight.reshape(across)
        lower *= (1 - part.weight).reshape(across)
        upper += lower
        value = upper
    return value
