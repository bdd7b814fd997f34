"""Diagonal Gaussians: the product of several experts with a standard normal, and the distance to that normal.

    N(μ, σ²)  ∝  N(0, 1) Π_m N(μ_m, σ_m²),     1/σ² = 1 + Σ_m 1/σ_m²,     μ = σ² Σ_m μ_m / σ_m²
    KL(N(μ, σ²) ‖ N(0, 1)) = ½ (σ² + μ² − 1 − log σ²)                                  of each element

Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", NeurIPS 2018, arXiv
1802.05335. Experts that are missing are left out of the product; without any, it is the standard normal.
Computed in float32 (float64 stays), also under autocast.

Axes: B cases, M experts, C channels, s space (any number of axes).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .segmentation import in_full_precision


def product_of_gaussians(
    mean_BMCs: Tensor, log_variance_BMCs: Tensor, present_BM: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and log σ² of the product, each [B C *s]; nothing of an expert that is not present reaches it."""
    mean_BMCs, log_variance_BMCs = in_full_precision(mean_BMCs), in_full_precision(log_variance_BMCs)
    present = present_BM.reshape(*present_BM.shape, *[1] * (mean_BMCs.ndim - 2))
    # What is missing is 0 with infinite variance, before any arithmetic: not even a NaN there has a gradient.
    mean_BMCs = torch.where(present, mean_BMCs, 0.0)
    precision_BMCs = torch.exp(-torch.where(present, log_variance_BMCs, torch.inf))
    precision_BCs = 1 + precision_BMCs.sum(1)
    return (mean_BMCs * precision_BMCs).sum(1) / precision_BCs, -precision_BCs.log()


def divergence_from_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)), averaged over all elements; []."""
    mean, log_variance = in_full_precision(mean), in_full_precision(log_variance)
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
