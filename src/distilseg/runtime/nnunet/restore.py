"""From logits on the working grid to label values in the box of the scan that was prepared.

The logits are resampled, and only then made labels. Labels are made class by class, in blocks, and where
interpolation is linear without looking at classes that cannot win (`runtime.label_export`): memory does not
grow with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...scratch import heads_of, part
from ..label_export import export_labels
from .preparation import Resampling
from .resample import nearest, resampled

Array = NDArray[Any]
Volume = NDArray[np.float32]


def label_map(
    logits: Volume,
    shape: tuple[int, ...],
    how: Resampling,
    across: int | None,
    paints: Sequence[int],
    *,
    regions: bool = False,
    threads: int = 0,
) -> NDArray[np.unsignedinteger[Any]]:
    """Label values [*shape] of logits [K *W]; where k holds, the value is `paints[k]`.

    `across`: the axis that is resampled by itself. Of `regions` those above 0 are painted one over another.
    """
    kind = np.min_scalar_type(max(paints, default=0))
    if regions:
        labels = np.zeros(shape, kind)
        for logits_W, value in zip(heads_of(logits), paints, strict=True):
            labels[resampled(logits_W, shape, how, across) > 0] = value  # sigmoid above 1/2
        return labels
    winners = _winners(logits, shape, how, across, threads)
    if np.array_equal(paints, np.arange(len(paints))) and winners.dtype == kind:
        return winners
    values: NDArray[np.unsignedinteger[Any]] = np.asarray(paints, kind)
    named: NDArray[np.unsignedinteger[Any]] = values[winners]
    return named


def _winners(
    logits: Volume, shape: tuple[int, ...], how: Resampling, across: int | None, threads: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Index of the largest resampled logit [*shape], the first of equal ones."""
    same = logits.shape[1:] == shape
    linear = how.kind == "linear" or (how.kind == "spline" and how.order == 1)
    if linear and across is None and not same:
        return export_labels(logits, shape, threads=threads)
    if linear and across is not None and how.order_across == 0 and not same:
        chosen = nearest(logits.shape[1 + across], shape[across])
        inner = tuple(n for axis, n in enumerate(shape) if axis != across)
        slices = {
            index: export_labels(_slice(logits, across, index), inner, threads=threads)
            for index in np.unique(chosen).tolist()
        }
        return np.stack([slices[index] for index in chosen.tolist()], across)
    best = np.full(shape, -np.inf, np.float32)
    winners = np.zeros(shape, np.uint16)
    for k, logits_W in enumerate(heads_of(logits)):
        value = resampled(logits_W, shape, how, across)
        winners[value > best] = k
        np.maximum(best, value, out=best)
    return winners


def _slice(logits: Volume, across: int, index: int) -> Volume:
    """Slice `index` across an axis of space, of every head."""
    box = tuple(slice(index, index + 1) if axis == across else slice(None) for axis in range(3))
    return part(logits, box).squeeze(1 + across)
