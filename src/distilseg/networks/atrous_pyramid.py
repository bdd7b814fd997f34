"""Atrous spatial pyramid pooling (ASPP): a map seen at several widths at once, and as a whole.

    branches    1x1 convolution; 3x3 ones dilated by each of `rates`; the image's mean through a 1x1 one
    project     1x1 convolution of all of them concatenated, dropout 0.5

Chen et al., arXiv 1706.05587, of DeepLabV3; `separable` dilated convolutions are of DeepLabV3+, arXiv
1802.02611. Every convolution has a batch norm and a ReLU after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError
from .deeplab import convolution, convolved


class Pyramid(nn.Module):
    """[B C *s] -> [B width *s]; the dilated convolutions reach `rates` pixels far."""

    def __init__(self, before: int, width: int, rates: Sequence[int], *, separable: bool = False) -> None:
        super().__init__()
        dilated = (convolved(before, width, 3, dilation=rate, separable=separable) for rate in rates)
        self.branches = nn.ModuleList([convolved(before, width, 1), *dilated])
        self.of_image = convolution(before, width, 1)
        self.of_image_norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.project = nn.Sequential(convolved((len(rates) + 2) * width, width, 1), nn.Dropout(0.5))

    def forward(self, map_BCs: Tensor) -> Tensor:
        if self.training and len(map_BCs) == 1:
            raise UserError(
                "an atrous pyramid cannot learn from a batch of one image: its pooling leaves one value per"
                " channel, too few to normalise over",
                "give a batch of two or more",
            )
        maps = [branch(map_BCs) for branch in self.branches]
        # Of one voxel a CPU makes a matrix times a vector, rounded by where in memory the weights begin:
        # those mapped from a file would answer otherwise in the last bit. Of two equal voxels it does not.
        twice_BC12 = self.of_image(map_BCs.mean((2, 3), keepdim=True).expand(-1, -1, 1, 2))
        of_image = self.of_image_norm(twice_BC12[..., :1]).expand_as(maps[0])
        projected: Tensor = self.project(torch.cat([*maps, of_image], 1))
        return projected
