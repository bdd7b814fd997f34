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
from .features import FeaturePoint, feature_modules
from .patch import Strides, check_patch, level_strides, product


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
    steps = level_strides("kd_net", patch, strides, len(filters))
    check_patch("kd_net", patch, product(steps))
    if skips < 0:
        raise UserError(f"kd_net: {skips} skip connections", "give 0 to as many as there are levels less one")
    return KDNetUNet(in_channels, classes, list(filters[: len(steps)]), steps, skips)


def kd_net_divisor(
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    strides: Strides | None = None,
    **others: object,
) -> tuple[int, ...]:
    return product(level_strides("kd_net", patch, strides, len(filters)))


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
        pool = nn.MaxPool3d if axes == 3 else nn.MaxPool2d
        self.first_skip = max(0, depth - skips)  # the finest level whose skip is kept
        self.encoder = nn.ModuleList(
            _block(before, after, axes)
            for before, after in zip([in_channels, *filters[:-1]], filters, strict=True)
        )
        self.down = nn.ModuleList(pool(tuple(stride)) for stride in strides[1:])
        self.up = nn.ModuleList(
            nn.Upsample(scale_factor=tuple(map(float, stride)), mode="trilinear" if axes == 3 else "bilinear")
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
        self.head = _convolution(axes)(filters[0], classes, 1)

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
    return {
        **{f"encoder.{i}": FeaturePoint(f"encoder.{i}") for i in range(depth)},
        "bottleneck": FeaturePoint(f"encoder.{depth}"),
        **{f"decoder.{i}": FeaturePoint(f"decoder.{i}") for i in reversed(range(depth))},
    }


def _block(before: int, after: int, axes: int) -> nn.Sequential:
    norm = nn.InstanceNorm3d if axes == 3 else nn.InstanceNorm2d
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [_convolution(axes)(channels, after, 3, padding=1), norm(after, affine=True)]
        layers += [nn.LeakyReLU(0.01, inplace=True)]
    return nn.Sequential(*layers)


def _convolution(axes: int) -> type[nn.Conv3d] | type[nn.Conv2d]:
    return nn.Conv3d if axes == 3 else nn.Conv2d
