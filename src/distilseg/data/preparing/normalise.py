"""Intensities to comparable numbers: one function, one kind per modality.

    window_zscore          clip to [low, high], then (x - mean) / std; all four measured over the set (CT)
    zscore                 (x - mean(x)) / std(x) over all voxels of the image
    zscore_nonzero         the same over the non-zero voxels; zeros stay 0 (skull-stripped or masked images)
    zscore_damped          (x - mean(x)) / (std(x) + 0.001): faint noise is not blown up (H-DenseFormer, PET)
    minmax                 min(x)..max(x) to 0..1
    maximum                x / max(x), then negative values to 0 (H-DenseFormer, MR)
    percentile             0.5th..99.5th percentile of the image to 0..1, clipped: for outliers (PET, MR)
    range                  fixed low..high to 0..1, clipped (dual self-distillation's MMWHS: -175..250)
    range_zscore_nonzero   range, then zscore_nonzero
    none                   as it is

An image, or a window, without contrast becomes 0 everywhere. Moments are accumulated in float64: hippocampus
MR reaches 1.7e6, where float32 sums lose digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..planning.normalisation import Normalisation

PERCENTILES = (0.5, 99.5)
DAMPING = 1e-3


def normalise(image: NDArray[Any], normalisation: Normalisation) -> NDArray[np.float32]:
    """`image` [*S] of one modality, of any number type, as float32 [*S]; the input is left as it is."""
    x = np.array(image, dtype=np.float32)
    how = normalisation
    match how.kind:
        case "none":
            return x
        case "zscore":
            return _zscore(x)
        case "zscore_damped":
            return _standardised(x, x.mean(dtype=np.float64), x.std(dtype=np.float64) + DAMPING)
        case "zscore_nonzero":
            return _zscore_nonzero(x)
        case "minmax":
            return _unit_range(x, x.min(), x.max())
        case "maximum":
            return _unit_range(x, 0.0, x.max())
        case "percentile":
            low, high = np.percentile(x, PERCENTILES)
            return _unit_range(x, low, high)
    assert how.low is not None  # the schema asks low and high of the three kinds that remain
    assert how.high is not None
    if how.kind == "window_zscore":
        assert how.mean is not None
        assert how.std is not None
        np.clip(x, how.low, how.high, out=x)
        return _standardised(x, how.mean, how.std)
    x = _unit_range(x, how.low, how.high)
    return _zscore_nonzero(x) if how.kind == "range_zscore_nonzero" else x


def _zscore(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return _standardised(x, x.mean(dtype=np.float64), x.std(dtype=np.float64))


def _zscore_nonzero(x: NDArray[np.float32]) -> NDArray[np.float32]:
    inside = x != 0
    if inside.any():
        x[inside] = _zscore(x[inside])
    return x


def _standardised(x: NDArray[np.float32], mean: float, std: float) -> NDArray[np.float32]:
    if std <= np.finfo(np.float32).eps * abs(mean):  # constant up to rounding
        x.fill(0)
        return x
    x -= np.float32(mean)
    x /= np.float32(std)
    return x


def _unit_range(x: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    if not np.float32(high) > np.float32(low):
        x.fill(0)
        return x
    low_32, high_32 = np.float32(low), np.float32(high)  # rounded first: then no voxel rounds beyond 1
    np.clip(x, low_32, high_32, out=x)
    x -= low_32
    x /= high_32 - low_32
    return x
