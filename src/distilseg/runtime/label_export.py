"""From logits on the working grid to label values on the grid of the scan, on NumPy.

As `distilseg.inference.label_export` and `region_export`, whose reasoning holds here: the result is made
piece by piece, one class at a time with a running maximum, and classes that cannot win anywhere in a piece
are not looked at. So memory does not grow with the number of classes. Pieces are shared out to threads.

Logits may come in blocks (`blocks`). A voxel of the result is made from the block that holds the upper one of
the two that it lies between along each axis; the lower one is in it as well.

    LabelMap        label values on a case's own grid, written piece by piece
    export          a block of logits into it, by what decides: `likeliest`, `painted`, a vote of views
    export_labels, export_regions, restored_labels    the same of all logits, of all class indices at once
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..functional.threads import shared
from .blocks import Block, Box, Volume, boxed, everything

if TYPE_CHECKING:
    from ..data.planning.plan import Plan
    from ..data.preparing.grid import Grid

Classes = NDArray[np.unsignedinteger[Any]]

_BLOCK = 48  # edge of a piece in voxels: floats of it (0.4 MB) and their temporaries stay in cache


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of one axis: fine value = (1 - weight) * coarse[lower] + weight * coarse[upper]."""

    fine: slice
    coarse: slice  # of the block's logits
    lower: NDArray[np.int64]  # [n] index into the coarse slice
    upper: NDArray[np.int64]
    weight: NDArray[np.float32]


Decide = Callable[[Volume, Sequence[Part]], Classes]  # logits [K *c] under a piece -> class indices [*f]


