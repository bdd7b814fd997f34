"""From the map that all slices share back to the slices of one group: attention over channels, and rivals.

Slice-sensitive attention (SSA) of thickened 2D networks. U [C h w] is the decoder's map, O_g that of group g
before the groups were fused; a channel is a vector of N pixels after pooling to 32x32:

    Q = φ(pool O_g),  K = θ(pool U),  V = g(U)          φ, θ, g, out: 1x1 convolutions
    A[p, q] = softmax_q(Q_p · K_q / √N)                 which of U's channels speak of group g
    Z_g = U + SN(out(A V))                              SN: switchable norm, of the groups together

Only the attention sees pooled maps; V keeps its resolution. `query="fused"` asks the other way round, Q from
U and K, V from O_g: the recipes take that. `normalize`: "softmax_scaled" as above; "softmax" without √N,
which at N = 1024 is nearly one-hot; "dot", Q_p · K_q / C. The paper does not say how the parts are wired.
`variance` is the switchable norm's.

As out is linear, out(A V) is computed as (out A) V: one large product for each group and not two.

Its rivals, to ablate:    concat   Z_g = conv1x1 [U, proj O_g]        dot   Z_g = U ⊙ proj O_g
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .switchable_norm import SwitchableNorm, Variance

POOLED = 32  # pixels per axis; a smaller map stays as it is


class SliceAttention(nn.Module):
    """U [B C *s] and the groups' maps [B G C' *s] -> Z [B G C *s]."""

    def __init__(
        self,
        channels: int,
        group_channels: int,
        query: str,
        normalize: str,
        variance: Variance = "population",
    ) -> None:
        super().__init__()
        self.group_asks, self.normalize = query == "group", normalize
        asks, answers = (group_channels, channels) if self.group_asks else (channels, group_channels)
        self.query = nn.Conv2d(asks, channels, 1)
        self.key = nn.Conv2d(answers, channels, 1)
        self.value = nn.Conv2d(answers, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = SwitchableNorm(channels, variance)

    def forward(self, fused_BCs: Tensor, groups_BGCs: Tensor) -> Tensor:
        fused_B1Cs = fused_BCs[:, None]
        asks, answers = (groups_BGCs, fused_B1Cs) if self.group_asks else (fused_B1Cs, groups_BGCs)
        attention_BGCC = self.attention(asks, answers)
        value_BGCN = _each(self.value, answers).flatten(3)
        mixing_BGCC = self.out.weight.flatten(1) @ attention_BGCC
        if self.group_asks:  # one V for all groups: their mixings, one below the other, are one product
            mixed = mixing_BGCC.flatten(1, 2) @ value_BGCN[:, 0]
        else:
            mixed = mixing_BGCC @ value_BGCN
        mixed_BGCs = mixed.reshape(*groups_BGCs.shape[:2], *fused_BCs.shape[1:])
        normalised_BCGs: Tensor = self.norm(mixed_BGCs.transpose(1, 2))
        return fused_B1Cs + normalised_BCGs.transpose(1, 2)

    def attention(self, asks_BGCs: Tensor, answers_BGCs: Tensor) -> Tensor:
        """A [B G C C]: row p weighs the channels of V that output channel p is made of."""
        query_BGCN = _each(self.query, _pooled(asks_BGCs)).flatten(3)
        key_BGCN = _each(self.key, _pooled(answers_BGCs)).flatten(3)
        channels, pixels = key_BGCN.shape[2:]
        if self.normalize == "softmax_scaled":
            query_BGCN = query_BGCN / query_BGCN.new_full((), pixels).sqrt()
        product_BGCC = query_BGCN @ key_BGCN.transpose(2, 3)
        return product_BGCC / channels if self.normalize == "dot" else product_BGCC.softmax(-1)


class Concatenation(nn.Module):
    """U [B C *s] and the groups' maps [B G C' *s] -> conv1x1(U ; proj O_g) [B G C *s]."""

    def __init__(self, channels: int, group_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(group_channels, channels, 1)
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, fused_BCs: Tensor, groups_BGCs: Tensor) -> Tensor:
        projected_BGCs = _each(self.project, groups_BGCs)
        both = torch.cat([fused_BCs[:, None].expand_as(projected_BGCs), projected_BGCs], 2)
        return _each(self.merge, both)


class Product(nn.Module):
    """U [B C *s] and the groups' maps [B G C' *s] -> U ⊙ proj O_g [B G C *s]."""

    def __init__(self, channels: int, group_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(group_channels, channels, 1)

    def forward(self, fused_BCs: Tensor, groups_BGCs: Tensor) -> Tensor:
        return fused_BCs[:, None] * _each(self.project, groups_BGCs)


def _each(convolution: nn.Module, maps_BGCs: Tensor) -> Tensor:
    """The convolution of every group's map."""
    out: Tensor = convolution(maps_BGCs.flatten(0, 1))
    return out.reshape(*maps_BGCs.shape[:2], *out.shape[1:])


def _pooled(maps_BGCs: Tensor) -> Tensor:
    if torch.compiler.is_exporting():  # exported networks take maps of any size, adaptive pooling does not
        return _means(maps_BGCs.shape[3]) @ maps_BGCs @ _means(maps_BGCs.shape[4]).T
    rows, columns = (min(POOLED, pixels) for pixels in maps_BGCs.shape[3:])
    pooled = nn.functional.adaptive_avg_pool2d(maps_BGCs.flatten(0, 1), (rows, columns))
    return pooled.reshape(*maps_BGCs.shape[:3], rows, columns)


def _means(pixels: int) -> Tensor:
    """Adaptive average pooling along one axis as a matrix [pooled pixels]."""
    pooled: int = torch.sym_min(POOLED, pixels)  # type: ignore[no-untyped-call]  # min() would be a constant
    row, pixel = torch.arange(pooled)[:, None], torch.arange(pixels)
    first = row * pixels // pooled
    behind = ((row + 1) * pixels + pooled - 1) // pooled
    inside = ((pixel >= first) & (pixel < behind)).float()
    means: Tensor = inside / inside.sum(1, keepdim=True)
    return means
