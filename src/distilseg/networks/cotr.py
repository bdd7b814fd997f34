"""CoTr: a convolutional encoder whose two coarsest maps pass through a deformable transformer. 3D only.

Xie et al., "CoTr: Efficiently Bridging CNN and Transformer for 3D Medical Image Segmentation", MICCAI 2021,
arXiv 2103.03024; a rival of dual self-distillation on brain tumours. Filters 64, 192, 384:

    stem         7x7x7 convolution of stride 1, 2, 2, instance norm, leaky ReLU
    stages       3, 3, 2 blocks of 192, 384, 384 channels, each stage of stride 2; block:
                 leaky ReLU(norm(convolution x) + shortcut x)
    transformer  the maps of the last two stages, voxel by voxel as tokens, to which position embeddings and
                 one learned vector per map are added where they ask; six layers:
                     x = norm(x + attention x);    x = norm(x + MLP x), four times as wide inside
    decoder      transposed convolution, sum with the skip, x + (convolution, norm, leaky ReLU) twice
    heads        1x1x1, and linear interpolation to the patch; side answers for deep supervision, `side.1` ...

A token at (i + 1/2) / s of an axis is embedded by a third of the channels: sine and cosine in turn of
2 pi (i + 1/2) / s / 10000^(3 floor(k/3) / n), k = 0 ... n - 1. Attention is `deformable_attention.py`'s.
`encoder.2` and `bottleneck` are what the transformer hands on.

Parameters with the defaults: 41,865,424 for one channel and 4 classes, 41,872,504 for one and 14.

Where paper and code differ, or the code with itself:

- Weights of convolutions are standardised before each use, W = (W - mean) / deviation per output channel. The
  paper does not say so, and the authors' trainer switches it off: `standardised=False`.
- The authors' tokens look around a voxel other than their own: `sampling`, see `deformable_attention.py`.
- Their code takes one size of patch (48, 192, 192), and masks on a CUDA device; here any multiple of
  8, 16, 16 will do, on any device.
- Logits are interpolated, in place of the last map: both steps are linear, so their order changes the cost
  alone.

The axis that the stem leaves alone is the first, as slices are listed by the authors. Where thick slices lie
along another, say so: `first_stride=(2, 2, 1)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import UserError, unknown
from .deformable_attention import DeformableAttention, Sampling
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import check_patch, times

BLOCKS = (3, 3, 2)  # of a stage
SIDES = len(BLOCKS)
ATTENDED = 2  # maps that the transformer sees
SAMPLING = ("code", "paper")
SLOPE = 0.01  # of the leaky ReLU


def cotr(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (64, 192, 384),
    mlp: int = 1536,
    layers: int = 6,
    heads: int = 6,
    points: int = 4,
    dropout: float = 0.1,
    first_stride: Sequence[int] = (1, 2, 2),
    standardised: bool = True,
    sampling: Literal["code", "paper"] = "code",
) -> nn.Module:
    """A deformable transformer on a U-Net's coarsest maps, 3D only (Xie et al. 2021); theirs: 41.93 million.

    That is what the authors' code has of 4 modalities and classes, in patches of any size.
    `filters` are those of the stem and the stages, the last of which counts twice. `points` is how many
    places of each map a head looks at. `standardised` and `sampling`: where paper and code differ.
    """
    if sampling not in SAMPLING:
        raise unknown("sampling of cotr", sampling, SAMPLING)
    if len(filters) != len(BLOCKS):
        raise UserError(
            f"cotr: {len(filters)} filter counts", f"give {len(BLOCKS)}, the coarsest counts twice"
        )
    hidden = filters[-1]
    if min(mlp, layers, heads, points) < 1 or hidden % heads or hidden % 6:
        raise UserError(
            f"cotr: {layers} layers, {heads} heads, {points} points, mlp {mlp} and {hidden} coarsest filters",
            "give at least 1 each, and coarsest filters that 6 and the heads divide",
        )
    check_patch("cotr", patch, cotr_divisor(patch, first_stride=first_stride))
    d, h, w = first_stride
    transformer = DeformableTransformer(hidden, mlp, layers, heads, points, dropout, sampling)
    return CoTr(in_channels, classes, filters, (d, h, w), transformer, standardised=standardised)


def cotr_divisor(
    patch: Sequence[int], *, first_stride: Sequence[int] = (1, 2, 2), **others: object
) -> tuple[int, ...]:
    if len(patch) != 3:
        raise UserError(f"cotr cannot take a patch of {times(patch)} voxels: it is 3D", "give three sizes")
    if len(first_stride) != 3:
        raise UserError(
            f"cotr: first_stride {list(first_stride)}", "give one number per axis, such as [1, 2, 2]"
        )
    return tuple(step * 2 ** len(BLOCKS) for step in first_stride)


class CoTr(nn.Module):
    """[B M *S] -> logits [B K *S], S a multiple of the divisor."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        filters: Sequence[int],
        first_stride: tuple[int, int, int],
        transformer: DeformableTransformer,
        *,
        standardised: bool,
    ) -> None:
        super().__init__()
        self.first_stride = first_stride
        widths = [*filters, filters[-1]]
        convolution = StandardisedConvolution if standardised else nn.Conv3d
        self.stem = nn.Sequential(
            convolution(in_channels, widths[0], 7, first_stride, 3, bias=False),
            *_norm_and_activation(widths[0]),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                Block(convolution, before, after, 2),
                *(Block(convolution, after, after, 1) for _ in range(blocks - 1)),
            )
            for (before, after), blocks in zip(pairwise(widths), BLOCKS, strict=True)
        )
        self.encoder = nn.ModuleList(nn.Identity() for _ in BLOCKS)  # where a tap finds the skips
        self.bottleneck = nn.Identity()
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(coarse, fine, 2, 2, bias=False) for fine, coarse in pairwise(widths)
        )
        self.decoder = nn.ModuleList(Double(convolution, width) for width in widths[:-1])
        self.head = nn.Conv3d(widths[0], classes, 1)
        self.sides = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths[:-1])
        self.apply(_initialise)
        self.transformer = transformer

    def forward(self, image: Tensor) -> Tensor:
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        maps[-ATTENDED:] = self.transformer(maps[-ATTENDED:])
        *skips, map_BCs = maps
        skips = [keep(skip) for keep, skip in zip(self.encoder, skips, strict=True)]
        map_BCs = self.bottleneck(map_BCs)
        for level in reversed(range(SIDES)):
            map_BCs = self.decoder[level](self.up[level](map_BCs) + skips[level])
            self.sides[level](map_BCs)  # for taps
        coarse_BKs: Tensor = self.head(map_BCs)
        return nn.functional.interpolate(
            coarse_BKs, scale_factor=self.first_stride, mode="trilinear", align_corners=False
        )


