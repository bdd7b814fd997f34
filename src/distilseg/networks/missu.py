"""MISSU: TransBTS, whose skips pass through multi-scale fusion while it is trained. For comparison only.

Wang et al., "MISSU: 3D Medical Image Segmentation via Self-Distilling TransUNet", IEEE TMI 2023, arXiv
2206.00902; its skeleton is Wang et al., "TransBTS", MICCAI 2021, arXiv 2103.04430. F0 ... F3 are the filters:

    encoder     convolution, dropout of maps 0.2, then 1, 2, 2, 4 blocks of F0 ... F3 channels, with
                convolutions of stride 2 between; block: x + (group norm, ReLU, convolution) twice
    bottleneck  batch norm, ReLU, convolution to `hidden`; voxels become tokens, a learned position each;
                transformer layers; two pairs of (convolution, batch norm, ReLU) back to F3 channels
    fusion      skip + 1x1x1 convolution of the concatenated atrous convolutions of rates 1, 2, 3
    decoder     1x1x1 convolution, transposed convolution, concatenation of the skip, 1x1x1 convolution, then
                x + (convolution, batch norm, ReLU) twice
    head        1x1x1 convolution

The published file has no fusion, and its widths do not fit together: it cannot run. Two readings are
consistent, and thop gives them 4.51 million parameters and 75.7 "GFLOPs" (the defaults) or 18.03 and 299.4
(the builder says how) for two modalities of 144 voxels an axis. The 4.24 and 154.38 of Teach-Former's table
are neither's. Two parts of TransBTS's code are left out: a linear layer that is never run (262,656
parameters) and a last layer norm whose result is not used (1,024).

Fusion follows the paper, which says that it is computed in training alone: a trained decoder then meets plain
skips. `fusion="always"` keeps it, `fusion="never"` leaves TransBTS. `encoder.i` is the skip as the decoder
gets it, so with fusion where that is on. The self-distillation is a method, `distillation/missu.py`. The
dropout after the first convolution stays on at inference in TransBTS's code; here it does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from monai.networks.blocks.mlp import MLPBlock
from torch import Tensor, nn

from ..errors import UserError, unknown
from .axes import batch_norm_of, convolution_of, transposed_convolution_of
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import check_patch

BLOCKS = (1, 2, 2, 4)  # of the encoder, per level
FUSION = ("training", "always", "never")
RATES = (1, 2, 3)  # of the atrous convolutions
SHRINKS_BY = 2 ** (len(BLOCKS) - 1)
GROUPS = 8  # of the group norm, or fewer where they do not divide the channels


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
    `filters=(16, 32, 64, 128), hidden=512, mlp=1024`. TransBTS is that with `mlp=4096, fusion="never"`.
    """
    if fusion not in FUSION:
        raise unknown("fusion", fusion, FUSION)
    if len(filters) != len(BLOCKS):
        raise UserError(f"missu: {len(filters)} filter counts", f"give {len(BLOCKS)}, one per level")
    if min(hidden, mlp, layers, heads) < 1 or hidden % heads:
        raise UserError(
            f"missu: {layers} layers, {heads} heads, hidden {hidden} and mlp {mlp}",
            "give at least 1 each, and heads that divide hidden",
        )
    check_patch("missu", patch, missu_divisor(patch))
    transformer = Transformer(patch, hidden, mlp, layers, heads, dropout)
    return MISSU(in_channels, classes, len(patch), filters, transformer, fusion)


def missu_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return (SHRINKS_BY,) * len(patch)


