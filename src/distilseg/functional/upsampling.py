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
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


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


def doubled(map_BCN: Tensor, weight_CKk: Tensor, bias_K: Tensor, times: int = 1) -> Tensor:
    """A transposed convolution, kernel 2 and stride 2, in nested order: [B C N] to [B K N·2^axes].

    The weight has the layout of `torch.nn.ConvTransposeNd`, [C K 2 …]. With a kernel of 1 the size stays.
    Where C is K it may be applied several `times`.
    """
    with torch.autocast(map_BCN.device.type, enabled=False):
        parameters = (weight_CKk.to(map_BCN.dtype), bias_K.to(map_BCN.dtype))
        raised: Tensor = _Doubled.apply(times, map_BCN, *parameters)  # type: ignore[no-untyped-call]
    return raised


class _Doubled(torch.autograd.Function):
    """All doublings as one node: of each only its input is kept, and the weight's gradients are summed here.

    out[b, k, a, n] = Σ_c weight[c, k, a] in[b, c, n] + bias[k]
    """

    @staticmethod
    def forward(ctx: Any, times: int, map_BCN: Tensor, weight_CKk: Tensor, bias_K: Tensor) -> Tensor:
        B, K, offsets = len(map_BCN), weight_CKk.shape[1], math.prod(weight_CKk.shape[2:])
        rows = weight_CKk.flatten(1).t().expand(B, -1, -1)
        bias = bias_K.repeat_interleave(offsets)[:, None]
        inputs = []
        for _ in range(times):
            inputs.append(map_BCN)
            map_BCN = bias.baddbmm(rows, map_BCN).view(B, K, -1)
        ctx.save_for_backward(weight_CKk, *inputs)
        return map_BCN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_map: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        weight_CKk, *inputs = ctx.saved_tensors
        columns = weight_CKk.flatten(1)
        of_columns, of_bias = torch.zeros_like(columns), columns.new_zeros(columns.shape[1])
        for map_BCN in reversed(inputs):
            of_blocks = of_map.reshape(len(map_BCN), columns.shape[1], -1)
            of_columns += map_BCN.bmm(of_blocks.mT).sum(0)
            of_bias += of_blocks.sum((0, 2))
            of_map = columns.expand(len(map_BCN), -1, -1).bmm(of_blocks)
        of_bias = of_bias.view(weight_CKk.shape[1], -1).sum(1)
        return None, of_map, of_columns.view_as(weight_CKk), of_bias
