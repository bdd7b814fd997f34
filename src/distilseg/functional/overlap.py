"""Dice loss as one ratio: of each window, or of a whole batch.

    L = 1 − (2 Σ_i Y_i P_i + ε) / (Σ_i (Y_i + P_i) + ε),    i over all voxels, ε = 1e-5

Thickened 2D networks (section 3) leave open whether i runs over a window or over the batch: `reduce="sample"`
takes the ratio of each sample and their mean, "batch" one ratio. Its networks know one organ; with several
classes the mean over the foreground's. ε makes an absent structure that is not predicted cost nothing.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .known import over_known, over_known_pooled
from .segmentation import SMOOTH, in_full_precision, one_hot

Reduce = Literal["sample", "batch"]


def overlap_loss(logits_BKS: Tensor, label_B1S: Tensor, reduce: Reduce = "sample") -> Tensor:
    """L of softmax logits [B K *S] against class indices [B 1 *S], the background left out; [].

    Over the voxels whose label is known.
    """
    over = over_known_pooled if reduce == "batch" else over_known
    return over(_overlap_loss)(logits_BKS, label_B1S, reduce)


def _overlap_loss(logits_BKS: Tensor, label_B1S: Tensor, reduce: Reduce) -> Tensor:
    with torch.autocast(logits_BKS.device.type, enabled=False):
        p_BKN = in_full_precision(logits_BKS).softmax(1)[:, 1:].flatten(2)
        y_BKN = one_hot(label_B1S, logits_BKS.shape[1], like=logits_BKS)[:, 1:].flatten(2)
        sums = (p_BKN * y_BKN).sum(2), (p_BKN + y_BKN).sum(2)
        both_BK, sizes_BK = (one.sum(0, keepdim=True) if reduce == "batch" else one for one in sums)
        return 1 - ((2 * both_BK + SMOOTH) / (sizes_BK + SMOOTH)).mean()
