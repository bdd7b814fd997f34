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
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .segmentation import in_full_precision
from .softmax import LN2, normalised_, shifted


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
    """Σ_i KL(teacher ‖ student_i), each a mean over cases and voxels; []. All [B K *S] log-probabilities."""
    with torch.autocast(log_teacher_BKS.device.type, enabled=False):
        total: Tensor = _Divergence.apply(log_teacher_BKS, *log_students)  # type: ignore[no-untyped-call]
    return total


def soft_label_divergence(
    student_logits: Sequence[Tensor],
    teacher_logits_BKS: Tensor,
    temperature: float = 1.0,
    *,
    include_background: bool = True,
) -> Tensor:
    """Σ_i KL(teacher ‖ student_i) of the soft labels of logits, all [B K *S]; [].

    `kl_divergence` of `log_soft_labels`, in fewer passes over every voxel.
    """
    first = 0 if include_background else 1
    with torch.autocast(teacher_logits_BKS.device.type, enabled=False):
        kept = [in_full_precision(z[:, first:]) for z in (teacher_logits_BKS, *student_logits)]
        total: Tensor = _SoftLabelDivergence.apply(temperature, *kept)  # type: ignore[no-untyped-call]
    return total


class _Divergence(torch.autograd.Function):
    """Σ_i KL with its gradient written out: the teacher is read once for all students.

    Σ_i Σ_k p_t (log p_t − log p_i) = Σ_k p_t gap,   gap = Σ_i (log p_t − log p_i)
    """

    @staticmethod
    def forward(ctx: Any, log_teacher_BKS: Tensor, *log_students: Tensor) -> Tensor:
        teacher_BKS = log_teacher_BKS.exp()
        gap_BKS = log_teacher_BKS - log_students[0]
        for log_student_BKS in log_students[1:]:
            gap_BKS += log_teacher_BKS - log_student_BKS
        ctx.save_for_backward(teacher_BKS, gap_BKS)
        ctx.students, ctx.voxels = len(log_students), teacher_BKS.numel() // teacher_BKS.shape[1]
        total: Tensor = (teacher_BKS * gap_BKS).sum() / ctx.voxels
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        teacher_BKS, gap_BKS = ctx.saved_tensors
        # ∂/∂log p_i = −p_t,   ∂/∂log p_t = p_t (gap + number of students)
        student_BKS = teacher_BKS * (-gradient / ctx.voxels)
        of_teacher = (gap_BKS + ctx.students).mul_(student_BKS).neg_() if ctx.needs_input_grad[0] else None
        return of_teacher, *(student_BKS,) * ctx.students


class _SoftLabelDivergence(torch.autograd.Function):
    """Σ_i KL from the logits to its value and back, the gradient written out; see `softmax` for z'.

    Σ_i Σ_k p_t (log₂ p_t − log₂ p_i) = Σ_k p_t gap + Σ_i (log₂ Σ_i − log₂ Σ_t),   gap = Σ_i (z'_t − z'_i)
    """

    @staticmethod
    def forward(ctx: Any, temperature: float, teacher_BKS: Tensor, *students: Tensor) -> Tensor:
        teacher_BKS = shifted(teacher_BKS, temperature)
        gap_BKS = teacher_BKS * len(students)
        teacher_BKS, log_total_B1S = normalised_(teacher_BKS)
        offset_B1S = log_total_B1S * -len(students)
        probabilities = []
        for student_BKS in students:
            student_BKS = shifted(student_BKS, temperature)
            gap_BKS -= student_BKS
            student_BKS, log_total_B1S = normalised_(student_BKS)
            offset_B1S += log_total_B1S
            probabilities.append(student_BKS)
        inner_B1S = (teacher_BKS * gap_BKS).sum(1, keepdim=True)
        ctx.save_for_backward(teacher_BKS, gap_BKS, inner_B1S, *probabilities)
        ctx.temperature = temperature
        return (inner_B1S + offset_B1S).mean() * LN2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        teacher_BKS, gap_BKS, inner_B1S, *students = ctx.saved_tensors
        each = gradient / (inner_B1S.numel() * ctx.temperature)
        scaled_BKS = teacher_BKS * each
        # ∂/∂z_t = p_t (gap − Σ_k p_t gap) ln 2 / T,   ∂/∂z_i = (p_i − p_t) / T
        of_teacher = (gap_BKS - inner_B1S).mul_(scaled_BKS).mul_(LN2) if ctx.needs_input_grad[1] else None
        scaled_BKS.neg_()
        return None, of_teacher, *(torch.addcmul(scaled_BKS, student, each) for student in students)
