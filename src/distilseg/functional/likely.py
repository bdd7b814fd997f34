"""Of many classes the log-probabilities of a few at each voxel, and the sum of every class's probabilities.

    q = softmax(z),     log q_i for the classes i that are asked for,     Q_g = Σ_s q_g

Losses against a teacher's likeliest classes need no more. Neither q nor its logarithm is ever held for all
voxels, nor for a gradient: blocks of voxels are made twice, in the forward and in the backward pass, small
enough to stay in a processor's cache.

    ∂L/∂z_g = [g among i] a_i + q_g (b_g − Σ_h q_h b_h − Σ_i a_i),      a = ∂L/∂ log q_i,   b = ∂L/∂Q

Axes: B cases, G classes, m of them asked for, S space (any number of axes).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .softmax import LN2

_BLOCK_VALUES = 2**18  # G x voxels of a block: 1 MB as float32


def likely_and_sums(z_BGS: Tensor, asked_BmS: Tensor) -> tuple[Tensor, Tensor]:
    """log q [B m *S] of the classes `asked_BmS` (int64), and Q [B G]."""
    found: tuple[Tensor, Tensor] = _LikelyAndSums.apply(z_BGS, asked_BmS)  # type: ignore[no-untyped-call]
    return found


class _LikelyAndSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z_BGS: Tensor, asked_BmS: Tensor) -> tuple[Tensor, Tensor]:
        z_BGN, asked_BmN = z_BGS.flatten(2), asked_BmS.flatten(2)
        total_BN = z_BGN.new_empty(z_BGN[:, 0].shape)  # log Σ_g exp z_g
        sums_BG = z_BGN.new_zeros(z_BGN.shape[:2])
        for b, block in _blocks(z_BGN):
            z_Gn = z_BGN[b, :, block]
            most_n = z_Gn.amax(0)
            e_Gn = (z_Gn - most_n).mul_(1 / LN2).exp2_()
            e_n = e_Gn.sum(0)
            sums_BG[b] += e_Gn @ e_n.reciprocal()
            total_BN[b, block] = most_n.add_(e_n.log_())
        ctx.save_for_backward(z_BGS, asked_BmS, total_BN)
        log_q_BmN = z_BGN.gather(1, asked_BmN).sub_(total_BN[:, None])
        return log_q_BmN.view(asked_BmS.shape), sums_BG

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, a_BmS: Tensor, b_BG: Tensor) -> tuple[Tensor, None]:
        z_BGS, asked_BmS, total_BN = ctx.saved_tensors
        z_BGN, asked_BmN, a_BmN = (one.flatten(2) for one in (z_BGS, asked_BmS, a_BmS))
        gradient_BGN = torch.empty_like(z_BGN)
        for b, block in _blocks(z_BGN):
            q_Gn = (z_BGN[b, :, block] - total_BN[b, block]).mul_(1 / LN2).exp2_()
            a_mn = a_BmN[b, :, block]
            less_n = b_BG[b] @ q_Gn + a_mn.sum(0)
            q_Gn.mul_(b_BG[b][:, None] - less_n).scatter_add_(0, asked_BmN[b, :, block], a_mn)
            gradient_BGN[b, :, block] = q_Gn
        return gradient_BGN.view(z_BGS.shape), None


def _blocks(z_BGN: Tensor) -> Iterator[tuple[int, slice]]:
    """Case by case; on a processor some voxels at a time."""
    B, G, N = z_BGN.shape
    step = max(1, _BLOCK_VALUES // G) if z_BGN.device.type == "cpu" else max(1, N)
    for b in range(B):
        for first in range(0, N, step):
            yield b, slice(first, first + step)
