"""Patch merging as MONAI 0.9 had it, for weights and papers of that time.

Swin UNETR halves its grid by stacking the 2x2x2 voxels of a block along the channels. The first released code
stacked them in this order of (i, j, k) offsets, two of them twice and 110 and 011 never:

    000, 100, 010, 001, 101, 010, 001, 111

Today's "merging" takes each voxel once. The parameters are identical, the function is not, so weights of that
time give nonsense in today's network without any error. In 2D both agree.
Source: MONAI 0.9.1, `monai/networks/nets/swin_unetr.py`, `PatchMerging`.
"""

from __future__ import annotations

from typing import Literal

import torch
from monai.networks.nets.swin_unetr import PatchMerging, PatchMergingV2
from torch import Tensor, nn

from ..errors import unknown

Merging = Literal["merging", "mergingv2", "2022"]
OCTANTS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))


class PatchMerging2022(PatchMerging):  # type: ignore[misc]  # MONAI is not typed
    """For `SwinUNETR(downsample=...)`: [B I J K C] -> [B I/2 J/2 K/2 2C]; odd axes are padded with zeros."""

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.ndim != 5:
            merged: Tensor = super().forward(tokens)
            return merged
        merged = self.reduction(self.norm(stack_octants(tokens)))
        return merged


def patch_merging(network: str, name: str) -> type[nn.Module]:
    """The class by its name: MONAI's two of today, and "2022". An unknown name raises UserError."""
    known: dict[str, type[nn.Module]] = {
        "merging": PatchMerging,
        "mergingv2": PatchMergingV2,
        "2022": PatchMerging2022,
    }
    if name not in known:
        raise unknown(f"merging of {network}", name, tuple(known))
    return known[name]


def stack_octants(tokens: Tensor) -> Tensor:
    """[B I J K C] -> [B I/2 J/2 K/2 8C] in the order of `OCTANTS`."""
    i, j, k = tokens.shape[1:4]
    tokens = torch.nn.functional.pad(tokens, (0, 0, 0, k % 2, 0, j % 2, 0, i % 2))
    return torch.cat([tokens[:, a::2, b::2, c::2] for a, b, c in OCTANTS], dim=-1)
