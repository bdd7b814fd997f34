"""Residual trunks whose last stages may dilate instead of shrink, and the decoder of DeepLabV3+ without ASPP.

    stem                convolution of stride 2, batch norm, ReLU; 3x3 max-pooling of stride 2
    layer1 ... layer4   strides 4, 8, 16, 32, but none above `output_stride`
    decoder             1x1 convolution of the deepest map, enlarged to stride 4; 1x1 convolution of a map at
                        stride 4; both concatenated, two 3x3 convolutions (each with batch norm, ReLU)

He et al., CVPR 2016, for the trunk (a bottleneck's stride is in its 3x3 convolution, as in torchvision); Chen
et al., ECCV 2018, arXiv 1802.02611, for the decoder. A stage that would shrink the map beyond
`output_stride` keeps its size, and the convolutions after the one that would have shrunk it are spread by as
much (torchvision's rule, too). Modules inside the trunk have torchvision's names, so that its weights fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Block = Callable[
    [int, int, int, int, int], nn.Module
]  # channels before, after, stride, dilation before, after


class Trunk(nn.Module):
    """The stages; whoever holds them puts them together. Stage 0 is the stem.

    `widths` are the channels of the stages, `strides` what their maps are smaller by. Without `pool`, layer1
    shrinks the map in its place.
    """

    def __init__(
        self,
        in_channels: int,
        stem_kernel: int,
        widths: Sequence[int],
        depths: Sequence[int],
        block: Block,
        output_stride: int,
        *,
        pool: bool = True,
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        first = convolution(in_channels, widths[0], stem_kernel, stride=2)
        self.stem = nn.Sequential(OrderedDict(conv1=first, bn1=nn.BatchNorm2d(widths[0]), relu=nn.ReLU()))
        self.pool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        self.strides, dilation = [2], 1
        for stage, depth in enumerate(depths, 1):
            stride, dilation_before = 1 if stage == 1 and pool else 2, dilation
            if stage > 1 and 2 * self.strides[-1] > output_stride:
                stride, dilation = 1, dilation * 2
            self.strides.append(4 if stage == 1 else stride * self.strides[-1])
            before, after = widths[stage - 1 : stage + 1]
            blocks = [block(before, after, stride, dilation_before, dilation)]
            blocks += [block(after, after, 1, dilation, dilation) for _ in range(1, depth)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))

    def fine(self, image: Tensor) -> Tensor:
        """[B M *s] -> layer1's map [B C *s/4]."""
        map_BCs: Tensor = self.get_submodule("layer1")(self.pool(self.stem(image)))
        return map_BCs

    def deep(self, map_BCs: Tensor) -> Tensor:
        """A map in place of layer1's -> the deepest map [B C' *s']."""
        for stage in range(2, len(self.widths)):
            map_BCs = self.get_submodule(f"layer{stage}")(map_BCs)
        return map_BCs


def resnet50(in_channels: int, output_stride: int) -> Trunk:
    """ResNet-50: 23,508,032 parameters for three channels."""
    widths, depths = (64, 256, 512, 1024, 2048), (3, 4, 6, 3)
    return Trunk(in_channels, 7, widths, depths, Bottleneck, output_stride)


class Bottleneck(nn.Module):
    """x + conv1x1(conv3x3(conv1x1 x)), a quarter of the channels inside; [B C *s] -> [B C' *s']."""

    def __init__(self, before: int, after: int, stride: int, dilation_before: int, dilation: int) -> None:
        super().__init__()
        inside = after // 4
        self.conv1, self.bn1 = convolution(before, inside, 1), nn.BatchNorm2d(inside)
        self.conv2 = convolution(inside, inside, 3, stride=stride, dilation=dilation_before)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3, self.bn3 = convolution(inside, after, 1), nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, map_BCs: Tensor) -> Tensor:
        change: Tensor = self.relu(self.bn1(self.conv1(map_BCs)))
        change = self.relu(self.bn2(self.conv2(change)))
        out: Tensor = self.relu(self.bn3(self.conv3(change)) + self.downsample(map_BCs))
        return out


class BasicBlock(nn.Module):
    """x + conv3x3(conv3x3 x); [B C *s] -> [B C' *s']."""

    def __init__(self, before: int, after: int, stride: int, dilation_before: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = convolution(before, after, 3, stride=stride, dilation=dilation_before)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2, self.bn2 = convolution(after, after, 3, dilation=dilation), nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, map_BCs: Tensor) -> Tensor:
        change: Tensor = self.relu(self.bn1(self.conv1(map_BCs)))
        out: Tensor = self.relu(self.bn2(self.conv2(change)) + self.downsample(map_BCs))
        return out


class Decoder(nn.Module):
    """The deepest map [B C' *s'] and a map at stride 4 [B C *s] -> [B width *s]."""

    def __init__(self, deepest: int, fine: int, width: int, fine_width: int) -> None:
        super().__init__()
        self.deep = convolved(deepest, width, 1)
        self.fine = convolved(fine, fine_width, 1)
        self.merge = nn.Sequential(convolved(width + fine_width, width, 3), convolved(width, width, 3))

    def forward(self, deep_BCs: Tensor, fine_BCs: Tensor) -> Tensor:
        enlarged_BCs = nn.functional.interpolate(
            self.deep(deep_BCs), fine_BCs.shape[2:], mode="bilinear", align_corners=False
        )
        merged: Tensor = self.merge(torch.cat([enlarged_BCs, self.fine(fine_BCs)], 1))
        return merged


def trunk_features(trunk: Trunk) -> dict[str, str]:
    """`encoder.i`, the last map of stride 2^i short of the bottleneck, and `bottleneck`, by module of it."""
    *stages, deepest = ["stem", *(f"layer{stage}" for stage in range(1, len(trunk.widths)))]
    levels = [stride.bit_length() - 1 for stride in trunk.strides]
    encoder = {f"encoder.{level}": stage for level, stage in zip(levels, stages, strict=False)}
    return {**encoder, "bottleneck": deepest}


def convolved(
    before: int, after: int, kernel: int, *, dilation: int = 1, separable: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, ReLU. A `separable` one sees each channel by itself, then 1x1 all of them."""
    made = [convolution(before, after, kernel, dilation=dilation)]
    if separable:
        alone = convolution(before, before, kernel, dilation=dilation, groups=before)
        made = [alone, convolution(before, after, 1)]
    return nn.Sequential(*made, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


def convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Without bias, as a norm follows; drawn for ReLU."""
    padding = dilation * (kernel // 2)
    made = nn.Conv2d(before, after, kernel, stride, padding, dilation, groups, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    with torch.no_grad():  # PyTorch takes it that a channel goes into all that are made
        made.weight *= groups**0.5
    return made


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Identity()
    return nn.Sequential(convolution(before, after, 1, stride=stride), nn.BatchNorm2d(after))
