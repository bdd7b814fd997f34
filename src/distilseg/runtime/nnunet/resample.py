"""How nnU-Net brings an array to another number of voxels over the same extent.

Voxel i of n new ones is centred at (i + 1/2) old / new - 1/2, borders are repeated.

    spline      of `order` along all axes at once, in float64, clipped to the range of the input
    linear      the same of order 1 in float32, as PyTorch interpolates
    none        nothing changes

Where one axis is far coarser than the others, of the array or of its goal, slices across it are resampled one
by one, and along it the nearest slice is taken (or a spline of `order_across`). Labels are resampled as
indicators, one label at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.preparing.resample import resample_linear
from ...data.preparing.splines import spline_resized
from ...errors import UserError
from .preparation import Resampling

ROUNDING = 1e-9  # of shares: closer ones are equal

Array = NDArray[Any]
Shape = tuple[int, ...]


def coarse_axis(how: Resampling, spacing: Sequence[float], new_spacing: Sequence[float]) -> int | None:
    """The axis that is treated separately, or None.

    The one of the largest spacing, before or else after, if that is more than `ratio` times the smallest;
    none where several axes are as coarse.
    """
    if how.separate is not None:
        chosen = spacing if how.separate else None
    else:
        chosen = next((s for s in (spacing, new_spacing) if max(s) / min(s) > how.ratio), None)
    if chosen is None:
        return None
    coarsest = [axis for axis, mm in enumerate(chosen) if max(chosen) / mm == 1]
    return coarsest[0] if len(coarsest) == 1 else None


def resampled(array: Array, shape: Shape, how: Resampling, across: int | None) -> Array:
    """Array [*s] of floats -> [*shape] in the same type; `across` is the axis treated separately."""
    if array.shape == shape:
        return array
    if how.kind == "none":
        raise UserError(
            f"these plans resample scans, but not what comes back: {list(array.shape)} voxels should become"
            f" {list(shape)}",
            "give scans of the plans' spacing",
        )
    if across is None:
        return _interpolated(array, shape, how)
    if how.order_across == 0:  # slices that nobody takes need no work
        chosen = nearest(array.shape[across], shape[across])
        used, places = np.unique(chosen, return_inverse=True)
        return _slices(array.take(used, across), shape, how, across).take(places, across)
    within = _slices(array, shape, how, across)
    return _spline(within, shape, how.order_across)


def resampled_labels(labels: Array, shape: Shape, how: Resampling, across: int | None) -> Array:
    """Label values [*s] -> [*shape]: the label with the largest share, of equal ones the nearest."""
    if labels.shape == shape:
        return labels
    if across is not None and how.order_across > 0:
        within = tuple(labels.shape[a] if a == across else n for a, n in enumerate(shape))
        return resampled_labels(
            resampled_labels(labels, within, how, None), shape, replace(how, order=how.order_across), None
        )
    result, tied = np.zeros(shape, labels.dtype), np.zeros(shape, bool)
    best = np.full(shape, -1.0)
    for value in np.unique(labels):
        share = resampled((labels == value).astype(np.float64), shape, how, across)
        won = share > best + ROUNDING
        tied = (tied & ~won) | (np.abs(share - best) <= ROUNDING)
        result[won] = value
        np.maximum(best, share, out=best)
    if how.kind == "spline" and tied.any():
        places = (nearest(old, new) for old, new in zip(labels.shape, shape, strict=True))
        result[tied] = labels[np.ix_(*places)][tied]
    return result


def nearest(old: int, new: int) -> NDArray[np.int64]:
    """For each of `new` voxels the nearest of `old` ones, the upper of two as near."""
    x = (np.arange(new) + 0.5) * (old / new) - 0.5
    index: NDArray[np.int64] = np.floor(x + 0.5).astype(np.int64)
    return index.clip(0, old - 1)


def _slices(array: Array, shape: Shape, how: Resampling, across: int) -> Array:
    """Every slice across an axis resampled by itself, their number kept."""
    kept = tuple(
        old if axis == across else new for axis, (old, new) in enumerate(zip(array.shape, shape, strict=True))
    )
    return _interpolated(array, kept, how, across)


def _interpolated(array: Array, shape: Shape, how: Resampling, across: int | None = None) -> Array:
    """The same for a volume; what a spline is clipped to is that of the slice, where there is an `across`."""
    if array.shape == shape:
        return array
    if how.kind == "linear":
        return resample_linear(array, shape).astype(array.dtype, copy=False)
    return _spline(array, shape, how.order, across)


def _spline(array: Array, shape: Shape, order: int, across: int | None = None) -> Array:
    made = spline_resized(array, shape, order)
    if order > 1:
        axes = tuple(axis for axis in range(array.ndim) if axis != across)
        np.clip(made, array.min(axes, keepdims=True), array.max(axes, keepdims=True), out=made)
    return made
