"""UNesT: a U-Net whose encoder is a hierarchy of transformers, each within blocks of its map. 3D only.

Yu et al., "UNesT: Local Spatial Representation Learning with Hierarchical Transformer for Efficient Medical
Segmentation", Medical Image Analysis 2023, arXiv 2209.14378, on Zhang et al., "Nested Hierarchical
Transformer", AAAI 2022; the teacher of unpaired 3D to 2D prototype distillation. Widths d0, d1, d2:

    tokens      of 4x4x4 voxels, by a convolution, d0 channels
    levels      at stride 4, 8 and 16, cut into 4x4x4, 2x2x2 and one block of equal size: of 6x6x6 tokens for
                a patch of 96x96x96 voxels. A learned position table, then layers that attend within a block:
                    x = x + attention(norm x);    x = x + MLP(norm x), four times as wide inside
    between     3x3x3 convolution, layer norm over the channels, 3x3x3 max-pooling of stride 2
    encoder     a residual block on the image (d0/4 channels); at stride 2 transposed convolutions of the
                tokens (d0/2); residual blocks on the levels at stride 4 (d0) and 8 (d1); at 16 the last level
                itself (d2)
    bottleneck  of the last level, normalised: 3x3x3 convolution of stride 2 to 2 d2 channels, PReLU, instance
                norm
    decoder     transposed convolution, concatenation of the skip, residual block: d2, d1, d0, d0/2, d0/4
    head        1x1x1 convolution

In training a layer's two changes are left out at random per case (stochastic depth), from never in the first
layer to half of the time in the last. The position tables fix the patch; each axis is cut alike, so it need
not be a cube. What the heads of a token give is put together channel by channel, each head's first, then each
head's second, as in the authors' code (Project-MONAI/model-zoo, `nest_transformer_3D.py`); the linear map
after it expects that order. Parameters for 96x96x96 voxels of one channel and 7 classes: small 22,400,120,
base 87,201,000, large 279,457,112.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from monai.networks.blocks import Convolution, UnetOutBlock
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.unetr_block import UnetrUpBlock
from monai.networks.layers import DropPath
from torch import Tensor, nn

from ..errors import UserError, unknown
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import check_patch, times
from .ux_net import ChannelNorm

TOKEN = 4  # voxels per axis
BLOCKS = (4, 2, 1)  # per axis and level
# Channels, heads and layers per level.
SIZES = {
    "small": ((64, 128, 256), (2, 4, 8), (2, 2, 8)),
    "base": ((128, 256, 512), (4, 8, 16), (2, 2, 8)),
    "large": ((192, 384, 768), (6, 12, 24), (2, 2, 20)),
}


def unest(
    in_channels: int, classes: int, patch: Sequence[int], *, size: str = "base", drop_path: float = 0.5
) -> nn.Module:
    """Transformers within blocks at three levels of a U-Net, 3D only (Yu et al. 2023).

    `size` is "small", "base" or "large"; `drop_path` is how often the last layer's changes are left out.
    """
    check_patch("unest", patch, unest_divisor(patch))
    if size not in SIZES:
        raise unknown("size of unest", size, tuple(SIZES))
    if not 0 <= drop_path < 1:
        raise UserError(f"unest: drop_path {drop_path}", "give a number from 0 to below 1")
    return UNesT(in_channels, classes, tuple(patch), *SIZES[size], drop_path)


def unest_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    if len(patch) != 3:
        raise UserError(f"unest cannot take a patch of {times(patch)} voxels: it is 3D", "give three sizes")
    return (2 * TOKEN * BLOCKS[0],) * 3


class UNesT(nn.Module):
    """[B M *S] -> logits [B K *S]; S is fixed to `patch`, because the position tables are."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        patch: tuple[int, ...],
        widths: Sequence[int],
        heads: Sequence[int],
        depths: Sequence[int],
        drop_path: float,
    ) -> None:
        super().__init__()
        self.patch = patch
        tokens = widths[0]
        self.embed = nn.Conv3d(in_channels, tokens, TOKEN, TOKEN)
        block = tuple(axis // (TOKEN * BLOCKS[0]) for axis in patch)
        layers = sum(depths)
        rates = [drop_path * layer / (layers - 1) for layer in range(layers)]
        ends = list(accumulate(depths))
        self.levels = nn.ModuleList(
            Level(width, heads_of_level, blocks, block, rates[end - depth : end])
            for width, heads_of_level, blocks, depth, end in zip(
                widths, heads, BLOCKS, depths, ends, strict=True
            )
        )
        self.shrink = nn.ModuleList(
            nn.Sequential(nn.Conv3d(fine, coarse, 3, padding=1), ChannelNorm(coarse), nn.MaxPool3d(3, 2, 1))
            for fine, coarse in pairwise(widths)
        )
        self.norm = ChannelNorm(widths[-1])
        at_2 = tokens // 2
        self.encoder = nn.ModuleList(
            [
                UnetResBlock(3, in_channels, tokens // 4, 3, 1, "instance"),
                nn.Sequential(
                    nn.ConvTranspose3d(tokens, at_2, 2, 2, bias=False),
                    nn.ConvTranspose3d(at_2, at_2, 1, bias=False),
                ),
                *(UnetResBlock(3, width, width, 3, 1, "instance") for width in widths[:-1]),
                nn.Identity(),
            ]
        )
        self.bottleneck = Convolution(
            3, widths[-1], 2 * widths[-1], strides=2, adn_ordering="AN", act="PRELU", norm="INSTANCE"
        )
        self.up = nn.ModuleList(
            UnetrUpBlock(3, coarse, fine, 3, 2, "instance", res_block=True)
            for fine, coarse in pairwise([tokens // 4, at_2, *widths, 2 * widths[-1]])
        )
        self.head = UnetOutBlock(3, tokens // 4, classes)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2:] != self.patch:
            raise ValueError(
                f"unest takes patches of {times(self.patch)} voxels, here are {times(image.shape[2:])}"
            )
        embedded_BCs = self.embed(image)
        maps = [image, embedded_BCs, self.levels[0](embedded_BCs)]
        for shrink, level in zip(self.shrink, self.levels[1:], strict=True):
            maps.append(level(shrink(maps[-1])))
        skips = [encode(map_BCs) for encode, map_BCs in zip(self.encoder, maps, strict=True)]
        map_BCs = self.bottleneck(self.norm(maps[-1]))
        for number in reversed(range(len(skips))):
            map_BCs = self.up[number](map_BCs, skips[number])
        logits: Tensor = self.head(map_BCs)
        return logits


class Level(nn.Module):
    """Layers that attend within `blocks` blocks per axis, each of `block` tokens; [B C *s] -> [B C *s]."""

    def __init__(
        self, channels: int, heads: int, blocks: int, block: Sequence[int], drop_path: Sequence[float]
    ) -> None:
        super().__init__()
        self.blocks, self.block = blocks, (block[0], block[1], block[2])
        self.position = nn.Parameter(torch.zeros(blocks**3, block[0] * block[1] * block[2], channels))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.layers = nn.Sequential(*(Layer(channels, heads, rate) for rate in drop_path))

    def forward(self, map_BCs: Tensor) -> Tensor:
        tokens_BTNC = self.cut(map_BCs) + self.position
        return self.together(self.layers(tokens_BTNC))

    def cut(self, map_BCs: Tensor) -> Tensor:
        """[B C *s] -> [B T N C]: N tokens of each of T blocks."""
        batch, channels = map_BCs.shape[:2]
        (i, j, k), n = self.block, self.blocks
        split = map_BCs.reshape(batch, channels, n, i, n, j, n, k)
        return split.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, n**3, i * j * k, channels)

    def together(self, tokens_BTNC: Tensor) -> Tensor:
        """[B T N C] -> [B C *s]."""
        batch, channels = tokens_BTNC.shape[0], tokens_BTNC.shape[3]
        (i, j, k), n = self.block, self.blocks
        split = tokens_BTNC.reshape(batch, n, n, n, i, j, k, channels)
        return split.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(batch, channels, n * i, n * j, n * k)


class Layer(nn.Module):
    """x + attention(norm x), then x + MLP(norm x); [B T N C] -> [B T N C], each block by itself."""

    def __init__(self, channels: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )
        self.drop_path = DropPath(drop_path)
        self.apply(_initialise)

    def forward(self, tokens_BTNC: Tensor) -> Tensor:
        x = tokens_BTNC + self.drop_path(self.attention(self.attention_norm(tokens_BTNC)))
        changed: Tensor = x + self.drop_path(self.mlp(self.mlp_norm(x)))
        return changed

    def attention(self, tokens_BTNC: Tensor) -> Tensor:
        """softmax(Q Kᵀ / √d) V per block and head; channel d of head h becomes channel d H + h."""
        batch, blocks, tokens, channels = tokens_BTNC.shape
        qkv = self.to_qkv(tokens_BTNC).reshape(batch * blocks, tokens, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed_nHND = nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed_nHND.permute(0, 2, 3, 1).reshape(tokens_BTNC.shape))
        return out


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


@feature_modules.register(UNesT)
def _(network: UNesT) -> dict[str, FeaturePoint]:
    return u_shaped(len(network.encoder), decoder="up")
