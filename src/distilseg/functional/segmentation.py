"""Soft Dice and cross-entropy between logits and a label: what every segmentation objective is made of.

    Dice(P, Y) = mean over b, k of  1 − (2 Σ_s P Y + ε) / (Σ_s P + Σ_s Y + ε),     ε = 1e-5
    CE(z, Y)   = mean over b, s of  −Σ_k Y log P
    DCE(z, Y)  = Dice + CE,                                                        P = softmax(z) over K

The background is a class like any other. The sum is MONAI's `DiceCELoss(to_onehot_y=True, softmax=True)`
with its defaults (0.9 to 1.6). Everything is computed in float32 (float64 stays), also under autocast.

Axes: B cases, K classes, S space (any number of axes).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..types import UNKNOWN
from .known import over_known
from .softmax import LN2, normalised_, shifted

SMOOTH = 1e-5


def in_full_precision(tensor: Tensor) -> Tensor:
    """`tensor` in float32, or as it is where it is float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def one_hot(label_B1S: Tensor, classes: int, *, like: Tensor) -> Tensor:
    """[B 1 *S] class indices to [B K *S] zeros and ones, in the floating type the losses of `like` use.

    A voxel whose label is unknown has zeros only.
    Raises ValueError if `label_B1S` has no channel axis of one, or holds an index outside 0 … K−1.
    """
    if label_B1S.ndim < 3 or label_B1S.shape[1] != 1:
        raise ValueError(f"a label is [B 1 *S], this one is {tuple(label_B1S.shape)}")
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    hot_BKS = torch.zeros(
        (label_B1S.shape[0], classes, *label_B1S.shape[2:]), dtype=dtype, device=label_B1S.device
    )
    known_B1S = label_B1S != UNKNOWN
    if not bool(known_B1S.all()):
        return hot_BKS.scatter_(1, torch.where(known_B1S, label_B1S, 0).long(), known_B1S.to(dtype))
    try:
        return hot_BKS.scatter_(1, label_B1S.long(), 1.0)
    except RuntimeError:
        low, high = int(label_B1S.min()), int(label_B1S.max())
        raise ValueError(
            f"the label holds class indices {low} to {high}; {classes} classes allow 0 to {classes - 1}"
        ) from None


def soft_dice(probabilities_BKS: Tensor, target_BKS: Tensor) -> Tensor:
    """1 − Dice, averaged over cases and classes; [] in 0 … 1. Both arguments [B K *S]."""
    return _dice(*_overlap_and_sizes(probabilities_BKS.flatten(2), target_BKS.flatten(2)))


def cross_entropy(log_probabilities_BKS: Tensor, target_BKS: Tensor) -> Tensor:
    """−Σ_k Y log P, averaged over cases and voxels; []. Both arguments [B K *S]."""
    voxels = target_BKS.numel() // target_BKS.shape[1]
    return -(log_probabilities_BKS * target_BKS).sum() / voxels


def dice_cross_entropy(logits_BKS: Tensor, label_B1S: Tensor, *, one_hot_BKS: Tensor | None = None) -> Tensor:
    """Soft Dice plus cross-entropy of `logits_BKS` [B K *S] against `label_B1S` [B 1 *S] class indices; [].

    Over the voxels whose label is known. `one_hot_BKS` is the label already made by `one_hot`: give it where
    several logits meet one label and all of it is known.
    """
    if one_hot_BKS is not None:
        return soft_dice_cross_entropy(logits_BKS, one_hot_BKS)
    return _of_label(logits_BKS, label_B1S)


def soft_dice_cross_entropy(logits_BKS: Tensor, target_BKS: Tensor, *, smooth: float = SMOOTH) -> Tensor:
    """Soft Dice (ε is `smooth`) plus cross-entropy of logits [B K *S] against distributions [B K *S]; []."""
    with torch.autocast(logits_BKS.device.type, enabled=False):
        pair = in_full_precision(logits_BKS).flatten(2), target_BKS.flatten(2)
        loss: Tensor = _DiceCrossEntropy.apply(*pair, smooth)  # type: ignore[no-untyped-call]
    return loss


@over_known
def _of_label(logits_BKS: Tensor, label_B1S: Tensor) -> Tensor:
    return soft_dice_cross_entropy(logits_BKS, one_hot(label_B1S, logits_BKS.shape[1], like=logits_BKS))


def _overlap_and_sizes(
    probabilities_BKs: Tensor, target_BKs: Tensor, smooth: float = SMOOTH, room_BKs: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """2 Σ_s P Y + ε and Σ_s P + Σ_s Y + ε, each [B K]; `room_BKs` is overwritten, to save an allocation."""
    overlap_BK = 2 * torch.mul(probabilities_BKs, target_BKs, out=room_BKs).sum(-1) + smooth
    return overlap_BK, probabilities_BKs.sum(-1) + target_BKs.sum(-1) + smooth


def _dice(overlap_BK: Tensor, sizes_BK: Tensor) -> Tensor:
    return (1 - overlap_BK / sizes_BK).mean()


class _DiceCrossEntropy(torch.autograd.Function):
    """Dice + CE of z [B K s] and Y [B K s], its gradient written out: fewer passes over every voxel."""

    @staticmethod
    def forward(ctx: Any, logits_BKs: Tensor, target_BKs: Tensor, smooth: float) -> Tensor:
        B, _, s = target_BKs.shape
        shifted_BKs = shifted(logits_BKs)
        picked_BKs = shifted_BKs * target_BKs
        picked = picked_BKs.sum()
        probabilities_BKs, log_total_B1s = normalised_(shifted_BKs)
        # −Σ_s Σ_k Y log₂ P = Σ_s log₂ total − Σ_s Σ_k Y z'
        entropy = (log_total_B1s.sum() - picked) * (LN2 / (B * s))
        overlap_BK, sizes_BK = _overlap_and_sizes(probabilities_BKs, target_BKs, smooth, room_BKs=picked_BKs)
        ctx.save_for_backward(probabilities_BKs, target_BKs, overlap_BK, sizes_BK)
        return _dice(overlap_BK, sizes_BK) + entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        probabilities_BKs, target_BKs, overlap_BK, sizes_BK = ctx.saved_tensors
        B, K, s = target_BKs.shape
        # D = ∂Dice/∂P = (overlap / sizes² − 2 Y / sizes) / BK
        constant_BK1 = (overlap_BK / sizes_BK.square() * (gradient / (B * K)))[..., None]
        slope_BK1 = (-2 / sizes_BK * (gradient / (B * K)))[..., None]
        result_BKs = torch.addcmul(constant_BK1, target_BKs, slope_BK1)
        # ∂Dice/∂z = P D − P Σ_k P D,   ∂CE/∂z = (P − Y) / Bs
        result_BKs.mul_(probabilities_BKs)
        each = gradient / (B * s)
        result_BKs.addcmul_(probabilities_BKs, each - result_BKs.sum(1, keepdim=True))
        return result_BKs.addcmul_(target_BKs, -each), None, None
