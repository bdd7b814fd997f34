"""H-DenseFormer: a convolutional U-Net, and beside it one densely connected transformer per modality.

Shi et al., "H-DenseFormer: An Efficient Hybrid Densely Connected Transformer for Multimodal Tumor
Segmentation", MICCAI 2023. The first of Teach-Former's teachers, and with fewer filters the first of its
students. n filters, M modalities:

    transformer m   tokens of 16 voxels per axis, 4n channels, a learned position table; N/4 dense blocks
    dense block     four layers, each of which sees the block's input and what the layers before it stored;
                    all of it, through 64 channels, is the next block's input
    fusion          the modalities' maps, concatenated, become 8n channels at stride 8, ... n at stride 1
    encoder         two 3x3x3 convolutions per level, max-pooling between levels; then the map of the fusion
                    is added
    decoder         transposed convolution, concatenation of the skip, two convolutions
    heads           1x1x1, at every level: the finest gives the logits, the others are `side.1` ... for deep
                    supervision

Each of a dense block's layers, on what it sees, projected to 32 channels:

    x = x + attention(norm x);    x = x + MLP(norm x);    it stores MLP(norm x), by the same weights once more

`bottleneck` is the concatenation of the transformers' maps, the coarsest map that the network holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..errors import UserError
from .axes import convolution_of, instance_norm_of, transposed_convolution_of
from .features import FeaturePoint, feature_modules
from .patch import check_patch, times

TOKEN = 16  # voxels per axis
GROWTH, LAYERS, HEADS = 32, 4, 8  # of a dense block
LEVELS = 4


def h_denseformer(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: int = 32,
    depth: int = 24,
    dropout: float = 0.5,
) -> nn.Module:
    """A U-Net with a densely connected transformer per modality (Shi et al. 2023); Teach-Former's teacher.

    `depth` counts the transformers' layers, four to a block; `dropout` is theirs.
    """
    check_patch("h_denseformer", patch, h_denseformer_divisor(patch))
    if filters < 1 or depth < LAYERS or depth % LAYERS:
        raise UserError(
            f"h_denseformer: {filters} filters and a depth of {depth}",
            f"give at least one filter, and a depth that is a multiple of {LAYERS}",
        )
    return HDenseFormer(in_channels, classes, tuple(patch), filters, depth // LAYERS, dropout)


def h_denseformer_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return (TOKEN,) * len(patch)


def h_denseformer_light(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: int = 8,
    depth: int = 24,
    dropout: float = 0.5,
) -> nn.Module:
    """H-DenseFormer with a quarter of the filters: Teach-Former's first student."""
    return h_denseformer(in_channels, classes, patch, filters=filters, depth=depth, dropout=dropout)


def h_denseformer_light_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return h_denseformer_divisor(patch)


class HDenseFormer(nn.Module):
    """[B M *S] -> logits [B K *S]; S is fixed to `patch`, because the position tables are."""

    def __init__(
        self,
        modalities: int,
        classes: int,
        patch: tuple[int, ...],
        filters: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        axes, self.patch = len(patch), patch
        widths = [filters << level for level in range(LEVELS)]
        self.transformers = nn.ModuleList(
            DenseTransformer(4 * filters, patch, blocks, dropout) for _ in range(modalities)
        )
        self.coarse = nn.Identity()  # where a tap finds the transformers' maps
        self.fusion = nn.ModuleList(
            Fuse(before, after, axes)
            for before, after in pairwise([4 * filters * modalities, *reversed(widths)])
        )
        self.convolutions = nn.ModuleList(
            _double(before, after, axes) for before, after in pairwise([modalities, *widths])
        )
        self.pool = (nn.MaxPool2d if axes == 2 else nn.MaxPool3d)(2)
        self.encoder = nn.ModuleList(nn.Identity() for _ in widths)  # where a tap finds the levels' sums
        self.up = nn.ModuleList(_double_size(2 * width, width, axes) for width in widths[:-1])
        self.decoder = nn.ModuleList(_double(2 * width, width, axes) for width in widths[:-1])
        self.heads = nn.ModuleList(convolution_of(axes)(width, classes, 1) for width in widths)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2:] != self.patch:
            raise ValueError(
                f"h_denseformer takes patches of {times(self.patch)} voxels,"
                f" here are {times(image.shape[2:])}"
            )
        tokens = [transformer(image[:, m : m + 1]) for m, transformer in enumerate(self.transformers)]
        fused = [self.coarse(torch.cat(tokens, 1))]
        for fuse in self.fusion:
            fused.append(fuse(fused[-1]))
        skips, map_BCs = [], image
        for level, level_map_BCs in enumerate(reversed(fused[1:])):
            finer = map_BCs if level == 0 else self.pool(map_BCs)
            map_BCs = self.encoder[level](self.convolutions[level](finer) + level_map_BCs)
            skips.append(map_BCs)
        answers = [self.heads[-1](map_BCs)]
        for level in reversed(range(LEVELS - 1)):
            map_BCs = self.decoder[level](torch.cat([self.up[level](map_BCs), skips[level]], 1))
            answers.append(self.heads[level](map_BCs))
        logits: Tensor = answers[-1]
        return logits


