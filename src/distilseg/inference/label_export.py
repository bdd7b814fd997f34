"""From logits on the working grid to labels on the grid of the scan.

The plain way interpolates the logits of all K classes to the scan's grid and takes the argmax; a scan of
100 classes then needs gigabytes for numbers of which one in a hundred wins. Here the output is made block
by block, and in each block one class at a time with a running maximum, so that memory does not grow with
the number of classes and the temporaries stay in cache.

Most classes need not be looked at. Linear interpolation never leaves the range of the values it mixes:
with low_k and high_k the extremes of class k among the coarse voxels under a block, a class with
high_k < max_j low_j cannot win anywhere in that block. This changes no label; a margin covers rounding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..scratch import part as part_of

_BLOCK = 48  # edge of an output block in voxels: a float block (0.4 MB) and its temporaries stay in cache


def export_labels(logits_KS: Tensor | NDArray[np.float32], shape: Sequence[int]) -> Tensor:
    """The class with the highest logit at every voxel of a grid of `shape`; ties go to the lowest class.

    logits_KS: [K *s], 2D or 3D, on any grid whose extent is that of the result; an array may lie on the disk
    (`scratch`). Returns class indices
    [*shape], uint8 up to 256 classes and uint16 above: those of
    `F.interpolate(logits_KS[None].float(), shape, mode="trilinear", align_corners=False)[0].argmax(0)`, with
    the same rounding (torch's bilinear kernel rounds differently from image to image; in 2D the result is
    that of one slice in the trilinear kernel).
    """
    shape = tuple(shape)
    on_disk = logits_KS if isinstance(logits_KS, np.ndarray) else None
    if isinstance(logits_KS, np.ndarray):
        logits_KS = torch.from_numpy(logits_KS)
    if logits_KS.ndim != len(shape) + 1 or len(shape) not in (2, 3):
        raise ValueError(f"expected logits [K *s] for a grid of shape {shape}, got {list(logits_KS.shape)}")
    dtype = torch.uint8 if len(logits_KS) <= 256 else torch.uint16
    if tuple(logits_KS.shape[1:]) == shape:
        return logits_KS.argmax(0).to(dtype)

    labels = torch.empty(shape, dtype=dtype, device=logits_KS.device)
    axes = [_blocks(s, size, logits_KS.device) for s, size in zip(logits_KS.shape[1:], shape, strict=True)]
    for parts in itertools.product(*axes):
        box = tuple(part.coarse for part in parts)
        coarse_Ks = logits_KS[:, *box] if on_disk is None else torch.from_numpy(part_of(on_disk, box))
        labels[*(part.fine for part in parts)] = _winners(coarse_Ks, parts).to(dtype)
    return labels


@dataclass(frozen=True)
class _Part:
    """A piece of one axis: fine value = lower_weight * coarse[lower] + upper_weight * coarse[upper]."""

    fine: slice
    coarse: slice
    lower: Tensor  # [n] index into the coarse slice
    upper: Tensor
    lower_weight: Tensor  # [n]
    upper_weight: Tensor


def _blocks(coarse: int, fine: int, device: torch.device) -> list[_Part]:
    """The pieces of one axis of `fine` voxels, interpolated from `coarse` voxels."""
    # Voxel centres: x = (i + 1/2) coarse / fine - 1/2, rounded as torch's kernel does (fused multiply-add).
    scale = torch.tensor([coarse / fine], dtype=torch.float32).double()
    source = ((torch.arange(fine) + 0.5) * scale - 0.5).clamp(min=0).float()
    lower = source.long().clamp(max=coarse - 1)
    upper = (lower + 1).clamp(max=coarse - 1)
    upper_weight = source - lower
    lower_weight = 1 - upper_weight
    parts = []
    for start in range(0, fine, _BLOCK):
        piece = slice(start, min(start + _BLOCK, fine))
        first, last = int(lower[piece.start]), int(upper[piece.stop - 1])
        ends = (lower[piece] - first, upper[piece] - first, lower_weight[piece], upper_weight[piece])
        parts.append(_Part(piece, slice(first, last + 1), *(end.to(device) for end in ends)))
    return parts


def _winners(coarse_Ks: Tensor, parts: Sequence[_Part]) -> Tensor:
    """Class indices of one block."""
    candidates = _candidates(coarse_Ks)
    if len(candidates) == 1:
        return torch.tensor(candidates[0], device=coarse_Ks.device)
    best = _interpolated(coarse_Ks[candidates[0]], parts)
    winner = torch.full(best.shape, candidates[0], dtype=torch.int32, device=best.device)
    for k in candidates[1:]:
        value = _interpolated(coarse_Ks[k], parts)
        winner.masked_fill_(value > best, k)
        torch.maximum(best, value, out=best)
    return winner


def _candidates(coarse_Ks: Tensor) -> list[int]:
    """Classes that may win somewhere among or between these voxels, in ascending order."""
    space = tuple(range(1, coarse_Ks.ndim))
    low_K, high_K = coarse_Ks.amin(space).float(), coarse_Ks.amax(space).float()
    # Each of the three interpolations rounds at most three times: 9 half-eps of the largest magnitude.
    margin = 16 * torch.finfo(low_K.dtype).eps * torch.maximum(low_K.abs(), high_K.abs()).max()
    beaten_K = high_K < low_K.max() - margin
    return [k for k, beaten in enumerate(beaten_K.tolist()) if not beaten]


def _interpolated(coarse_s: Tensor, parts: Sequence[_Part]) -> Tensor:
    """One class on the block's output grid: linear along the last axis first, as torch's kernel nests."""
    value = coarse_s.float()
    for axis in reversed(range(len(parts))):
        part = parts[axis]
        across = [1] * len(parts)
        across[axis] = -1
        lower = value.index_select(axis, part.lower)
        upper = value.index_select(axis, part.upper)
        value = upper.mul_(part.upper_weight.view(across)).addcmul_(lower, part.lower_weight.view(across))
    return value
