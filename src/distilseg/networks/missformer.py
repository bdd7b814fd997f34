"""MISSFormer: transformer stages whose keys are thinned out, joined across scales by a bridge. 2D only.

Huang et al., "MISSFormer: An Effective Medical Image Segmentation Transformer", IEEE TMI 2022, arXiv
2109.07162; a student of unpaired prototype distillation. Levels at stride 4, 8, 16, 32, of 64, 128, 320, 512
channels:

    embed     overlapping convolution of stride 4, then 2; layer norm
    block     x = x + attention(norm x);  x = x + mix(norm x)
    mix       y = W x;  x = W' GELU(norm(convolution3x3(y) + y)), four times as wide inside, depthwise
    encoder   per level an embedding, two blocks, layer norm
    bridge    four layers over the tokens of all levels, cut into 64 channels each: attention of one head,
              then a `mix` for each level
    decoder   expand to twice the size, concatenation (skip last), linear map, two blocks
    head      expand to four times the size, 1x1 convolution

Attention's keys and values come from a map that a convolution made smaller, 8, 4, 2, 1 times per axis.
`encoder.i` and `bottleneck` are what the bridge hands on.

The published image is 224x224 pixels; another is resized to `size` and the logits back, and its features stay
on the network's own grid. `size=0` builds it for the patch itself. One modality is shown three times; else
the first convolution has one channel per modality.

The authors' module holds parameters that nothing executes: two more layer norms in every `mix`, a linear map
and two blocks at stride 32 in the decoder. `unused_layers` keeps them, for the published 42,462,537 (nine
classes, one or three modalities); without them there are 35,452,745. thop's
7.277 G counts the first map of every `mix` twice, as the authors compute it; here it is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
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

RATIOS = (1, 2, 5, 8)  # a level's channels, in those of the finest; also its heads
REDUCTIONS = (8, 4, 2, 1)  # per level: keys and values are as many times fewer per axis
DEPTH, BRIDGE_LAYERS = 2, 4


def missformer(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    features: int = 64,
    unused_layers: bool = True,
    size: int = 224,
) -> nn.Module:
    """Thinned-out attention in a U-Net, a bridge across scales, 2D only (Huang et al. 2022).

    `features` is the width at stride 4; `unused_layers` keeps the authors' parameters that nothing executes.
    """
    check_fixed_size("missformer", patch, size)
    if features < 1:
        raise UserError(f"missformer: {features} features", "give at least one")
    return MissFormer(in_channels, classes, features, size, unused_layers=unused_layers)


def missformer_divisor(patch: Sequence[int], *, size: int = 224, **others: object) -> tuple[int, ...]:
    return fixed_size_divisor("missformer", patch, size)


class MissFormer(nn.Module):
    """[B M *S] -> logits [B K *S]."""

    def __init__(
        self, in_channels: int, classes: int, features: int, size: int, *, unused_layers: bool
    ) -> None:
        super().__init__()
        self.size = size
        widths = [features * ratio for ratio in RATIOS]
        levels = range(len(widths))

        def blocks(level: int) -> list[nn.Module]:
            width, heads, reduction = widths[level], RATIOS[level], REDUCTIONS[level]
            return [Block(width, heads, reduction, unused_layers) for _ in range(DEPTH)]

        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, *((7, 4, 3) if level == 0 else (3, 2, 1))),
                LastChannels(nn.LayerNorm(after)),
                *blocks(level),
                LastChannels(nn.LayerNorm(after)),
            )
            for level, (before, after) in enumerate(pairwise([first_channels(in_channels), *widths]))
        )
        self.bridge = nn.ModuleList(BridgeLayer(features, unused_layers) for _ in range(BRIDGE_LAYERS))
        self.encoder = nn.ModuleList(nn.Identity() for _ in levels[:-1])  # taps
        self.bottleneck = nn.Identity()
        self.expand = nn.ModuleList(Expand(coarse, coarse // 2, 2) for coarse in widths[1:])
        self.fuse = nn.ModuleList(
            LastChannels(nn.Linear(fine + coarse // 2, fine)) for fine, coarse in pairwise(widths)
        )
        self.decoder = nn.ModuleList(nn.Sequential(*blocks(level)) for level in levels[:-1])
        self.expand_last = Expand(features, features, 4)
        self.head = nn.Conv2d(features, classes, 1)
        self.unused = (
            nn.ModuleList([nn.Linear(2 * widths[-1], widths[-1]), *blocks(levels[-1])])
            if unused_layers
            else None
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        map_BCs, maps = prepared(image, self.size), []
        for stage in self.stages:
            map_BCs = stage(map_BCs)
            maps.append(map_BCs)
        for layer in self.bridge:
            maps = layer(maps)
        *skips, map_BCs = maps
        skips = [keep(skip_BCs) for keep, skip_BCs in zip(self.encoder, skips, strict=True)]
        map_BCs = self.bottleneck(map_BCs)
        map_BCs = decoded(map_BCs, skips, self.expand, self.fuse, self.decoder)
        logits: Tensor = self.head(self.expand_last(map_BCs))
        return resized(logits, image.shape[2:])


class Block(nn.Module):
    """[B C *s] -> [B C *s]."""

    def __init__(self, channels: int, heads: int, reduction: int, unused_layers: bool) -> None:
        super().__init__()
        self.attention_norm = LastChannels(nn.LayerNorm(channels))
        reduce = [nn.Conv2d(channels, channels, reduction, reduction), LastChannels(nn.LayerNorm(channels))]
        self.reduce = nn.Sequential(*(reduce if reduction > 1 else []))
        self.attention = Attention(channels, heads)
        self.mix_norm = LastChannels(nn.LayerNorm(channels))
        self.mix = Mix(channels, unused_layers)

    def forward(self, map_BCs: Tensor) -> Tensor:
        normed_BCs = self.attention_norm(map_BCs)
        mixed_BNC = self.attention(_tokens(normed_BCs), _tokens(self.reduce(normed_BCs)))
        map_BCs = map_BCs + _map(mixed_BNC, map_BCs.shape[2:])
        out: Tensor = map_BCs + self.mix(self.mix_norm(map_BCs))
        return out


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d) V per head; Q of the tokens [B N C], K and V of fewer ones [B n C] -> [B N C]."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(channels, channels)
        self.to_key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, tokens_BNC: Tensor, fewer_BnC: Tensor) -> Tensor:
        query_BHND = self._per_head(self.to_query(tokens_BNC))
        key_BHnD, value_BHnD = map(self._per_head, self.to_key_value(fewer_BnC).chunk(2, 2))
        mixed_BHND = nn.functional.scaled_dot_product_attention(query_BHND, key_BHnD, value_BHnD)
        out: Tensor = self.out(mixed_BHND.transpose(1, 2).flatten(2))
        return out

    def _per_head(self, tokens_BNC: Tensor) -> Tensor:
        batch, tokens, channels = tokens_BNC.shape
        return tokens_BNC.reshape(batch, tokens, self.heads, channels // self.heads).transpose(1, 2)


class Mix(nn.Module):
    """W' GELU(norm(convolution(W x) + W x)), [B C *s] -> [B C *s]."""

    def __init__(self, channels: int, unused_layers: bool) -> None:
        super().__init__()
        hidden = 4 * channels
        self.widen = LastChannels(nn.Linear(channels, hidden))
        self.convolution = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.Sequential(LastChannels(nn.LayerNorm(hidden)), nn.GELU())
        self.narrow = LastChannels(nn.Linear(hidden, channels))
        self.unused = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2)) if unused_layers else None

    def forward(self, map_BCs: Tensor) -> Tensor:
        wide_BCs = self.widen(map_BCs)
        out: Tensor = self.narrow(self.norm(self.convolution(wide_BCs) + wide_BCs))
        return out


