"""The divergence between two latent vectors: what a teacher's bottleneck tells a student's.

    KL(q‖p) = Σ_j q(j) log(q(j) / p(j)),       q teacher, p student, "flattened and normalised" to sum to 1

How to normalise is not said in the paper (Hu et al., MICCAI 2020, equation 3). The choices:

    softmax            over all C·s elements of a case: one distribution a case
    channel_softmax    over C at each position, summed over positions
    l1_abs             |x| / Σ|x| over all elements of a case

Softmaxed over thousands of elements both sides are almost uniform and the value is tiny, 1e-3 or less: it is
computed in log space, in float32 (float64 stays), also under autocast.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .segmentation import in_full_precision

Normalisation = Literal["softmax", "channel_softmax", "l1_abs"]
SMALL = 1e-12  # |x| and Σ|x| of a dead feature are 0


def latent_divergence(student_BCs: Tensor, teacher_BCs: Tensor, how: Normalisation = "softmax") -> Tensor:
    """KL(teacher ‖ student) of two features [B C *s], summed over a case, the mean over cases; []."""
    with torch.autocast(student_BCs.device.type, enabled=False):
        log_p, log_q = _log_normalised(student_BCs, how), _log_normalised(teacher_BCs, how)
        return (log_q.exp() * (log_q - log_p)).sum() / len(student_BCs)


def _log_normalised(feature_BCs: Tensor, how: Normalisation) -> Tensor:
    feature_BCN = in_full_precision(feature_BCs).flatten(2)
    if how == "channel_softmax":
        return feature_BCN.log_softmax(1)
    vector_BJ = feature_BCN.flatten(1)
    if how == "softmax":
        return vector_BJ.log_softmax(1)
    size_BJ = vector_BJ.abs() + SMALL
    return size_BJ.log() - size_BJ.sum(1, keepdim=True).log()