class Fuse(nn.Module):
    """A convolution, then twice the size: [B C *s] -> [B C' *2s]."""

    def __init__(self, before: int, after: int, axes: int) -> None:
        super().__init__()
        self.convolution = convolution_of(axes)(before, after, 3, padding=1)
        self.norm = instance_norm_of(axes)(after)
        self.mode = "bilinear" if axes == 2 else "trilinear"

    def forward(self, map_BCs: Tensor) -> Tensor:
        map_BCs = nn.functional.relu(self.norm(self.convolution(map_BCs)))
        return nn.functional.interpolate(map_BCs, scale_factor=2, mode=self.mode, align_corners=False)


class DenseTransformer(nn.Module):
    """One modality [B 1 *S] -> [B C *S/16]."""

    def __init__(self, channels: int, patch: tuple[int, ...], blocks: int, dropout: float) -> None:
        super().__init__()
        tokens = 1
        for size in patch:
            tokens *= size // TOKEN
        self.embed = convolution_of(len(patch))(1, channels, TOKEN, TOKEN)
        self.position = nn.Parameter(torch.zeros(1, tokens, channels))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(DenseBlock(channels, dropout) for _ in range(blocks)))

    def forward(self, image: Tensor) -> Tensor:
        map_BCs: Tensor = self.embed(image)
        tokens_BNC = map_BCs.flatten(2).transpose(1, 2) + self.position
        tokens_BNC = self.blocks(self.dropout(tokens_BNC))
        map_BCs = tokens_BNC.transpose(1, 2).reshape(map_BCs.shape)
        return map_BCs


class DenseBlock(nn.Module):
    """[B N C] -> [B N C]; no residual around it."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(channels + GROWTH * i, dropout) for i in range(LAYERS))
        self.out = _mlp(channels + GROWTH * LAYERS, 64, channels, dropout)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        seen = [tokens_BNC]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 2)))
        out: Tensor = self.out(torch.cat(seen, 2))
        return out


class DenseLayer(nn.Module):
    """What it sees [B N C] -> what it stores [B N 32]."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(channels, GROWTH)
        self.attention_norm = nn.LayerNorm(GROWTH)
        self.attention = SelfAttention(GROWTH, HEADS, dropout)
        self.mlp_norm = nn.LayerNorm(GROWTH)
        self.mlp = _mlp(GROWTH, 2 * GROWTH, GROWTH, dropout)

    def forward(self, seen_BNC: Tensor) -> Tensor:
        x = self.project(seen_BNC)
        x = x + self.attention(self.attention_norm(x))
        x = x + self.mlp(self.mlp_norm(x))
        stored: Tensor = self.mlp(self.mlp_norm(x))
        return stored


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V per head, [B N C] -> [B N C]; the softmax and both products are one operation."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(dropout))

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        batch, tokens, channels = tokens_BNC.shape
        qkv = self.to_qkv(tokens_BNC).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed_BHND = nn.functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed_BHND.transpose(1, 2).reshape(batch, tokens, channels))
        return out


@feature_modules.register(HDenseFormer)
def _(network: HDenseFormer) -> dict[str, FeaturePoint]:
    return {
        **{f"encoder.{level}": FeaturePoint(f"encoder.{level}") for level in range(LEVELS)},
        "bottleneck": FeaturePoint("coarse"),
        **{f"decoder.{level}": FeaturePoint(f"decoder.{level}") for level in reversed(range(LEVELS - 1))},
        **{f"side.{level}": FeaturePoint(f"heads.{level}") for level in range(1, LEVELS)},
    }


def _mlp(before: int, hidden: int, after: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(before, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, after),
        nn.Dropout(dropout),
    )


def _double(before: int, after: int, axes: int) -> nn.Sequential:
    """(Convolution, affine instance norm, ReLU) twice."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            convolution_of(axes)(channels, after, 3, padding=1, bias=False),
            instance_norm_of(axes)(after, affine=True),
        ]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)


def _double_size(before: int, after: int, axes: int) -> nn.Module:
    return transposed_convolution_of(axes)(before, after, 3, stride=2, padding=1, output_padding=1)