class BridgeLayer(nn.Module):
    """The levels' maps [B C *s], finest first -> maps of the same shapes.

    Every map is read as tokens of C channels, the finest's: a pixel of 5 C channels is five tokens. Fewer
    keys: each map shrinks to the coarsest's size; its channels are cut into C groups, one per channel of a
    token (as the authors do: the groups differ from the pixels' own cut).
    """

    def __init__(self, channels: int, unused_layers: bool) -> None:
        super().__init__()
        self.channels = channels
        widths = [channels * ratio for ratio in RATIOS]
        self.attention_norm = nn.LayerNorm(channels)
        self.reduce = nn.ModuleList(
            nn.Conv2d(width, width, by, by) for width, by in zip(widths[:-1], REDUCTIONS[:-1], strict=True)
        )
        self.reduce_norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, 1)
        self.mix_norm = nn.LayerNorm(channels)
        self.mix = nn.ModuleList(Mix(width, unused_layers) for width in widths)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        tokens_BNC = self._joined(maps)
        normed_BNC = self.attention_norm(tokens_BNC)
        tokens_BNC = tokens_BNC + self.attention(normed_BNC, self._fewer(normed_BNC, maps))
        mixed = [
            mix(map_BCs)
            for mix, map_BCs in zip(self.mix, self._cut(self.mix_norm(tokens_BNC), maps), strict=True)
        ]
        return self._cut(tokens_BNC + self._joined(mixed), maps)

    def _fewer(self, tokens_BNC: Tensor, maps: list[Tensor]) -> Tensor:
        *finer, coarsest_BCs = self._cut(tokens_BNC, maps)
        fewer = [
            reduce(map_BCs).reshape(map_BCs.shape[0], self.channels, -1).transpose(1, 2)
            for reduce, map_BCs in zip(self.reduce, finer, strict=True)
        ]
        fewer_BnC: Tensor = self.reduce_norm(torch.cat([*fewer, self._joined([coarsest_BCs])], 1))
        return fewer_BnC

    def _joined(self, maps: list[Tensor]) -> Tensor:
        tokens = [_tokens(map_BCs).reshape(map_BCs.shape[0], -1, self.channels) for map_BCs in maps]
        return torch.cat(tokens, 1)

    def _cut(self, tokens_BNC: Tensor, like: list[Tensor]) -> list[Tensor]:
        parts = torch.split(tokens_BNC, [map_BCs[0].numel() // self.channels for map_BCs in like], 1)
        return [
            _map(part.reshape(part.shape[0], -1, map_BCs.shape[1]), map_BCs.shape[2:])
            for part, map_BCs in zip(parts, like, strict=True)
        ]


@feature_modules.register(MissFormer)
def _(network: MissFormer) -> dict[str, FeaturePoint]:
    return u_shaped(len(network.decoder))


def _tokens(map_BCs: Tensor) -> Tensor:
    return map_BCs.flatten(2).transpose(1, 2)


def _map(tokens_BNC: Tensor, size: torch.Size) -> Tensor:
    return tokens_BNC.transpose(1, 2).reshape(tokens_BNC.shape[0], -1, *size)


def _initialise(module: nn.Module) -> None:
    """Xavier's linear maps without offset, convolutions of variance 2 / (outputs fed by one input)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    elif isinstance(module, nn.Conv2d):
        outputs = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / outputs))
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)
