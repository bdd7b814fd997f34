"""A mask with its holes filled: what is not joined to the border by faces is inside.

From the border what is reached grows along each axis, forth and back, plane by plane, until nothing is new:
a few rounds for a body. As `scipy.ndimage.binary_fill_holes`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def filled(mask: Mask) -> Mask:
    """`mask` [*S], of any number of axes, and its holes."""
    free = ~mask
    reached = np.zeros_like(mask)
    for axis in range(mask.ndim):
        for end in (0, -1):
            np.moveaxis(reached, axis, 0)[end] = np.moveaxis(free, axis, 0)[end]
    count = -1
    while (now := int(np.count_nonzero(reached))) != count:
        count = now
        for axis in range(mask.ndim):
            _grow(np.moveaxis(reached, axis, 0), np.moveaxis(free, axis, 0))
    return ~reached


def _grow(reached: Mask, free: Mask) -> None:
    """In place, along the first axis."""
    for order in (range(1, len(free)), range(len(free) - 2, -1, -1)):
        back = -1 if order.step > 0 else 1
        for i in order:
            reached[i] |= reached[i + back] & free[i]
