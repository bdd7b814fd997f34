"""Where nnU-Net's windows stand and what each of their voxels counts.

    step      a share of the patch, half a number for an odd one
    starts    round(i (size - patch) / (n - 1)),   n = ceil((size - patch) / step) + 1
    weight    a Gaussian around voxel patch // 2, sigma = patch / 8, cut at 4 sigma, 10 at its centre, in
              float16; what is 0 then becomes the smallest number that is not

A 2D configuration stands on every slice across the first axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache, reduce

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]


def starts(size: int, patch: int, share: float) -> list[int]:
    """Along an axis of `size` >= `patch` voxels; `share` of the patch is the step."""
    n = math.ceil((size - patch) / (patch * share)) + 1
    if n == 1:
        return [0]
    return [int(np.round(i * ((size - patch) / (n - 1)))) for i in range(n)]


def boxes(shape: Sequence[int], patch: Sequence[int], share: float) -> Iterator[Box]:
    """Every window in a volume [*W] that is nowhere smaller than the patch; of one slice each in 2D."""
    axes = [
        [slice(first, first + length) for first in starts(size, length, share)]
        for size, length in zip(shape[len(shape) - len(patch) :], patch, strict=True)
    ]
    if len(patch) < len(shape):
        axes = [[slice(i, i + 1) for i in range(shape[0])], *axes]
    return itertools.product(*axes)


@cache
def weight(patch: tuple[int, ...]) -> NDArray[np.float16]:
    """What each voxel of a window counts, [*P]."""
    blurred = reduce(np.multiply.outer, [_along(size) for size in patch])
    made: NDArray[np.float16] = (blurred / (blurred.max() / 10)).astype(np.float16)
    made[made == 0] = made[made > 0].min()
    made.flags.writeable = False
    return made


def _along(size: int) -> NDArray[np.float64]:
    """[size]: a Gaussian along an axis, its sum 1 where it is not cut off by the patch."""
    sigma = size / 8
    reach = int(4 * sigma + 0.5)
    gaussian = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    gaussian /= gaussian.sum()
    x = np.arange(size) - size // 2
    return np.where(np.abs(x) <= reach, gaussian[(x + reach).clip(0, 2 * reach)], 0.0)


def padding(shape: Sequence[int], patch: Sequence[int]) -> list[tuple[int, int]]:
    """Voxels before and behind, along each axis of a volume, that make it as large as the patch."""
    lacking = [
        max(0, length - size) for size, length in zip(shape[len(shape) - len(patch) :], patch, strict=True)
    ]
    return [(0, 0)] * (len(shape) - len(patch)) + [(n // 2, n - n // 2) for n in lacking]
