"""Switchable normalisation: learned mixtures of the statistics that instance, layer and batch norm use.

Luo et al., "Differentiable Learning-to-Normalize via Switchable Normalization", ICLR 2019, arXiv 1806.10779.
For a map x[b, c, s], with the means and variances of each (b, c), of each b and of each c:

    y = γ_c (x − μ) / √(σ² + ε) + β_c
    μ  = w_in μ_in + w_ln μ_ln + w_bn μ_bn          w  = softmax of three learned numbers
    σ² = v_in σ²_in + v_ln σ²_ln + v_bn σ²_bn       v  = softmax of three others

In evaluation mode the batch norm's part are running averages, as in batch norm: after each training step
average = 0.9 average + 0.1 statistic. `variance` is σ²_in, of which the others are made: the "population"'s,
divided by the number of elements, is the paper's; the "sample"'s, divided by one less, is that of the
authors' code (github.com/switchablenorms/Switchable-Normalization), whose running variance begins at 0 and
not at 1.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import unknown
from ..functional.segmentation import in_full_precision

EPS = 1e-5
KEPT = 0.9  # of a running average, at each training step
Variance = Literal["population", "sample"]
VARIANCES = ("population", "sample")


class SwitchableNorm(nn.Module):
    """[B C *s] -> [B C *s], in any number of dimensions."""

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, variance: Variance = "population") -> None:
        super().__init__()
        if variance not in VARIANCES:
            raise unknown("variance of a switchable norm", variance, VARIANCES)
        self.of_sample = variance == "sample"
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean_mixture = nn.Parameter(torch.ones(3))
        self.variance_mixture = nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.full((channels,), 0.0 if self.of_sample else 1.0))

    def forward(self, map_BCs: Tensor) -> Tensor:
        exact_BCs = in_full_precision(map_BCs)
        space = tuple(range(2, map_BCs.ndim))
        variance_BC, mean_BC = torch.var_mean(exact_BCs, space, correction=int(self.of_sample))
        of_layer, of_batch = _pooled(mean_BC, variance_BC, 1), _pooled(mean_BC, variance_BC, 0)
        if self.training:
            self._remember(of_batch[0][0].detach(), of_batch[1][0].detach())
        else:
            of_batch = self.running_mean[None], self.running_variance[None]
        w, v = self.mean_mixture.softmax(0), self.variance_mixture.softmax(0)
        mean_BC = w[0] * mean_BC + w[1] * of_layer[0] + w[2] * of_batch[0]
        variance_BC = v[0] * variance_BC + v[1] * of_layer[1] + v[2] * of_batch[1]
        scale_BC = self.weight * (variance_BC + EPS).rsqrt()
        shift_BC = self.bias - mean_BC * scale_BC
        wide = (...,) + (None,) * len(space)
        return (exact_BCs * scale_BC[wide] + shift_BC[wide]).to(map_BCs.dtype)

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, variance_C: Tensor) -> None:
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), 1 - KEPT)
        self.running_variance.lerp_(variance_C.to(self.running_variance.dtype), 1 - KEPT)


def _pooled(mean_BC: Tensor, variance_BC: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of all elements along `axis` too: the mean of variances and the variance of means."""
    spread, mean = torch.var_mean(mean_BC, axis, correction=0, keepdim=True)
    return mean, variance_BC.mean(axis, keepdim=True) + spread