class StandardisedConvolution(nn.Conv3d):
    """A convolution whose weights have mean 0 and deviation 1 per output channel, whatever is learned."""

    def forward(self, map_BCs: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, (1, 2, 3, 4), keepdim=True)
        standard = (self.weight - mean) / (variance + 1e-12).sqrt()
        convolved: Tensor = self._conv_forward(map_BCs, standard, self.bias)
        return convolved


class Block(nn.Module):
    """leaky ReLU(norm(convolution x) + shortcut x); the shortcut is x, or its strided 1x1x1 convolution."""

    def __init__(self, convolution: type[nn.Conv3d], before: int, after: int, stride: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            convolution(before, after, 3, stride, 1, bias=False), nn.InstanceNorm3d(after, affine=True)
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(convolution(before, after, 1, stride, bias=False))
            self.shortcut.append(nn.InstanceNorm3d(after, affine=True))

    def forward(self, map_BCs: Tensor) -> Tensor:
        return nn.functional.leaky_relu(self.change(map_BCs) + self.shortcut(map_BCs), SLOPE)


class Double(nn.Module):
    """x + (convolution, norm, leaky ReLU) twice."""

    def __init__(self, convolution: type[nn.Conv3d], channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *(
                layer
                for _ in range(2)
                for layer in (
                    convolution(channels, channels, 3, padding=1, bias=False),
                    *_norm_and_activation(channels),
                )
            )
        )

    def forward(self, map_BCs: Tensor) -> Tensor:
        changed: Tensor = map_BCs + self.change(map_BCs)
        return changed


class DeformableTransformer(nn.Module):
    """Maps [B C *s] -> maps of the same shapes; a voxel of one is a token, and looks at all maps."""

    def __init__(
        self,
        hidden: int,
        mlp: int,
        layers: int,
        heads: int,
        points: int,
        dropout: float,
        sampling: Sampling,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(hidden, mlp, DeformableAttention(hidden, heads, ATTENDED, points, sampling), dropout)
            for _ in range(layers)
        )
        self.level = nn.Parameter(torch.empty(ATTENDED, hidden))
        nn.init.normal_(self.level)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        sizes = [tuple(map_BCs.shape[2:]) for map_BCs in maps]
        tokens_BNC = torch.cat([map_BCs.flatten(2).transpose(1, 2) for map_BCs in maps], 1)
        position_NC = torch.cat(
            [
                sine_position(size, self.level) + level_C
                for size, level_C in zip(sizes, self.level, strict=True)
            ]
        )
        for layer in self.layers:
            tokens_BNC = layer(tokens_BNC, position_NC[None], sizes)
        parts = torch.split(tokens_BNC, [math.prod(size) for size in sizes], 1)
        return [
            part_BnC.transpose(1, 2).reshape(map_BCs.shape)
            for part_BnC, map_BCs in zip(parts, maps, strict=True)
        ]


class Layer(nn.Module):
    """x = norm(x + attention x), then x = norm(x + MLP x); [B N C] -> [B N C]."""

    def __init__(self, hidden: int, mlp: int, attention: DeformableAttention, dropout: float) -> None:
        super().__init__()
        self.attention, self.drop = attention, nn.Dropout(dropout)
        self.attention_norm = nn.LayerNorm(hidden)
        wide, narrow = nn.Linear(hidden, mlp), nn.Linear(mlp, hidden)
        self.mlp = nn.Sequential(wide, nn.GELU(), nn.Dropout(dropout), narrow, nn.Dropout(dropout))
        self.mlp_norm = nn.LayerNorm(hidden)
        for linear in (wide, narrow):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, tokens_BNC: Tensor, position_1NC: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
        x = self.attention_norm(tokens_BNC + self.drop(self.attention(tokens_BNC, position_1NC, sizes)))
        changed: Tensor = self.mlp_norm(x + self.mlp(x))
        return changed


def sine_position(size: Sequence[int], like: Tensor) -> Tensor:
    """Position embeddings of a map's voxels as they are listed, of as many channels as `like` has; [s C]."""
    n = like.shape[-1] // 3
    k = torch.arange(n, dtype=like.dtype, device=like.device)
    period_n = 10_000 ** (3 * (k // 3) / n)
    axes = []
    for axis, voxels in enumerate(size):
        centre_s = (torch.arange(voxels, dtype=like.dtype, device=like.device) + 0.5) / (voxels + 1e-6)
        angle_sn = 2 * math.pi * centre_s[:, None] / period_n
        wave_sn = torch.where(k % 2 == 0, angle_sn.sin(), angle_sn.cos())
        shape = [1, 1, 1, n]
        shape[axis] = voxels
        axes.append(wave_sn.reshape(shape).expand(*size, n))
    return torch.cat(axes, 3).flatten(0, 2)


@feature_modules.register(CoTr)
def _(network: CoTr) -> dict[str, FeaturePoint]:
    sides = {f"side.{level + 1}": FeaturePoint(f"sides.{level}") for level in range(SIDES)}
    return u_shaped(SIDES) | sides


def _norm_and_activation(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm3d(channels, affine=True), nn.LeakyReLU(SLOPE)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
