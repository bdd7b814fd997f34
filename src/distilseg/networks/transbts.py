"""TransBTS: a U-Net with a transformer at its bottleneck.

Wang et al., "TransBTS: Multimodal Brain Tumor Segmentation Using Transformer", MICCAI 2021, arXiv 2103.04430;
a rival of dual self-distillation on brain tumours, and the skeleton of `missu.py`. F0 ... F3 are the filters:

    encoder     convolution, dropout of maps 0.2, then 1, 2, 2, 4 blocks of F0 ... F3 channels, with
                convolutions of stride 2 between; block: x + (group norm, ReLU, convolution) twice
    bottleneck  batch norm, ReLU, convolution to `hidden`; voxels become tokens, a learned position each;
                transformer layers; two pairs of (convolution, batch norm, ReLU) back to F3 channels
    decoder     1x1x1 convolution, transposed convolution, concatenation of the skip, 1x1x1 convolution, then
                x + (convolution, batch norm, ReLU) twice
    head        1x1x1 convolution

The paper prints 32.99 million parameters, for four modalities and classes of 128 voxels an axis; and 15.14
for a light one, with half of `mlp` and one of `layers`. Both count what the authors' code builds and does not
use: a linear layer that is never run (262,656 parameters) and a last layer norm whose result is thrown away
(1,024). `unused_layers` keeps them, for the published 32,987,588; without them there are 32,723,908.

Where it differs from the authors' code:

- The dropout after the first convolution stays on at inference there, by mistake, so that two answers to one
  scan differ. Here it does not, unless `first_dropout="always"`; `export` refuses that, as no artefact can
  give what the run gave.
- Dropout of the attention's result is drawn twice in a row there, here once. This changes training alone.
- The network ends in a softmax there, here in logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from monai.networks.blocks.mlp import MLPBlock
from torch import Tensor, nn

from ..errors import UserError, unknown
from .axes import batch_norm_of, convolution_of, transposed_convolution_of
from .features import FeaturePoint, feature_modules, u_shaped
from .patch import check_patch

BLOCKS = (1, 2, 2, 4)  # of the encoder, per level
SHRINKS_BY = 2 ** (len(BLOCKS) - 1)
GROUPS = 8  # of the group norm, or fewer where they do not divide the channels
FirstDropout = Literal["training", "always"]


def transbts(
    in_channels: int,
    classes: int,
    patch: Sequence[int],
    *,
    filters: Sequence[int] = (16, 32, 64, 128),
    hidden: int = 512,
    mlp: int = 4096,
    layers: int = 4,
    heads: int = 8,
    dropout: float = 0.1,
    unused_layers: bool = True,
    first_dropout: Literal["training", "always"] = "training",
) -> nn.Module:
    """A transformer at a U-Net's bottleneck (Wang et al. 2021); the paper: 32.99 million parameters.

    That is of 4 modalities and classes in patches of 128x128x128, with the authors' `unused_layers`, whose
    parameters nothing executes; without them 32.72 million.
    """
    if first_dropout not in ("training", "always"):
        raise unknown("first_dropout of transbts", first_dropout, ("training", "always"))
    transformer = checked_transformer("transbts", patch, filters, hidden, mlp, layers, heads, dropout)
    return TransBTS(
        in_channels,
        classes,
        len(patch),
        filters,
        transformer,
        lambda channels, axes: nn.Identity(),
        unused_layers=unused_layers,
        first_dropout=first_dropout,
    )


def transbts_divisor(patch: Sequence[int], **others: object) -> tuple[int, ...]:
    return (SHRINKS_BY,) * len(patch)


def checked_transformer(
    network: str,
    patch: Sequence[int],
    filters: Sequence[int],
    hidden: int,
    mlp: int,
    layers: int,
    heads: int,
    dropout: float,
) -> Transformer:
    """The bottleneck of `network`; UserError where sizes do not fit together or to the patch."""
    if len(filters) != len(BLOCKS):
        raise UserError(f"{network}: {len(filters)} filter counts", f"give {len(BLOCKS)}, one per level")
    if min(hidden, mlp, layers, heads) < 1 or hidden % heads:
        raise UserError(
            f"{network}: {layers} layers, {heads} heads, hidden {hidden} and mlp {mlp}",
            "give at least 1 each, and heads that divide hidden",
        )
    check_patch(network, patch, transbts_divisor(patch))
    return Transformer(patch, hidden, mlp, layers, heads, dropout)


class TransBTS(nn.Module):
    """[B M *S] -> logits [B K *S]; S is fixed to the transformer's, because its positions are."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        axes: int,
        filters: Sequence[int],
        transformer: Transformer,
        skip: Callable[[int, int], nn.Module],
        *,
        unused_layers: bool = False,
        first_dropout: FirstDropout = "training",
    ) -> None:
        """`skip`: of channels and axes, what an encoder's map passes through on its way to the decoder."""
        super().__init__()
        convolution = convolution_of(axes)
        drop = MapDropout(0.2, always=first_dropout == "always")
        first = nn.Sequential(convolution(in_channels, filters[0], 3, padding=1), drop)
        self.down = nn.ModuleList(
            [first, *(convolution(fine, coarse, 3, 2, 1) for fine, coarse in pairwise(filters))]
        )
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Residual(_before(width, axes)) for _ in range(blocks)))
            for width, blocks in zip(filters, BLOCKS, strict=True)
        )
        self.fusion = nn.ModuleList(skip(width, axes) for width in filters[:-1])
        coarsest, hidden = filters[-1], transformer.hidden
        self.embed = nn.Sequential(
            batch_norm_of(axes)(coarsest), nn.ReLU(), convolution(coarsest, hidden, 3, padding=1)
        )
        self.transformer = transformer
        self.project = nn.Sequential(
            _after(hidden, coarsest, axes), Residual(_after(coarsest, coarsest, axes))
        )
        self.up = nn.ModuleList(Up(fine, coarse, axes) for fine, coarse in pairwise(filters))
        self.head = convolution(filters[0], classes, 1)
        self.unused = (
            nn.ModuleList([nn.Linear(coarsest * in_channels, hidden), nn.LayerNorm(hidden)])
            if unused_layers
            else None
        )

    def forward(self, image: Tensor) -> Tensor:
        map_BCs, skips = image, []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            map_BCs = blocks(down(map_BCs))
            skips.append(map_BCs)
        map_BCs = self.project(self.transformer(self.embed(skips.pop())))
        skips = [fusion(skip) for fusion, skip in zip(self.fusion, skips, strict=True)]
        for level in reversed(range(len(skips))):
            map_BCs = self.up[level](map_BCs, skips[level])
        logits: Tensor = self.head(map_BCs)
        return logits


