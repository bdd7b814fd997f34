"""Focal loss plus Dice of the foreground: what H-DenseFormer, and by its text Teach-Former, trains with.

    focal = −α (1 − p)^γ log p  of the true class, α = 1, γ = 2                (Lin et al., 2017)
    Dice  = `functional.overlap`'s ratio of each case and foreground class, averaged

Two choices, of which the first is H-DenseFormer's code. The second reads Teach-Former's text, which has one
map of the foreground in place of one per class, as it stands:

- `dice="case"` takes a ratio of each case; "global" one of all voxels i of the batch,
  1 − (2 Σ_i P Y + ε) / (Σ_i P + Σ_i Y + ε).
- `classes="all"` counts background voxels in the focal part; "foreground" only those of a structure,
  −α Σ_i Y (1 − P)^γ log P.

The focal part is averaged over voxels. H-DenseFormer's code averages over all elements of the one-hot label,
of which a voxel has one per class that counts: `norm="element"`; `norm="voxel"` is the usual mean. Float32
(float64 stays), also under autocast.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .known import over_known
from .overlap import Reduce, overlap_loss
from .segmentation import in_full_precision

FocalNorm = Literal["element", "voxel"]
FocalClasses = Literal["all", "foreground"]
DiceOver = Literal["case", "global"]
_REDUCE: dict[DiceOver, Reduce] = {"case": "sample", "global": "batch"}


@over_known
def focal_loss(
    logits_BKS: Tensor,
    label_B1S: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 1.0,
    norm: FocalNorm = "element",
    classes: FocalClasses = "all",
) -> Tensor:
    """Focal loss of softmax logits [B K *S] against class indices [B 1 *S]; []."""
    with torch.autocast(logits_BKS.device.type, enabled=False):
        log_p_BKS = in_full_precision(logits_BKS).log_softmax(1)
        log_true_B1S = log_p_BKS.gather(1, label_B1S.long())
        loss_B1S = -(alpha * (1 - log_true_B1S.exp()).clamp(min=0) ** gamma * log_true_B1S)
        counted = logits_BKS.shape[1]
        if classes == "foreground":
            loss_B1S, counted = loss_B1S * (label_B1S != 0), counted - 1
        return loss_B1S.mean() / counted if norm == "element" else loss_B1S.mean()


def focal_dice(
    logits_BKS: Tensor,
    label_B1S: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float = 1.0,
    norm: FocalNorm = "element",
    classes: FocalClasses = "all",
    dice: DiceOver = "case",
) -> Tensor:
    """Their sum; []."""
    focal = focal_loss(logits_BKS, label_B1S, gamma=gamma, alpha=alpha, norm=norm, classes=classes)
    return focal + overlap_loss(logits_BKS, label_B1S, _REDUCE[dice])
