"""Further maps of a case that move with its image: a teacher's logits and features, kept beside it.

A map lies on the case's working grid or on one that is `stride` times coarser: its voxel j covers the image's
voxels j·stride … (j + 1)·stride − 1. A patch of p voxels that begins at voxel x is cut from it as p / stride
voxels, at least one, whose centres lie evenly in the patch; between voxels by linear interpolation. Maps are
kept in half precision and read only where a patch lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .patches import cut


@dataclass(frozen=True, eq=False)
class CaseMap:
    """One map of one case, memory-mapped."""

    path: Path
    values: NDArray[np.float16]  # [C *s]
    stride: tuple[int, ...]
    interpolation: ClassVar[Literal["bilinear"]] = "bilinear"  # where a patch of it is turned or scaled

    def __reduce__(self) -> tuple[Any, ...]:
        return open_map, (self.path, self.stride)  # a worker process maps the file itself

    def cut(self, start: Sequence[int], patch: Sequence[int], shape: Sequence[int]) -> NDArray[np.float16]:
        """[C *p] of the patch of `patch` voxels from voxel `start` of the image, whose size is `shape`.

        Where the patch reaches beyond the image the map's edge is repeated, as the image's is.
        """
        if set(self.stride) == {1}:
            inside = self.values[(slice(None), *(slice(0, n) for n in shape))]
            return cut(inside, start, patch, "edge")
        piece: NDArray[Any] = np.asarray(self.values)
        for axis, (x, p, r) in enumerate(zip(start, patch, self.stride, strict=True), start=1):
            n = max(1, p // r)
            positions = (x + (np.arange(n) + 0.5) * p / n) / r - 0.5
            below = np.floor(positions).astype(np.int64)
            share = (positions - below).astype(np.float32)
            last = piece.shape[axis] - 1
            low, high = (
                np.take(piece, np.clip(i, 0, last), axis).astype(np.float32) for i in (below, below + 1)
            )
            share = share.reshape([-1 if a == axis else 1 for a in range(piece.ndim)])
            piece = low + share * (high - low)
        return piece.astype(np.float16, copy=False)


def open_map(path: Path, stride: Sequence[int]) -> CaseMap:
    """Maps the file at `path`."""
    return CaseMap(path, np.load(path, mmap_mode="r"), tuple(stride))
