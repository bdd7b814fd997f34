"""Networks that were published for one image size: the image is resized to it, the logits back.

Also what such a network begins with (one channel is shown three times), how it decodes, and what it ends with
(a linear map that trades channels for pixels, patch expanding, Cao et al., arXiv 2105.05537). 2D only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError
from .patch import check_2d, check_patch

DIVISOR = 32


def check_fixed_size(network: str, patch: Sequence[int], size: int) -> None:
    """Refuses, with UserError, a patch that is not 2D, and a size that cannot be halved five times.

    A `size` of 0 stands for the patch itself.
    """
    divisor = fixed_size_divisor(network, patch, size)
    if not size:
        check_patch(network, patch, divisor)
    elif size < 2 * DIVISOR or size % DIVISOR:
        raise UserError(
            f"{network}: size {size}",
            f"give a multiple of {DIVISOR}, at least {2 * DIVISOR}, or 0 for the patch itself",
        )


def fixed_size_divisor(network: str, patch: Sequence[int], size: int) -> tuple[int, ...]:
    """What each axis of the patch must be a multiple of: anything will do where the image is resized."""
    check_2d(network, patch)
    return (1 if size else DIVISOR,) * 2


def first_channels(in_channels: int) -> int:
    """The channels of the first convolution: three for one modality, or else one per modality."""
    return 3 if in_channels == 1 else in_channels


def prepared(image: Tensor, size: int) -> Tensor:
    """[B M *S] -> [B M' *s], M' = `first_channels`, s = `size` per axis or, where that is 0, S."""
    image = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
    return resized(image, (size, size)) if size else image


def resized(map_BCs: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, the extents of both grids coincide; nothing where the size is the same."""
    if tuple(map_BCs.shape[2:]) == tuple(size):
        return map_BCs
    return nn.functional.interpolate(map_BCs, tuple(size), mode="bilinear", align_corners=False)


def decoded(
    map_BCs: Tensor,
    skips: Sequence[Tensor],
    expand: nn.ModuleList,
    fuse: nn.ModuleList,
    blocks: nn.ModuleList,
) -> Tensor:
    """The coarsest map [B C *s] and the skips, finest first -> the finest map.

    At each level map = blocks(fuse([expand map, skip])).
    """
    for level in reversed(range(len(skips))):
        both_BCs = torch.cat([expand[level](map_BCs), skips[level]], 1)
        map_BCs = blocks[level](fuse[level](both_BCs))
    return map_BCs


class Expand(nn.Module):
    """[B C h w] -> [B C' fh fw]: every pixel's channels become those of f x f pixels, then layer norm."""

    def __init__(self, before: int, after: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(before, factor**2 * after, bias=False)
        self.norm = nn.LayerNorm(after)

    def forward(self, map_BCs: Tensor) -> Tensor:
        batch, _, height, width = map_BCs.shape
        f = self.factor
        pixels = self.linear(map_BCs.permute(0, 2, 3, 1)).reshape(batch, height, width, f, f, -1)
        finer_BsC = pixels.permute(0, 1, 3, 2, 4, 5).reshape(batch, height * f, width * f, -1)
        expanded: Tensor = self.norm(finer_BsC).permute(0, 3, 1, 2)
        return expanded


class LastChannels(nn.Module):
    """A module of vectors, applied to the channels of a map: [B C *s] -> [B C' *s]."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, map_BCs: Tensor) -> Tensor:
        mapped: Tensor = self.module(map_BCs.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return mapped
