"""Batch norms put into the convolutions before them: one operation where there were two, the same outputs.

    norm(conv x) = gamma (W x + b - mean) / sqrt(variance + eps) + beta = W' x + b'
    W' = gamma W / sqrt(variance + eps),     b' = gamma (b - mean) / sqrt(variance + eps) + beta

This holds in evaluation mode, where mean and variance are those that training has recorded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .deeplab import BasicBlock, Bottleneck


def folded(network: nn.Module) -> nn.Module:
    """A copy of `network` in evaluation mode without those batch norms that directly follow a convolution.

    Found are neighbours in an `nn.Sequential`, and `conv1`, `bn1`, ... of our residual blocks with
    torchvision's names. An identity takes each norm's place, so that features are where they were.
    """
    twin = copy.deepcopy(network).eval()
    for parent, first, second in list(_neighbours(twin)):
        convolution, norm = parent.get_submodule(first), parent.get_submodule(second)
        if isinstance(convolution, (nn.Conv2d, nn.Conv3d)) and isinstance(
            norm, (nn.BatchNorm2d, nn.BatchNorm3d)
        ):
            setattr(parent, first, fuse_conv_bn_eval(convolution, norm))
            setattr(parent, second, nn.Identity())
    return twin


def _neighbours(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """A module and the names of two children of which the second is given what the first returns."""
    for module in network.modules():
        names = [name for name, _ in module.named_children()]
        if isinstance(module, (BasicBlock, Bottleneck)):
            found = [(name, name.replace("conv", "bn")) for name in names if name.startswith("conv")]
        else:
            found = list(pairwise(names)) if isinstance(module, nn.Sequential) else []
        yield from ((module, first, second) for first, second in found)
