"""Modalities that were not acquired: how an image says so, and how training pretends so.

**A modality that is missing is a channel that holds NaN.** Any NaN in a case's channel makes all of it
missing, so that padding, cropping and flipping cannot lose the mark. A patch of zeros is a patch of zeros.

Axes: B cases, M modalities, S space.
"""

from __future__ import annotations

import torch
from torch import Tensor


def present_modalities(image_BMS: Tensor) -> Tensor:
    """Which modalities of each case were acquired: [B M] bool."""
    return ~image_BMS.flatten(2).isnan().any(-1)


def random_subset(present_BM: Tensor) -> Tensor:
    """Of what is there, a random part of each case that is not empty: [B M] bool.

    First how many are kept, then which, each uniformly (as in the code of Dorent et al., MICCAI 2019). Drawn
    on the CPU by torch's global generator: the same on every device. A case with nothing keeps nothing.
    """
    B, M = present_BM.shape
    draw_B1, draw_BM = torch.rand(B, 1, device="cpu"), torch.rand(B, M, device="cpu")
    draw_B1, draw_BM = draw_B1.to(present_BM.device), draw_BM.to(present_BM.device)
    kept_B1 = 1 + (draw_B1 * present_BM.sum(1, keepdim=True)).floor()
    # A case's ranks: 0 for the modality drawn first; those that are missing come last.
    rank_BM = torch.where(present_BM, draw_BM, 2.0).argsort(1).argsort(1)
    return present_BM & (rank_BM < kept_B1)
