"""Logits as probabilities, on NumPy."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Activation = Literal["softmax", "sigmoid"]


def activated(logits: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Probabilities [K *S] of logits [K *S]."""
    if activation == "sigmoid":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
    p: NDArray[np.float32] = np.exp(logits - logits.max(0, keepdims=True))
    p /= p.sum(0, keepdims=True)
    return p