class MISSU(nn.Module):
    """[B M *S] -> logits [B K *S]; S is fixed to the transformer's, because its positions are."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        axes: int,
        filters: Sequence[int],
        transformer: Transformer,
        fusion: str,
    ) -> None:
        super().__init__()
        convolution, drop = convolution_of(axes), nn.Dropout3d if axes == 3 else nn.Dropout2d
        first = nn.Sequential(convolution(in_channels, filters[0], 3, padding=1), drop(0.2))
        self.down = nn.ModuleList(
            [first, *(convolution(fine, coarse, 3, 2, 1) for fine, coarse in pairwise(filters))]
        )
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Residual(_before(width, axes)) for _ in range(blocks)))
            for width, blocks in zip(filters, BLOCKS, strict=True)
        )
        self.fusion = nn.ModuleList(Fusion(width, axes, fusion) for width in filters[:-1])
        coarsest, hidden = filters[-1], transformer.hidden
        self.embed = nn.Sequential(
            batch_norm_of(axes)(coarsest), nn.ReLU(), convolution(coarsest, hidden, 3, padding=1)
        )
        self.transformer = transformer
        self.project = nn.Sequential(
            _after(hidden, coarsest, axes), Residual(_after(coarsest, coarsest, axes))
        )
        self.up = nn.ModuleList(Up(fine, coarse, axes) for fine, coarse in pairwise(filters))
        self.head = convolution(filters[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        map_BCs, skips = image, []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            map_BCs = blocks(down(map_BCs))
            skips.append(map_BCs)
        map_BCs = self.project(self.transformer(self.embed(skips.pop())))
        skips = [fusion(skip) for fusion, skip in zip(self.fusion, skips, strict=True)]
        for level in reversed(range(len(skips))):
            map_BCs = self.up[level](map_BCs, skips[level])
        logits: Tensor = self.head(map_BCs)
        return logits


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


class Transformer(nn.Module):
    """[B C *s] -> [B C *s]: each voxel a token with a learned position, then pre-norm layers."""

    def __init__(
        self, patch: Sequence[int], hidden: int, mlp: int, layers: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden = hidden
        tokens = math.prod(size // SHRINKS_BY for size in patch)
        self.position = nn.Parameter(torch.zeros(1, tokens, hidden))
        self.drop = nn.Dropout(dropout)
        parts = (
            part
            for _ in range(layers)
            for part in (
                Attention(hidden, heads, dropout),
                MLPBlock(hidden, mlp, dropout),
            )
        )
        self.layers = nn.Sequential(*(Residual(nn.Sequential(nn.LayerNorm(hidden), part)) for part in parts))

    def forward(self, map_BCs: Tensor) -> Tensor:
        tokens_BNC = map_BCs.flatten(2).transpose(1, 2)
        tokens_BNC = self.layers(self.drop(tokens_BNC + self.position))
        mixed: Tensor = tokens_BNC.transpose(1, 2).reshape(map_BCs.shape)
        return mixed


class Attention(nn.Module):
    """Every token looks at all others; [B N C] -> [B N C]. MONAI's fused one has dropout at inference too."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(hidden, 3 * hidden, bias=False)
        self.project, self.drop = nn.Linear(hidden, hidden), nn.Dropout(dropout)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        triple = self.query_key_value(tokens_BNC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = triple
        seen = nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0
        )
        projected: Tensor = self.drop(self.project(seen.transpose(1, 2).flatten(2)))
        return projected


class Up(nn.Module):
    """([B coarse *s], skip [B fine *2s]) -> [B fine *2s]."""

    def __init__(self, fine: int, coarse: int, axes: int) -> None:
        super().__init__()
        convolution, transposed = convolution_of(axes), transposed_convolution_of(axes)
        self.grow = nn.Sequential(convolution(coarse, fine, 1), transposed(fine, fine, 2, 2))
        self.merge = nn.Sequential(convolution(2 * fine, fine, 1), Residual(_after(fine, fine, axes)))

    def forward(self, map_BCs: Tensor, skip: Tensor) -> Tensor:
        merged: Tensor = self.merge(torch.cat([skip, self.grow(map_BCs)], 1))
        return merged


class Residual(nn.Module):
    """x + change(x)."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.change(x)
        return changed


@feature_modules.register(MISSU)
def _(network: MISSU) -> dict[str, FeaturePoint]:
    return u_shaped(len(network.up), encoder="fusion", bottleneck="transformer", decoder="up")


def _before(channels: int, axes: int) -> nn.Sequential:
    """(Group norm, ReLU, convolution) twice."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [
            nn.GroupNorm(math.gcd(GROUPS, channels), channels),
            nn.ReLU(),
            convolution_of(axes)(channels, channels, 3, padding=1),
        ]
    return nn.Sequential(*layers)


def _after(before: int, after: int, axes: int) -> nn.Sequential:
    """(Convolution, batch norm, ReLU) twice."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [convolution_of(axes)(channels, after, 3, padding=1), batch_norm_of(axes)(after), nn.ReLU()]
    return nn.Sequential(*layers)
