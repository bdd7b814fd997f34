"""Inter-slice similarity: does a structure change from slice to slice as it does in the reference?

    a_z = Dice(R_z, R_z+1)        b_z = Dice(P_z, P_z+1)        z = 1 … D - 1
    slice_similarity = sqrt(Σ_z (a_z - b_z)²)

after Thickened 2D Networks (Yu et al.): a network that sees slices alone gives masks that flicker between
them. R_z and P_z are the masks of the reference and the prediction in slice z. Lower is better and 0 is best:
it compares the two in how they vary and not in where they are, so it says nothing without the Dice beside it.

A pair of slices of which both are empty has no Dice; a pair without one, in the reference or the prediction,
is left out. Where no pair is left the value is NaN, so an empty mask has none under any convention of
`empty.py`.

The paper's numbers, 11 to 22 for one organ of 50 test cases, are too large for one case's: they seem to be of
all cases as one vector. `accumulated` gives that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .overlap import Mask

NAME = "slice_similarity"


def slice_dice(mask: Mask, axis: int) -> npt.NDArray[np.float64]:
    """Dice of every two neighbouring slices of a mask [I J K] across `axis`, [D - 1]; NaN of empty ones."""
    slices = np.moveaxis(mask, axis, 0)
    voxels_D = np.count_nonzero(slices, axis=(1, 2))
    shared = np.count_nonzero(slices[:-1] & slices[1:], axis=(1, 2))
    total = voxels_D[:-1] + voxels_D[1:]
    dice: npt.NDArray[np.float64] = np.full(total.shape, math.nan)
    np.divide(2 * shared, total, out=dice, where=total > 0)
    return dice


def slice_similarity(reference: Mask, prediction: Mask, axis: int) -> float:
    """The distance of the two vectors of Dice, from 0; NaN where no pair of slices is defined in both.

    Masks cut out with an empty margin give the same: at the margin both Dice are 0, or one is undefined.
    """
    difference = slice_dice(reference, axis) - slice_dice(prediction, axis)
    defined = difference[np.isfinite(difference)]
    return float(np.linalg.norm(defined)) if len(defined) else math.nan


def accumulated(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """By label, the distance over all cases as one vector: the root of the sum of squares.

    rows: those of `evaluate_case` or of a metrics.csv. Cases without a value add nothing; NaN where none has
    one.
    """
    values: dict[str, list[float]] = {}
    for row in rows:
        if row["metric"] == NAME:
            values.setdefault(row["label"], []).append(float(row["value"]))
    finite = {label: [value for value in of if math.isfinite(value)] for label, of in values.items()}
    return {label: math.hypot(*of) if of else math.nan for label, of in finite.items()}
