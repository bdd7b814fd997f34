"""From logits on the working grid to the scan they are of: label values, or probabilities.

`runtime.nnunet.restore` makes labels of the box that was prepared. Outside of it the background is certain,
no region holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...runtime.nnunet.preparation import Resampling
from ...runtime.nnunet.resample import resampled
from ...runtime.nnunet.restore import label_map as in_box
from ...scratch import heads_of
from ..teacher import Activation, Placement

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
    labels = in_box(logits, _box_shape(placement), how, across, paints, regions=activation == "sigmoid")
    whole = np.zeros(placement.original_shape, labels.dtype)
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
