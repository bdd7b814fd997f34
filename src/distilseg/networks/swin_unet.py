"""Swin-Unet: a U-Net whose every stage is two Swin transformer blocks. 2D only.

Cao et al., "Swin-Unet: Unet-like Pure Transformer for Medical Image Segmentation", ECCV 2022 Workshops, arXiv
2105.05537; a student of unpaired prototype distillation. c channels, levels at stride 4, 8, 16, 32:

    embed       4x4 convolution of stride 4 to c channels, layer norm
    encoder     two blocks of shifted windows per level; between levels 2x2 pixels are merged, channels double
    bottleneck  two blocks at stride 32, layer norm
    decoder     expand to twice the size and half the channels, concatenation (skip last), linear map, blocks
    head        layer norm, expand to four times the size, 1x1 convolution without bias

A level's skip is what enters its two blocks, the embedding or the merged map, and not what leaves them: so in
the authors' code, github.com/HuCaoFighting/Swin-Unet. As everywhere, `encoder.i` is what the skip carries.

The blocks and the merging are MONAI's. The published image is 224x224 pixels: windows of 7 then fit at every
level, and at stride 32 one window is the whole map. An image of another size is resized to `size` and the
logits back; its features stay on the network's own grid. `size=0` builds it for the patch itself: windows
that do not fit are padded. One modality is shown three times; else the first convolution has one channel per
modality. Parameters for one or three modalities and nine classes: 27,168,900.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.nets.swin_unetr import BasicLayer, PatchMergingV2
from torch import Tensor, nn

from ..errors import UserError
from .features import FeaturePoint, feature_modules, u_shaped
from .fixed_size import (
    Expand,
    LastChannels,
    check_fixed_size,
    decoded,
    first_channels,
    fixed_size_divisor,
    prepared,
    resized,
)

HEADS = (3, 6, 12, 24)  # per level
DEPTH, WINDOW = 2, 7


def swin_unet(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    features: int = 96,
    drop_path: float = 0.2,
    size: int = 224,
) -> nn.Module:
    """A U-Net of Swin transformer blocks, resizes to 224x224, 2D only (Cao et al. 2022).

    `features` is the width at stride 4. Whole residual branches are dropped in training, up to `drop_path`
    of them in the deepest block.
    """
    check_fixed_size("swin_unet", patch, size)
    if features < HEADS[0] or features % HEADS[0]:
        raise UserError(f"swin_unet: {features} features", f"give a multiple of {HEADS[0]}")
    return SwinUnet(in_channels, classes, features, drop_path, size)


def swin_unet_divisor(patch: Sequence[int], *, size: int = 224, **others: object) -> tuple[int, ...]:
    return fixed_size_divisor("swin_unet", patch, size)


class SwinUnet(nn.Module):
    """[B M *S] -> logits [B K *S]."""

    def __init__(self, in_channels: int, classes: int, features: int, drop_path: float, size: int) -> None:
        super().__init__()
        self.size = size
        levels = range(len(HEADS))
        widths = [features << level for level in levels]
        # The n-th block of the encoder drops n / (all - 1) of `drop_path`; the decoder, as its level.
        rates = torch.linspace(0, drop_path, DEPTH * len(HEADS), device="cpu").tolist()

        def stage(level: int) -> nn.Module:
            stage_rates = rates[DEPTH * level : DEPTH * (level + 1)]
            window = (WINDOW, WINDOW)
            blocks: nn.Module = BasicLayer(
                widths[level], DEPTH, HEADS[level], window, stage_rates, qkv_bias=True
            )
            return blocks

        self.embed = nn.Conv2d(first_channels(in_channels), features, 4, 4)
        self.embed_norm = LastChannels(nn.LayerNorm(features))
        self.encoder = nn.ModuleList(stage(level) for level in levels)
        self.merge = nn.ModuleList(
            LastChannels(PatchMergingV2(width, spatial_dims=2)) for width in widths[:-1]
        )
        self.bottleneck = LastChannels(nn.LayerNorm(widths[-1]))
        self.expand = nn.ModuleList(Expand(coarse, fine, 2) for fine, coarse in pairwise(widths))
        self.fuse = nn.ModuleList(LastChannels(nn.Linear(2 * width, width)) for width in widths[:-1])
        self.decoder = nn.ModuleList(stage(level) for level in levels[:-1])
        self.norm = LastChannels(nn.LayerNorm(features))
        self.expand_last = Expand(features, features, 4)
        self.head = nn.Conv2d(features, classes, 1, bias=False)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        map_BCs = self.embed_norm(self.embed(prepared(image, self.size)))
        *stages, deepest = self.encoder
        skips = []
        for stage, merge in zip(stages, self.merge, strict=True):
            skips.append(map_BCs)
            map_BCs = merge(stage(map_BCs))
        map_BCs = self.bottleneck(deepest(map_BCs))
        map_BCs = decoded(map_BCs, skips, self.expand, self.fuse, self.decoder)
        logits: Tensor = self.head(self.expand_last(self.norm(map_BCs)))
        return resized(logits, image.shape[2:])


@feature_modules.register(SwinUnet)
def _(network: SwinUnet) -> dict[str, FeaturePoint]:
    merged = {f"encoder.{level}": FeaturePoint(f"merge.{level - 1}") for level in range(1, len(HEADS) - 1)}
    return {**u_shaped(len(network.decoder)), "encoder.0": FeaturePoint("embed_norm"), **merged}


def _initialise(module: nn.Module) -> None:
    """As the authors: truncated normal linear maps without offset."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
