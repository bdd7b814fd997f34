"""Every class or region against the rest: soft Dice and binary cross-entropy between probability maps.

    Dice(a, b) = (2 Σ_s a b + ε) / (Σ_s a + Σ_s b + ε)                       per case and class, ε = 1e-5
    BCE(y, p)  = −(y log p + (1 − y) log(1 − p))                             mean over classes and voxels

Both sides may be soft. p comes from logits, by softmax (then it is clamped to 1e-7 … 1 − 1e-7) or by a
sigmoid for each region (then the logarithm is taken of the logits, exactly). Float32 (float64 stays), also
under autocast. Hu et al., MICCAI 2020, section 2.2.

Axes: B cases, R classes or regions, S space.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .segmentation import in_full_precision, soft_dice

Activation = Literal["softmax", "sigmoid"]
CLAMP = 1e-7


def probabilities(logits_BRS: Tensor, activation: Activation, temperature: float = 1.0) -> Tensor:
    """σ(z / T) of logits [B R *S]: over R by softmax, or each region by itself."""
    with torch.autocast(logits_BRS.device.type, enabled=False):
        tempered_BRS = in_full_precision(logits_BRS) / temperature
        return tempered_BRS.softmax(1) if activation == "softmax" else tempered_BRS.sigmoid()


def hard_labels(logits_BRS: Tensor, activation: Activation) -> Tensor:
    """What a network decides, as zeros and ones [B R *S]: the highest class, or the regions above 1/2."""
    if activation == "sigmoid":
        return in_full_precision((logits_BRS > 0).to(logits_BRS.dtype))
    winner_B1S = logits_BRS.argmax(1, keepdim=True)
    return in_full_precision(torch.zeros_like(logits_BRS).scatter_(1, winner_B1S, 1.0))


def region_masks(label_B1S: Tensor, regions: tuple[tuple[int, ...], ...], *, like: Tensor) -> Tensor:
    """[B 1 *S] class indices to [B R *S] zeros and ones; region r unites the classes `regions[r]`."""
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    masks = [torch.isin(label_B1S, torch.tensor(r, device=label_B1S.device)) for r in regions]
    return torch.cat(masks, 1).to(dtype)


def dice_and_binary_cross_entropy(
    logits_BRS: Tensor, overlap_BRS: Tensor, target_BRS: Tensor, activation: Activation, first: int = 0
) -> Tensor:
    """(1 − Dice(overlap, p)) + BCE(target, p), p of `logits_BRS`; [] the mean over cases.

    KD-Net asks for Dice with soft and cross-entropy with binarised labels, so the two are given apart; with
    the reference they are the same. Channels before `first` are left out after the softmax (1: no
    background). All [B R *S]; `target_BRS` holds zeros and ones.
    """
    with torch.autocast(logits_BRS.device.type, enabled=False):
        p_BRS = probabilities(logits_BRS, activation)[:, first:]
        dice = soft_dice(p_BRS, overlap_BRS[:, first:])
        target = target_BRS[:, first:]
        if activation == "sigmoid":
            logits = in_full_precision(logits_BRS)[:, first:]
            return dice + F.binary_cross_entropy_with_logits(logits, target)
        p_BRS = p_BRS.clamp(CLAMP, 1 - CLAMP)
        return dice - torch.where(target == 1, p_BRS, 1 - p_BRS).log().mean()