class MapDropout(nn.Module):
    """Sets whole channels to 0, in training or always."""

    def __init__(self, share: float, *, always: bool) -> None:
        super().__init__()
        self.share, self.always = share, always

    def forward(self, map_BCs: Tensor) -> Tensor:
        drop = nn.functional.dropout3d if map_BCs.ndim == 5 else nn.functional.dropout2d
        return drop(map_BCs, self.share, self.training or self.always)


class Transformer(nn.Module):
    """[B C *s] -> [B C *s]: each voxel a token with a learned position, then pre-norm layers."""

    def __init__(
        self, patch: Sequence[int], hidden: int, mlp: int, layers: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden = hidden
        tokens = math.prod(size // SHRINKS_BY for size in patch)
        self.position = nn.Parameter(torch.zeros(1, tokens, hidden))
        self.drop = nn.Dropout(dropout)
        parts = (
            part
            for _ in range(layers)
            for part in (
                Attention(hidden, heads, dropout),
                MLPBlock(hidden, mlp, dropout),
            )
        )
        self.layers = nn.Sequential(*(Residual(nn.Sequential(nn.LayerNorm(hidden), part)) for part in parts))

    def forward(self, map_BCs: Tensor) -> Tensor:
        tokens_BNC = map_BCs.flatten(2).transpose(1, 2)
        tokens_BNC = self.layers(self.drop(tokens_BNC + self.position))
        mixed: Tensor = tokens_BNC.transpose(1, 2).reshape(map_BCs.shape)
        return mixed


class Attention(nn.Module):
    """Every token looks at all others; [B N C] -> [B N C]. MONAI's fused one has dropout at inference too."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(hidden, 3 * hidden, bias=False)
        self.project, self.drop = nn.Linear(hidden, hidden), nn.Dropout(dropout)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        triple = self.query_key_value(tokens_BNC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = triple
        seen = nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0
        )
        projected: Tensor = self.drop(self.project(seen.transpose(1, 2).flatten(2)))
        return projected


class Up(nn.Module):
    """([B coarse *s], skip [B fine *2s]) -> [B fine *2s]."""

    def __init__(self, fine: int, coarse: int, axes: int) -> None:
        super().__init__()
        convolution, transposed = convolution_of(axes), transposed_convolution_of(axes)
        self.grow = nn.Sequential(convolution(coarse, fine, 1), transposed(fine, fine, 2, 2))
        self.merge = nn.Sequential(convolution(2 * fine, fine, 1), Residual(_after(fine, fine, axes)))

    def forward(self, map_BCs: Tensor, skip: Tensor) -> Tensor:
        merged: Tensor = self.merge(torch.cat([skip, self.grow(map_BCs)], 1))
        return merged


class Residual(nn.Module):
    """x + change(x)."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.change(x)
        return changed


@feature_modules.register(TransBTS)
def _(network: TransBTS) -> dict[str, FeaturePoint]:
    return u_shaped(len(network.up), encoder="fusion", bottleneck="transformer", decoder="up")


def _before(channels: int, axes: int) -> nn.Sequential:
    """(Group norm, ReLU, convolution) twice."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [
            nn.GroupNorm(math.gcd(GROUPS, channels), channels),
            nn.ReLU(),
            convolution_of(axes)(channels, channels, 3, padding=1),
        ]
    return nn.Sequential(*layers)


def _after(before: int, after: int, axes: int) -> nn.Sequential:
    """(Convolution, batch norm, ReLU) twice."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [convolution_of(axes)(channels, after, 3, padding=1), batch_norm_of(axes)(after), nn.ReLU()]
    return nn.Sequential(*layers)
