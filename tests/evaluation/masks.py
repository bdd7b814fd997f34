"""Masks to measure, and MONAI's form of them."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.3, 2.9)]


def blobs(seed: int, shape: tuple[int, ...] = (18, 15, 12)) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping irregular masks with an empty margin."""
    random = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(random.normal(size=(2, *shape)), (0, *(1.5,) * len(shape)))
    masks = (noise[0] > 0.05, noise[0] + 0.5 * noise[1] > 0.05)
    return tuple(np.pad(mask, 1) for mask in masks)  # type: ignore[return-value]


def batch(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None]
