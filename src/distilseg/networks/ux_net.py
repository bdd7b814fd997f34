"""3D UX-Net, and the same in 2D: a hierarchical transformer's stages built from large depthwise convolutions.

Lee et al., "3D UX-Net: A Large Kernel Volumetric ConvNet Modernizing Hierarchical Transformer for Medical
Image Segmentation", ICLR 2023, arXiv 2209.15076. The third of Teach-Former's students.

    stem     7x7x7 convolution of stride 2, layer norm over the channels
    block    x + gamma * project(GELU(expand(norm(depthwise 7x7x7 x)))), each channel to four and back
    stage    two blocks; before each but the first a layer norm and a 2x2x2 convolution of stride 2
    encoder  a residual block on the image, and one on the normalised output of each stage; the last of them
             (features to `hidden` channels) is the bottleneck
    decoder  transposed convolution, concatenation of the skip, residual block; at the finest level one more
    head     1x1x1 convolution

The authors' files hold two forms of `expand` and `project`, with one group per channel and with one for all;
the former has the paper's 53.0 million parameters and is the one here. Their head expects 48 channels
whatever the features are; here it expects those of the finest level.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.unetr_block import UnetrUpBlock
from torch import Tensor, nn

from ..errors import UserError
from .axes import convolution_of
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import check_patch


def ux_net(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    features: Sequence[int] = (6, 12, 24, 48),
    hidden: int = 384,
    depths: Sequence[int] = (2, 2, 2, 2),
) -> nn.Module:
    """Large depthwise convolutions as the encoder of a U-Net (Lee et al. 2023).

    The defaults, 2D or 3D, are Teach-Former's 3D student; its 2D student has `features=(24, 48, 96, 192)`.
    The network's own paper has `features=(48, 96, 192, 384), hidden=768`.
    """
    if len(features) != len(depths) or len(features) < 2:
        raise UserError(
            f"ux_net: {len(features)} feature counts and {len(depths)} depths",
            "give one of each per stage, and at least two",
        )
    check_patch("ux_net", patch, ux_net_divisor(patch, features=features))
    return UXNet(in_channels, classes, len(patch), tuple(features), hidden, tuple(depths))


def ux_net_divisor(
    patch: Sequence[int], *, features: Sequence[int] = (6, 12, 24, 48), **others: object
) -> tuple[int, ...]:
    return (2 ** len(features),) * len(patch)


class UXNet(nn.Module):
    """[B M *S] -> logits [B K *S] in `axes` dimensions; `features` and `depths` per stage, finest first."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        axes: int,
        features: Sequence[int],
        hidden: int,
        depths: Sequence[int],
    ) -> None:
        super().__init__()
        convolution = convolution_of(axes)
        stem = nn.Sequential(convolution(in_channels, features[0], 7, 2, 3), ChannelNorm(features[0]))
        shrinks = [
            nn.Sequential(ChannelNorm(fine), convolution(fine, coarse, 2, 2))
            for fine, coarse in pairwise(features)
        ]
        self.shrink = nn.ModuleList([stem, *shrinks])
        self.stages = nn.ModuleList(
            nn.Sequential(*(UXBlock(channels, axes) for _ in range(depth)))
            for channels, depth in zip(features, depths, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for channels in features)
        self.encoder = nn.ModuleList(
            UnetResBlock(axes, before, after, 3, 1, "instance")
            for before, after in pairwise([in_channels, *features, hidden])
        )
        self.up = nn.ModuleList(
            UnetrUpBlock(axes, coarse, fine, 3, 2, "instance", res_block=True)
            for fine, coarse in pairwise([*features, hidden])
        )
        self.last = UnetResBlock(axes, features[0], features[0], 3, 1, "instance")
        self.head = convolution(features[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps, state = [image], image
        for shrink, stage, norm in zip(self.shrink, self.stages, self.norms, strict=True):
            state = stage(shrink(state))
            maps.append(norm(state))
        *skips, map_BCs = [encoder(map_BCs) for encoder, map_BCs in zip(self.encoder, maps, strict=True)]
        for level in reversed(range(len(skips))):
            map_BCs = self.up[level](map_BCs, skips[level])
        logits: Tensor = self.head(self.last(map_BCs))
        return logits


class UXBlock(nn.Module):
    """x + gamma * project(GELU(expand(norm(depthwise x)))); [B C *s] -> [B C *s]."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        convolution = convolution_of(axes)
        self.depthwise = convolution(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels)
        self.expand = convolution(channels, 4 * channels, 1, groups=channels)
        self.project = convolution(4 * channels, channels, 1, groups=channels)
        self.gamma = nn.Parameter(torch.full((channels,) + (1,) * axes, 1e-6))

    def forward(self, map_BCs: Tensor) -> Tensor:
        change: Tensor = self.expand(self.norm(self.depthwise(map_BCs)))
        change = self.project(nn.functional.gelu(change))
        return map_BCs + self.gamma * change


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel; [B C *s] -> [B C *s]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, map_BCs: Tensor) -> Tensor:
        normalised: Tensor = super().forward(map_BCs.movedim(1, -1))
        return normalised.movedim(-1, 1)


@feature_modules.register(UXNet)
def _(network: UXNet) -> dict[str, FeaturePoint]:
    depth = len(network.up)
    return {
        **u_shaped(depth, bottleneck=f"encoder.{depth}", decoder="up"),
        "decoder.0": FeaturePoint("last"),  # behind the last `up`
    }
