"""The segmentation loss of Swin-Unet's and MISSFormer's recipes.

    L    = 0.4 CE + 0.6 Dice
    Dice = mean over k of  1 − (2 Σ_i P Y + ε) / (Σ_i P² + Σ_i Y² + ε),    i over all pixels of the batch

P = softmax of the logits, ε = 1e-5, the background a class like any other. Squares in the denominator make
the gradient of a class vanish where P is already right. Float32 (float64 stays), also under autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .known import over_known_pooled
from .segmentation import SMOOTH, cross_entropy, in_full_precision, one_hot

ENTROPY, DICE = 0.4, 0.6


@over_known_pooled
def squared_dice_cross_entropy(logits_BKS: Tensor, label_B1S: Tensor) -> Tensor:
    """L of logits [B K *S] against class indices [B 1 *S], over known voxels; []."""
    with torch.autocast(logits_BKS.device.type, enabled=False):
        log_p_BKS = in_full_precision(logits_BKS).log_softmax(1)
        y_BKS = one_hot(label_B1S, logits_BKS.shape[1], like=log_p_BKS)
        p_KBN, y_KBN = (one.flatten(2).transpose(0, 1) for one in (log_p_BKS.exp(), y_BKS))
        both_K = (p_KBN * y_KBN).sum((1, 2))
        sizes_K = p_KBN.square().sum((1, 2)) + y_KBN.square().sum((1, 2))
        dice = 1 - ((2 * both_K + SMOOTH) / (sizes_K + SMOOTH)).mean()
        return ENTROPY * cross_entropy(log_p_BKS, y_BKS) + DICE * dice
