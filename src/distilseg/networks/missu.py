"""MISSU: TransBTS, whose skips pass through multi-scale fusion while it is trained. For comparison only.

Wang et al., "MISSU: 3D Medical Image Segmentation via Self-Distilling TransUNet", IEEE TMI 2023, arXiv
2206.00902. Its skeleton is `transbts.py`'s, with other widths; on each of its skips

    fusion      skip + 1x1x1 convolution of the concatenated atrous convolutions of rates 1, 2, 3

The published file has no fusion, and its widths do not fit together: it cannot run. Two readings are
consistent, and thop gives them 4.51 million parameters and 75.7 "GFLOPs" (the defaults) or 18.03 and 299.4
(the builder says how) for two modalities of 144 voxels an axis. The 4.24 and 154.38 of Teach-Former's table
are neither's. The two parts of TransBTS's code that nothing uses are left out.

Fusion follows the paper, which says that it is computed in training alone: a trained decoder then meets plain
skips. `fusion="always"` keeps it, `fusion="never"` leaves it out. `encoder.i` is the skip as the decoder
gets it, so with fusion where that is on. The self-distillation is a method, `distillation/missu.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import unknown
from .axes import convolution_of
from .transbts import TransBTS, checked_transformer, transbts_divisor

FUSION = ("training", "always", "never")
RATES = (1, 2, 3)  # of the atrous convolutions


def missu(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (8, 16, 32, 64),
    hidden: int = 256,
    mlp: int = 512,
    layers: int = 4,
    heads: int = 8,
    dropout: float = 0.1,
    fusion: Literal["training", "always", "never"] = "training",
) -> nn.Module:
    """A transformer at a U-Net's bottleneck, fusion of scales on its skips (Wang et al. 2023).

    The defaults are the lighter consistent reading of the published file; the other has
    `filters=(16, 32, 64, 128), hidden=512, mlp=1024`.
    """
    if fusion not in FUSION:
        raise unknown("fusion", fusion, FUSION)
    transformer = checked_transformer("missu", patch, filters, hidden, mlp, layers, heads, dropout)

    def fused(channels: int, axes: int) -> Fusion:
        return Fusion(channels, axes, fusion)

    return TransBTS(in_channels, classes, len(patch), filters, transformer, fused)


def missu_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return transbts_divisor(patch)


class Fusion(nn.Module):
    """skip + mix([atrous_1 skip, atrous_2 skip, atrous_3 skip]) where fusion is on, else the skip."""

    def __init__(self, channels: int, axes: int, when: str) -> None:
        super().__init__()
        self.when = when
        if when == "never":
            return
        convolution = convolution_of(axes)
        self.atrous = nn.ModuleList(
            convolution(channels, channels, 3, padding=rate, dilation=rate) for rate in RATES
        )
        self.mix = convolution(len(RATES) * channels, channels, 1)

    def forward(self, skip: Tensor) -> Tensor:
        if self.when == "never" or (self.when == "training" and not self.training):
            return skip
        scales: Tensor = self.mix(torch.cat([atrous(skip) for atrous in self.atrous], 1))
        return skip + scales
