"""The U-Net of KD-Net: max-pooling down, linear interpolation up, any number of its skip connections.

Hu et al., "Knowledge Distillation from Multi-modal to Mono-modal Segmentation Networks", MICCAI 2020, arXiv
2106.09564, figure 1. The figure names the layers; their widths are not published: 16 ... 256 here (decided).

    block    twice (3x3x3 convolution, affine instance norm, LeakyReLU 0.01)
    down     max-pooling by the level's stride, then a block
    up       linear interpolation by that stride, concatenation of the skip if it is kept, then a block
    head     1x1x1 convolution

Without a skip its decoder block has that many fewer input channels. Where fewer than all are kept, they are
the deepest ones. Teacher and student are this network; only the first convolution's input differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError
from .axes import convolution_of, instance_norm_of, linear_mode, max_pool_of
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import Strides, checked_strides, strided_divisor


def kd_net(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    strides: Strides | None = None,
    skips: int = 4,
) -> nn.Module:
    """KD-Net's U-Net: max-pooling, linear up-sampling, 4 to 0 skip connections."""
    steps = checked_strides("kd_net", patch, strides, len(filters))
    if skips < 0:
        raise UserError(f"kd_net: {skips} skip connections", "give 0 to as many as there are levels less one")
    return KDNetUNet(in_channels, classes, list(filters[: len(steps)]), steps, skips)


kd_net_divisor = strided_divisor(kd_net)


class KDNetUNet(nn.Module):
    """[B M *S] -> logits [B K *S]; `strides` per level and axis, the first all 1."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        filters: Sequence[int],
        strides: Sequence[Sequence[int]],
        skips: int,
    ) -> None:
        super().__init__()
        axes, depth = len(strides[0]), len(filters) - 1
        pool = max_pool_of(axes)
        self.first_skip = max(0, depth - skips)  # the finest level whose skip is kept
        self.encoder = nn.ModuleList(
            _block(before, after, axes)
            for before, after in zip([in_channels, *filters[:-1]], filters, strict=True)
        )
        self.down = nn.ModuleList(pool(tuple(stride)) for stride in strides[1:])
        self.up = nn.ModuleList(
            nn.Upsample(scale_factor=tuple(map(float, stride)), mode=linear_mode(axes))
            for stride in strides[1:]
        )
        self.decoder = nn.ModuleList(
            _block(
                filters[level + 1] + filters[level] * (level >= self.first_skip),
                filters[level],
                axes,
            )
            for level in range(depth)
        )
        self.head = convolution_of(axes)(filters[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = [self.encoder[0](image)]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            features.append(block(down(features[-1])))
        map_BCs = features.pop()
        for level in reversed(range(len(self.decoder))):
            map_BCs = self.up[level](map_BCs)
            if level >= self.first_skip:
                map_BCs = torch.cat([map_BCs, features[level]], 1)
            map_BCs = self.decoder[level](map_BCs)
        logits: Tensor = self.head(map_BCs)
        return logits


@feature_modules.register(KDNetUNet)
def _(network: KDNetUNet) -> dict[str, FeaturePoint]:
    depth = len(network.decoder)
    return u_shaped(depth, bottleneck=f"encoder.{depth}")


def _block(before: int, after: int, axes: int) -> nn.Sequential:
    norm = instance_norm_of(axes)
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [convolution_of(axes)(channels, after, 3, padding=1), norm(after, affine=True)]
        layers += [nn.LeakyReLU(0.01, inplace=True)]
    return nn.Sequential(*layers)
