"""Whether a scan's values look like Hounsfield units, those of CT, whatever its name says.

Air is -1000, water 0; scanners write whole numbers from -1024 on, some -2000, -2048 or -3024 outside of their
circle. Nothing else that is scanned has both: a least value about there, and one of several hundred. What
decides is

    least      a whole number, -1100 to -900, or down to -3100 where padding lies outside of the circle
    greatest   at least 300, contrast or bone
    most       1000 or more (bone) where nothing was padded, or at least half of the voxels as dense as air
               and lungs (below -800) or as fat, organs and blood (-200 to 200)

It is a guess: it is told, and changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AIR = (-1100.0, -900.0)
PADDED = -3100.0
BRIGHT, BONE = 300.0, 1000.0
_LOOKED_AT = 100_000  # voxels, at equal steps


def looks_like_hounsfield(array: NDArray[Any]) -> bool:
    """Whether the voxels `array` [*S] look like Hounsfield units."""
    if array.dtype.kind not in "if" or not array.size:
        return False
    with np.errstate(invalid="ignore"):
        low, high = float(array.min()), float(array.max())
    if not (PADDED <= low <= AIR[1] and low == np.round(low) and high >= BRIGHT):
        return False
    if low >= AIR[0] and high >= BONE:
        return True
    flat = array.ravel(order="K")
    some = flat[:: max(1, flat.size // _LOOKED_AT)]
    body = (some < -800) | ((some > -200) & (some < 200))
    return bool(body.mean() >= 0.5)
