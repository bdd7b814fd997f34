"""Raising coarse maps of few channels to the full grid, as matrix products without rearranging voxels.

A transposed convolution whose kernel is its stride never overlaps itself: each coarse voxel becomes a block
of its own, by one matrix product. Placing the blocks on the grid would cost more than the product, and losses
that average over voxels need no grid, only one order of voxels for all maps. So maps are kept in *nested
order*: with n doublings from the coarsest grid *s0 to the full grid, and along each axis

    full index = 2ⁿ s0 + 2ⁿ⁻¹ a₁ + … + 2 aₙ₋₁ + aₙ,        a in {0, 1},

the voxels are listed by (aₙ, …, a₁, s0), each a tuple over the axes. A doubling only prepends its offsets.

Axes: B cases, C channels, K classes, *s *S space, N voxels in nested order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def pointwise(features_BCs: Tensor, weight_KC: Tensor, bias_K: Tensor) -> Tensor:
    """A convolution with kernel 1: [B C *s] to [B K *s]. The weight may carry trailing axes of one."""
    weight_KC = weight_KC.flatten(1)
    mixed_BKs = bias_K[:, None].baddbmm(weight_KC.expand(len(features_BCs), -1, -1), features_BCs.flatten(2))
    return mixed_BKs.view(*mixed_BKs.shape[:2], *features_BCs.shape[2:])


class NestedOrder(nn.Module):
    """[B K *`space`] to [B K N], the voxels in nested order over `doublings`, which `space` must allow.

    Nothing is learned or saved; the order is computed once and follows the module to its device.
    """

    order_N: Tensor | None

    def __init__(self, space: Sequence[int], doublings: int) -> None:
        super().__init__()
        # Axis i is split into (s0, a₁ … aₙ), that is 1 + n axes; listed are aₙ of every axis, …, a₁, s0.
        split = [size for S in space for size in (S >> doublings, *(2,) * doublings)]
        listed = [
            (1 + doublings) * i + level for level in range(doublings, -1, -1) for i in range(len(space))
        ]
        order_N = torch.arange(math.prod(space)).view(split).permute(listed).flatten() if doublings else None
        self.register_buffer("order_N", order_N, persistent=False)

    def forward(self, map_BKS: Tensor) -> Tensor:
        map_BKN, order_N = map_BKS.flatten(2), self.order_N
        # Many short axes make a permuted copy slow; gathering by index is ten times faster.
        return map_BKN if order_N is None else map_BKN.gather(2, order_N.expand(map_BKN.shape))


def doubled(map_BCN: Tensor, weight_CKk: Tensor, bias_K: Tensor) -> Tensor:
    """A transposed convolution, kernel 2 and stride 2, in nested order: [B C N] to [B K N·2^axes].

    The weight has the layout of `torch.nn.ConvTransposeNd`, [C K 2 …]. With a kernel of 1 the size stays.
    """
    # out[b, k, a, n] = Σ_c weight[c, k, a] in[b, c, n] + bias[k]
    K, offsets = weight_CKk.shape[1], math.prod(weight_CKk.shape[2:])
    rows = weight_CKk.flatten(1).t().expand(len(map_BCN), -1, -1)
    blocks = bias_K.repeat_interleave(offsets)[:, None].baddbmm(rows, map_BCN)
    return blocks.view(len(map_BCN), K, -1)
