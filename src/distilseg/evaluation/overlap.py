"""How much two masks share: Dice, IoU, and the difference of their volumes.

With n_R, n_P voxels in the reference and the prediction and n_RP in both,

    Dice = 2 n_RP / (n_R + n_P)        IoU = n_RP / (n_R + n_P - n_RP)

    difference = (n_P - n_R) voxel volumes        relative difference = (n_P - n_R) / n_R

The differences are signed: above 0 the prediction is too big. What holds where a mask is empty is not
decided here but chosen by name in `empty.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Voxels of one structure."""

    reference: int
    prediction: int
    both: int


def count(reference: Mask, prediction: Mask) -> Counts:
    """The voxels of two masks [*S]."""
    return Counts(
        reference=int(np.count_nonzero(reference)),
        prediction=int(np.count_nonzero(prediction)),
        both=int(np.count_nonzero(reference & prediction)),
    )


def dice(counts: Counts) -> float:
    """Dice in [0, 1]; undefined (ZeroDivisionError) where both masks are empty."""
    return 2 * counts.both / (counts.reference + counts.prediction)


def iou(counts: Counts) -> float:
    """Intersection over union (Jaccard) in [0, 1]; undefined where both masks are empty."""
    return counts.both / (counts.reference + counts.prediction - counts.both)


def volume_difference_ml(counts: Counts, voxel_mm3: float) -> float:
    """Volume of the prediction less that of the reference, in ml (1 ml = 1000 mm³)."""
    return (counts.prediction - counts.reference) * voxel_mm3 / 1000


def volume_difference_relative(counts: Counts) -> float:
    """The same as a fraction of the reference's volume; NaN where the reference is empty."""
    if counts.reference == 0:
        return math.nan
    return (counts.prediction - counts.reference) / counts.reference