class LabelMap:
    """Label values [I J K] on the original grid of a case, background where nothing is put."""

    def __init__(self, grid: Grid, plan: Plan) -> None:
        values = np.array(plan.label_values)
        self._values = values.astype(np.min_scalar_type(values.max()))  # by class index
        self._renamed = not np.array_equal(values, np.arange(len(values)))
        self.labels: Classes = np.full(grid.original_shape, self._values[0])
        self._cropped = grid.crop(self.labels)

    @staticmethod
    def bytes_of(grid: Grid, plan: Plan) -> int:
        """Memory of such a map."""
        return math.prod(grid.original_shape) * np.min_scalar_type(max(plan.label_values)).itemsize

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the cropped grid, which logits are exported to."""
        return self._cropped.shape

    def put(self, box: Box, classes: Classes) -> None:
        """Class indices of a box of the cropped grid."""
        self._cropped[box] = self._values[classes] if self._renamed else classes


def restored_labels(classes: Classes, grid: Grid, plan: Plan) -> Classes:
    """Label values [I J K] on the original grid from class indices on the cropped one."""
    restored = LabelMap(grid, plan)
    restored.put((slice(None),) * classes.ndim, classes)
    return restored.labels


def export(
    block: Block,
    coarse: Sequence[int],
    fine: Sequence[int],
    decide: Decide,
    put: Callable[[Box, Classes], object],
    *,
    threads: int = 0,
) -> None:
    """Puts what `decide` makes of a block of logits, of the grid `coarse`, on the grid `fine`."""
    axes = [_parts(*sizes) for sizes in zip(block.box, coarse, fine, strict=True)]

    def fill(parts: Sequence[Part]) -> None:
        under = boxed(block.logits, [part.coarse for part in parts])
        put(tuple(part.fine for part in parts), decide(under, parts))

    voxels = math.prod(sum(len(part.lower) for part in parts) for parts in axes)
    shared(fill, itertools.product(*axes), voxels, threads)


def export_labels(logits_KS: Volume, shape: Sequence[int], *, threads: int = 0) -> Classes:
    """The class with the highest logit at every voxel of a grid of `shape`; ties go to the lowest class.

    logits_KS: [K *s], 2D or 3D, on any grid whose extent is that of the result, linearly interpolated with
    voxel edges aligned. Returns class indices [*shape], uint8 up to 256 classes and uint16 above.
    """
    dtype = np.uint8 if len(logits_KS) <= 256 else np.uint16
    return _of_all(logits_KS, shape, likeliest, dtype, threads)


def export_regions(
    logits_RS: Volume, shape: Sequence[int], paints: Sequence[int], *, threads: int = 0
) -> Classes:
    """Class indices [*shape], uint8, of region logits [R *s]: region r, where above 0, is `paints[r]`."""
    return _of_all(logits_RS, shape, partial(painted, paints), np.uint8, threads)


def likeliest(coarse_Ks: Volume, parts: Sequence[Part]) -> Classes:
    """The class of the highest logit, the lowest of equal ones; a single number where it is one alone."""
    candidates = _candidates(coarse_Ks)
    if len(candidates) == 1:
        return np.uint16(candidates[0])  # type: ignore[return-value]  # broadcasts over the piece
    best = interpolated(coarse_Ks[candidates[0]], parts).copy()
    winner = np.full(best.shape, candidates[0], np.uint16)
    for k in candidates[1:]:
        value = interpolated(coarse_Ks[k], parts)
        winner[value > best] = k
        np.maximum(best, value, out=best)
    return winner


def painted(paints: Sequence[int], coarse_Rs: Volume, parts: Sequence[Part]) -> Classes:
    """Of region logits the class of the last region that is above 0, else the background."""
    classes = np.zeros([len(part.lower) for part in parts], np.uint8)
    for coarse_s, k in zip(coarse_Rs, paints, strict=True):
        if coarse_s.max() > 0:
            classes[interpolated(coarse_s, parts) > 0] = k
    return classes


def interpolated(coarse_s: Volume, parts: Sequence[Part]) -> Volume:
    """One class on the piece's grid: linear along the last axis first, as torch's kernel nests.

    A view where the logits lie on that grid.
    """
    value = coarse_s
    for axis in reversed(range(len(parts))):
        part, across = parts[axis], [1] * len(parts)
        if not part.weight.any() and len(part.lower) == value.shape[axis]:  # voxel by voxel the same
            continue
        across[axis] = -1
        lower, upper = value.take(part.lower, axis), value.take(part.upper, axis)
        upper *= part.weight.reshape(across)
        lower *= (1 - part.weight).reshape(across)
        upper += lower
        value = upper
    return value


def whole_axis(coarse: int, fine: int) -> Part:
    """All of an axis as one piece."""
    lower, upper, weight = _ends(coarse, fine)
    return Part(slice(0, fine), slice(0, coarse), lower, upper, weight)


def _of_all(logits_KS: Volume, shape: Sequence[int], decide: Decide, dtype: Any, threads: int) -> Classes:
    if logits_KS.ndim != len(shape) + 1 or len(shape) not in (2, 3):
        raise ValueError(f"expected logits [K *s] for a grid of shape {shape}, got {list(logits_KS.shape)}")
    labels, coarse = np.empty(tuple(shape), dtype), logits_KS.shape[1:]
    export(everything(logits_KS, len(shape)), coarse, shape, decide, labels.__setitem__, threads=threads)
    return labels


def _parts(side: slice, coarse: int, fine: int) -> list[Part]:
    """The pieces of one axis of `fine` voxels whose upper one of `coarse` voxels lies in a block's side."""
    lower, upper, weight = _ends(coarse, fine)
    start, stop = (int(n) for n in np.searchsorted(upper, (side.start, side.stop)))
    before = max(0, side.start - 1)  # where the block's logits begin
    count = math.ceil((stop - start) / _BLOCK)
    edges = [start + (stop - start) * n // max(count, 1) for n in range(count + 1)]
    parts = []
    for piece in itertools.starmap(slice, itertools.pairwise(edges)):
        first, last = int(lower[piece.start]), int(upper[piece.stop - 1])
        ends = (lower[piece] - first, upper[piece] - first, weight[piece])
        parts.append(Part(piece, slice(first - before, last + 1 - before), *ends))
    return parts


@lru_cache(maxsize=16)
def _ends(coarse: int, fine: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each fine voxel the coarse ones at either side, and the share of the upper."""
    if coarse == fine:
        own = np.arange(fine)
        return own, own, np.zeros(fine, np.float32)
    # Voxel centres: x = (i + 1/2) coarse / fine - 1/2, rounded as torch does.
    scale = np.float64(np.float32(coarse / fine))
    source = ((np.arange(fine) + 0.5) * scale - 0.5).clip(min=0).astype(np.float32)
    lower = np.minimum(source.astype(np.int64), coarse - 1)
    return lower, np.minimum(lower + 1, coarse - 1), source - lower.astype(np.float32)


def _candidates(coarse_Ks: Volume) -> list[int]:
    """Classes that may win somewhere among or between these voxels, in ascending order."""
    flat = coarse_Ks.reshape(len(coarse_Ks), -1)
    low_K, high_K = flat.min(1), flat.max(1)
    # Each of the three interpolations rounds at most three times: 9 half-eps of the largest magnitude.
    margin = 16 * np.finfo(np.float32).eps * np.maximum(np.abs(low_K), np.abs(high_K)).max()
    return [int(k) for k in np.flatnonzero(high_K >= low_K.max() - margin)]
