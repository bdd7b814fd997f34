"""Maps of several resolutions, compared as if every voxel of a coarse one stood for its whole block.

A coarse map repeated on the finest grid is constant in each block, so what is summed over the finest grid is
a sum over the coarse one, exactly, in a fraction of the work:

    KL(t‖s)    = mean Σ_k p_t log p_t − mean Σ_k ⟨p_t⟩ log p_s      where s is coarser
               = mean Σ_k p_t (log p_t − ⟨log p_s⟩)                 where it is finer
    DCE(z, y)  = DCE of z against ⟨Y⟩, the shares of the classes in each block; Y one-hot

⟨·⟩ is the mean over the block of a coarse voxel. Grids are nested: of any two the one size divides the other,
axis by axis; each may be the finer along an axis of its own.

Axes: B cases, K classes, s and S space (any number of axes up to three), S the finer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .divergence import log_soft_labels
from .segmentation import SMOOTH, soft_dice_cross_entropy

_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def are_nested(grids: Iterable[Sequence[int]]) -> bool:
    """Whether of any two grids the one size divides the other, axis by axis."""
    return all(max(a, b) % min(a, b) == 0 for axis in zip(*grids, strict=True) for a in axis for b in axis)


def block_mean(map_BKS: Tensor, space: Sequence[int]) -> Tensor:
    """[B K *S] to [B K *`space`], each voxel the mean of its block."""
    block = tuple(S // s for s, S in zip(space, map_BKS.shape[2:], strict=True))
    return map_BKS if max(block) == 1 else _POOL[len(block)](map_BKS, block)


def repeated(map_BKs: Tensor, space: Sequence[int]) -> Tensor:
    """[B K *s] to [B K *`space`], each voxel repeated over its block."""
    for axis, size in enumerate(space, start=2):
        map_BKs = map_BKs.repeat_interleave(size // map_BKs.shape[axis], axis)
    return map_BKs


def block_means(map_BKS: Tensor, spaces: Iterable[Sequence[int]]) -> dict[tuple[int, ...], Tensor]:
    """The block means on several grids, each of the next finer one where that is nested; by grid."""
    means: dict[tuple[int, ...], Tensor] = {}
    finer = map_BKS
    for space in sorted({tuple(space) for space in spaces}, key=math.prod, reverse=True):
        finer = means[space] = block_mean(finer if are_nested([space, finer.shape[2:]]) else map_BKS, space)
    return means


def block_dice_cross_entropy(logits_BKs: Tensor, shares_BKs: Tensor, block: int) -> Tensor:
    """Dice plus cross-entropy of repeated logits against a label, all of it known; [].

    `shares_BKs`: what part of each block, of `block` voxels, is of each class: the block mean of the one-hot
    label.
    """
    # Both sums of Dice are smaller by the size of a block, and so is what is added to them.
    return soft_dice_cross_entropy(logits_BKs, shares_BKs, smooth=SMOOTH / block)


def block_divergence(
    student_logits: Sequence[Tensor],
    teacher_logits_BKs: Tensor,
    temperature: float = 1.0,
    *,
    include_background: bool = True,
) -> Tensor:
    """`soft_label_divergence` of repeated logits, each [B K *its own space]; []."""
    with torch.autocast(teacher_logits_BKs.device.type, enabled=False):
        log_teacher_BKs, *log_students = (
            log_soft_labels(z, temperature, include_background=include_background)
            for z in (teacher_logits_BKs, *student_logits)
        )
        teacher_BKs = log_teacher_BKs.exp()
        # Σ_i KL = n Σ_k p_t log p_t − Σ_i Σ_k p_t log p_i, all means over voxels
        total = len(log_students) * _mean_inner(teacher_BKs, log_teacher_BKs)
        for log_student in log_students:
            total = total - _mean_inner(teacher_BKs, log_student)
    return total


def _mean_inner(one: Tensor, other: Tensor) -> Tensor:
    """Mean over cases and voxels of Σ_k one · other, the finer of the two brought to the coarser's grid."""
    space = [min(pair) for pair in zip(one.shape[2:], other.shape[2:], strict=True)]
    one, other = block_mean(one, space), block_mean(other, space)
    return (one * other).sum() * (one.shape[1] / one.numel())
