"""The softmax over K with what its losses also need, in powers of two.

    z' = (z − max z) · log₂e / T,        P = 2^z' / Σ_k 2^z'  =  softmax(z / T)

PyTorch's exp of a large tensor on a processor costs four times its exp2, and the scale is a product that a
temperature needs anyway. Logarithms stay in base 2 until a loss is summed; `LN2` brings them back.

Axes: B cases, K classes, S space (any number of axes).
"""

from __future__ import annotations

import math

from torch import Tensor

LN2 = math.log(2)


def shifted(logits_BKS: Tensor, temperature: float = 1.0) -> Tensor:
    """z': logits over T in base 2, the largest class of every voxel at 0; a new tensor [B K *S]."""
    return (logits_BKS - logits_BKS.amax(1, keepdim=True)).mul_(1 / (LN2 * temperature))


def normalised_(shifted_BKS: Tensor) -> tuple[Tensor, Tensor]:
    """P [B K *S], written over z', and log₂ Σ_k 2^z' [B 1 *S]: log₂ P is their difference, z' − log₂ Σ."""
    powers_BKS = shifted_BKS.exp2_()
    total_B1S = powers_BKS.sum(1, keepdim=True)
    return powers_BKS.mul_(total_B1S.reciprocal()), total_B1S.log2_()
