"""The layers of 2D and 3D networks, by the number of axes of what they see."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def convolution_of(axes: int) -> Callable[..., nn.Conv2d | nn.Conv3d]:
    """Conv2d for 2 axes, Conv3d for 3; the others likewise."""
    return nn.Conv3d if axes == 3 else nn.Conv2d


def transposed_convolution_of(axes: int) -> type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]:
    return nn.ConvTranspose3d if axes == 3 else nn.ConvTranspose2d


def instance_norm_of(axes: int) -> type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]:
    return nn.InstanceNorm3d if axes == 3 else nn.InstanceNorm2d


def batch_norm_of(axes: int) -> type[nn.BatchNorm2d] | type[nn.BatchNorm3d]:
    return nn.BatchNorm3d if axes == 3 else nn.BatchNorm2d


def max_pool_of(axes: int) -> type[nn.MaxPool2d] | type[nn.MaxPool3d]:
    return nn.MaxPool3d if axes == 3 else nn.MaxPool2d


def linear_mode(axes: int) -> str:
    """The mode of linear interpolation."""
    return "trilinear" if axes == 3 else "bilinear"
