"""Focal loss plus Dice of the foreground: what H-DenseFormer, and by its text Teach-Former, trains with.

    focal = −α (1 − p)^γ log p  of the true class, α = 1, γ = 2                (Lin et al., 2017)
    Dice  = mean over b and foreground k of  1 − (2 Σ_s P Y + ε) / (Σ_s P + Σ_s Y + ε),     ε = 1e-5

H-DenseFormer's code averages the focal part over all B·K·S elements of the one-hot label, that is 1/K of its
mean over voxels: `norm="element"`; `norm="voxel"` is the usual mean. Float32 (float64 stays), also under
autocast.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .known import over_known
from .segmentation import in_full_precision, one_hot, soft_dice

FocalNorm = Literal["element", "voxel"]


@over_known
def focal_loss(
    logits_BKS: Tensor,
    label_B1S: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 1.0,
    norm: FocalNorm = "element",
) -> Tensor:
    """Focal loss of softmax logits [B K *S] against class indices [B 1 *S]; []."""
    with torch.autocast(logits_BKS.device.type, enabled=False):
        log_p_BKS = in_full_precision(logits_BKS).log_softmax(1)
        log_true_B1S = log_p_BKS.gather(1, label_B1S.long())
        mean = -(alpha * (1 - log_true_B1S.exp()).clamp(min=0) ** gamma * log_true_B1S).mean()
        return mean / logits_BKS.shape[1] if norm == "element" else mean


@over_known
def foreground_dice(logits_BKS: Tensor, label_B1S: Tensor) -> Tensor:
    """1 − Dice of softmax logits [B K *S], without the background; [] the mean over cases and classes."""
    with torch.autocast(logits_BKS.device.type, enabled=False):
        p_BKS = in_full_precision(logits_BKS).softmax(1)
        y_BKS = one_hot(label_B1S, logits_BKS.shape[1], like=logits_BKS)
        return soft_dice(p_BKS[:, 1:], y_BKS[:, 1:])


def focal_dice(
    logits_BKS: Tensor,
    label_B1S: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 1.0,
    norm: FocalNorm = "element",
) -> Tensor:
    """Their sum; []."""
    focal = focal_loss(logits_BKS, label_B1S, gamma=gamma, alpha=alpha, norm=norm)
    return focal + foreground_dice(logits_BKS, label_B1S)
