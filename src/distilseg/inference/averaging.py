"""What overlapping windows average: their logits, or their probabilities.

A mean of probabilities comes back as the logits of that mean, so that an argmax, a sigmoid and the export to
labels work as ever:

    softmax    log p          argmax as of p; its softmax is p
    sigmoid    log p / (1 - p)                its sigmoid is p
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..functional.window_options import Activation, Average

# How near to 0 and 1 a probability may come before its logit is taken, in float32: finite, and far beyond
# where a decision lies.
_TINY, _ROUNDING = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


def to_average(logits_NKS: Tensor, average: Average, activation: Activation) -> Tensor:
    """What the mean is taken of, [N K *S], float32."""
    logits_NKS = logits_NKS.float()
    if average == "logits":
        return logits_NKS
    return logits_NKS.softmax(1) if activation == "softmax" else logits_NKS.sigmoid()


def logits_of_mean(mean_BKS: Tensor, average: Average, activation: Activation) -> Tensor:
    """The logits that stand for the mean; it is overwritten."""
    if average == "logits":
        return mean_BKS
    if activation == "softmax":
        return mean_BKS.clamp_(min=_TINY).log_()
    return mean_BKS.logit_(_ROUNDING)
