"""From logits on the working grid back to the scan: label values, or probabilities.

The logits are resampled, and only then made probabilities or labels. Outside of the box the background is
certain, no region holds. Labels are made class by class, in blocks, and where interpolation is linear without
looking at classes that cannot win (`inference.label_export`): memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...inference.label_export import export_labels
from ...scratch import heads_of, part
from ..teacher import Activation, Placement
from .plans import Resampling
from .resample import nearest, resampled

Array = NDArray[Any]
Volume = NDArray[np.float32]


def label_map(
    logits: Volume,
    placement: Placement,
    how: Resampling,
    across: int | None,
    activation: Activation,
    paints: Sequence[int],
) -> NDArray[np.unsignedinteger[Any]]:
    """Label values [I J K], 0 outside of the box, of logits [K *W]; head k is painted `paints[k]`."""
    shape = _box_shape(placement)
    kind = np.min_scalar_type(max(paints, default=0))
    if activation == "sigmoid":
        labels = np.zeros(shape, kind)
        for logits_W, value in zip(heads_of(logits), paints, strict=True):
            labels[resampled(logits_W, shape, how, across) > 0] = value  # sigmoid above 1/2
    else:
        labels = np.asarray(paints, kind)[_winners(logits, shape, how, across)]
    whole = np.zeros(placement.original_shape, kind)
    _inside(whole, placement)[...] = labels
    return whole


def probability_map(
    logits: Volume, placement: Placement, how: Resampling, across: int | None, activation: Activation
) -> Volume:
    """Probabilities [K I J K], float32, of logits [K *W]."""
    shape = _box_shape(placement)
    whole = np.zeros((len(logits), *placement.original_shape), np.float32)
    if activation == "softmax":
        whole[0] = 1
    inside = _inside(whole, placement)
    for made_S, logits_W in zip(inside, heads_of(logits), strict=True):
        made_S[...] = resampled(logits_W, shape, how, across)
    for plane in range(shape[0]):  # temporaries of one plane
        logits_KS = torch.from_numpy(np.ascontiguousarray(inside[:, plane]))
        answer = logits_KS.softmax(0) if activation == "softmax" else logits_KS.sigmoid()
        inside[:, plane] = answer.numpy()
    return whole


def _winners(logits: Volume, shape: tuple[int, ...], how: Resampling, across: int | None) -> Array:
    """Index of the largest resampled logit [*shape], the first of equal ones."""
    same = logits.shape[1:] == shape
    linear = how.kind == "linear" or (how.kind == "spline" and how.order == 1)
    if linear and across is None and not same:
        return export_labels(logits, shape).numpy()
    if linear and across is not None and how.order_across == 0 and not same:
        chosen = nearest(logits.shape[1 + across], shape[across])
        inner = tuple(n for axis, n in enumerate(shape) if axis != across)
        slices = {
            index: export_labels(_slice(logits, across, index), inner).numpy()
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


def _box_shape(placement: Placement) -> tuple[int, ...]:
    return tuple(stop - first for first, stop in placement.box)


def _inside(whole: Array, placement: Placement) -> Array:
    """The view of [.. I J K] that lies in the box, along the working axes."""
    more = whole.ndim - len(placement.order)  # classes in front
    turned = whole.transpose(*range(more), *(more + axis for axis in placement.order))
    cut = tuple(slice(*ends) for ends in placement.box)
    flips = tuple(slice(None, None, -1 if step < 0 else 1) for step in placement.step)
    view: Array = turned[(slice(None),) * more + cut][(slice(None),) * more + flips]
    return view
