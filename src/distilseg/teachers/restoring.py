"""A teacher's answer on the grid of its scans: probabilities, label values.

A stored voxel x of a scan's axis lies at i = (x - start) / step of the working axis (`Placement`); between
working voxels values are interpolated linearly, beyond the outer ones they are those of the border. Outside
the box is background: certain for classes, no region at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..runtime.activation import Activation, activated
from .teacher import Answer, Head, Labels, Placement

SURE = 1e-7  # what is certain has this probability of being otherwise: logits stay finite


def logits_of(probabilities: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Logits [K *S] whose probabilities are these, but for the certain, which are off by `SURE`:
    log p for classes, log p / (1 - p) for regions."""
    p = probabilities.astype(np.float64).clip(SURE, 1 - SURE)
    logits = np.log(p) if activation == "softmax" else np.log(p) - np.log1p(-p)
    return np.asarray(logits, np.float32)


def on_scan(values: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Values [*W] of one head on the working grid -> [I J K], linearly interpolated; 0 outside the box."""
    inside: NDArray[np.float32] = values
    for axis, (start, step, voxels, (first, stop)) in enumerate(
        zip(placement.start, placement.step, placement.shape, placement.box, strict=True)
    ):
        i = ((np.arange(first, stop) - start) / step).clip(0, voxels - 1)
        lower = np.minimum(i.astype(np.int64), max(voxels - 2, 0))
        across = [1] * inside.ndim
        across[axis] = -1
        weight = (i - lower).astype(np.float32).reshape(across)
        below = inside.take(lower, axis)
        if not weight.any():
            inside = below
            continue
        above = inside.take(np.minimum(lower + 1, voxels - 1), axis)
        inside = below + weight * (above - below)
    whole = np.zeros(placement.original_shape, np.float32)
    box = tuple(slice(first, stop) for first, stop in placement.box)
    whole.transpose(placement.order)[box] = inside
    return whole


def probabilities_of(answer: Answer) -> NDArray[np.float32]:
    """Probabilities [K I J K]: of interpolated logits, as ours are."""
    whole = np.stack([on_scan(logits, answer.placement) for logits in answer.logits])
    p = activated(whole, answer.activation)
    outside = np.ones(answer.placement.original_shape, bool)
    box = tuple(slice(first, stop) for first, stop in answer.placement.box)
    outside.transpose(answer.placement.order)[box] = False
    if outside.any():
        p[:, outside] = 0
        if answer.activation == "softmax":
            p[0, outside] = 1
    return p


def label_values(p: NDArray[np.float32], heads: Sequence[Head], paints: Sequence[int] = ()) -> Labels:
    """Label values [I J K] of probabilities [K I J K], in the smallest unsigned type.

    Of classes the likeliest, of equals the first. Of regions each where p > 1/2, one after the other, by its
    value in `paints`.
    """
    if not paints:
        values = np.array([head.values[0] for head in heads])
        labels: Labels = values.astype(np.min_scalar_type(values.max()))[p.argmax(0)]
        return labels
    labels = np.zeros(p.shape[1:], np.min_scalar_type(max(paints)))
    for region, value in zip(p, paints, strict=True):
        labels[region > 0.5] = value
    return labels
