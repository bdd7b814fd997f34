"""Soft labels and the Kullback-Leibler divergence between them, in log space.

    P_T     = softmax(z / T) over K                      (Hinton, Vinyals, Dean: arXiv 1503.02531)
    KL(t‖s) = mean over b, s of  Σ_k p_t (log p_t − log p_s)

The teacher is the reference distribution. The mean runs over cases AND voxels; PyTorch's `batchmean`
would divide by the cases only, which makes the term grow with the patch. The factor T² that keeps its
gradient comparable across temperatures is the caller's. Float32 (float64 stays), also under autocast.

Axes: B cases, K classes, S space (any number of axes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .segmentation import in_full_precision


def log_soft_labels(
    logits_BKS: Tensor, temperature: float = 1.0, *, include_background: bool = True
) -> Tensor:
    """log softmax(z / T) of logits [B K *S].

    Without the background, class 0 is dropped *before* the softmax: what is left is renormalised over the
    foreground, [B K−1 *S].
    """
    kept_BKS = logits_BKS if include_background else logits_BKS[:, 1:]
    kept_BKS = in_full_precision(kept_BKS)
    return (kept_BKS if temperature == 1.0 else kept_BKS / temperature).log_softmax(1)


def log_mean(log_probabilities: Sequence[Tensor]) -> Tensor:
    """log of the mean of several distributions, each [B K *S] in log space."""
    return torch.stack(list(log_probabilities)).logsumexp(0) - math.log(len(log_probabilities))


def kl_divergence(log_students: Sequence[Tensor], log_teacher_BKS: Tensor) -> Tensor:
    """Σ_i KL(teacher ‖ student_i), each the mean over cases and voxels; []. All [B K *S] log-probabilities.

    The teacher is read once for all: Σ_i Σ_k p_t (log p_t − log p_i) = Σ_k p_t Σ_i (log p_t − log p_i).
    """
    with torch.autocast(log_teacher_BKS.device.type, enabled=False):
        gap_BKS = sum((log_teacher_BKS - log_student_BKS for log_student_BKS in log_students), start=0.0)
        voxels = log_teacher_BKS.numel() // log_teacher_BKS.shape[1]
        return (log_teacher_BKS.exp() * gap_BKS).sum() / voxels
