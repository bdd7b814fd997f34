"""A teacher's answer brought to the student's grid, and kept there in a byte or two a class.

One linear interpolation, axis by axis, between two grids that lie along the scan's own axes: student voxel j
has its centre at stored coordinate x, which is position i of the teacher's grid,

    x = start_s + j step_s,        i = (x - start_t) / step_t,     held within 0 ... n - 1

Outside the teacher's box all is background. Logits are interpolated, as the teacher's makers do when they
lead back to the scan; then come probabilities, and of these the classes that the student learns
(`ClassMap.matrix_GK`). Blocks of voxels are small where classes are many, so that memory does not grow with
their number.

Kept are log-probabilities in 8 bits, finer where they matter: code q stands for -24 (q / 255)²

    whole    [G *S]      every group, the rest first: where there are few
    ranked   [2m *S]     of many groups the m likeliest: their numbers, then their codes, the likeliest first
    regions  [R *S]      logits between -12 and 12, in 255 steps
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.preparing.grid import Grid
from ..scratch import part
from .classes import ClassMap
from .teacher import Answer, Placement

Kept = Literal["whole", "ranked", "regions"]

RANKED = 4  # groups that are kept of many
FEW = 8  # up to so many are kept whole
LEAST_LOG_P = -24.0
MOST_LOGIT = 12.0
_BLOCK_VALUES = 2**22  # heads x voxels of a block: 16 MB as float32


@dataclass(frozen=True, eq=False)
class Block:
    """Probabilities in a box of the student's grid."""

    box: tuple[slice, ...]
    probabilities: Tensor  # [G *b] float32: groups of `ClassMap.groups`; of classes they sum to 1


def blocks(answer: Answer, grid: Grid, classes: ClassMap) -> Iterator[Block]:
    """`answer` on the working grid of `grid`, block by block."""
    here = Placement.of_grid(grid)
    if here.original_shape != answer.placement.original_shape:
        raise ValueError(
            f"an answer for a scan of {answer.placement.original_shape} voxels, asked for"
            f" {here.original_shape}"
        )
    axes = [_axis(answer.placement, here, axis) for axis in range(3)]
    logits = answer.logits.transpose(0, *(1 + along.of for along in axes))
    matrix_GK = torch.from_numpy(classes.matrix_GK)
    edge = max(8, int((_BLOCK_VALUES / len(logits)) ** (1 / 3)))
    pieces = [[slice(at, min(at + edge, n)) for at in range(0, n, edge)] for n in here.shape]
    for box in itertools.product(*pieces):
        parts = [along.piece(within) for along, within in zip(axes, box, strict=True)]
        under = part(logits, tuple(piece.coarse for piece in parts))
        coarse = torch.from_numpy(np.ascontiguousarray(under, np.float32))
        for axis, piece in enumerate(parts, start=1):
            coarse = piece.interpolated(coarse, axis)
        inside = parts[0].inside[:, None, None] & parts[1].inside[:, None] & parts[2].inside
        yield Block(box, _groups(coarse, inside, matrix_GK, classes))


def _groups(logits_Kb: Tensor, inside_b: Tensor, matrix_GK: Tensor, classes: ClassMap) -> Tensor:
    if classes.activation == "softmax":
        heads_Kb = logits_Kb.softmax(0)
    else:
        heads_Kb = logits_Kb.sigmoid()
    learned_Gb: Tensor = torch.tensordot(matrix_GK, heads_Kb, dims=1).clamp_(0, 1) * inside_b
    if classes.answers == "regions":
        return learned_Gb
    # Regions are answered one by one, so differences and sums may leave 0 ... 1 by a little.
    total_b = learned_Gb.sum(0)
    learned_Gb = learned_Gb / total_b.clamp(min=1)
    return torch.cat([(1 - total_b).clamp(min=0)[None], learned_Gb])


@dataclass(frozen=True, eq=False)
class _Piece:
    """A piece of one axis of the student's grid, from a piece of the teacher's."""

    coarse: slice
    lower: Tensor  # [b] index into `coarse`
    share: Tensor  # [b] of the voxel after it
    inside: Tensor  # [b] within the teacher's box

    def interpolated(self, values: Tensor, axis: int) -> Tensor:
        """`values` with `axis` brought to the student's voxels."""
        if self.share.any():
            last = values.shape[axis] - 1
            low = values.index_select(axis, self.lower)
            high = values.index_select(axis, (self.lower + 1).clamp(max=last))
            across = [-1 if n == axis else 1 for n in range(values.ndim)]
            return torch.lerp(low, high, self.share.view(across))
        return values.index_select(axis, self.lower)


@dataclass(frozen=True, eq=False)
class _Axis:
    """One axis of the student's grid: where its voxels lie in the teacher's."""

    of: int  # the teacher's working axis
    position: NDArray[np.float64]  # [n]
    inside: NDArray[np.bool_]  # [n]

    def piece(self, within: slice) -> _Piece:
        position = self.position[within]
        lower = np.floor(position).astype(np.int64)
        share = (position - lower).astype(np.float32)
        first, last = int(lower.min()), int(lower.max()) + (1 if share.any() else 0)
        return _Piece(
            slice(first, last + 1),
            torch.from_numpy(lower - first),
            torch.from_numpy(share),
            torch.from_numpy(self.inside[within]),
        )


def _axis(teacher: Placement, student: Placement, axis: int) -> _Axis:
    stored = student.order[axis]
    of = teacher.order.index(stored)
    x = student.start[axis] + np.arange(student.shape[axis]) * student.step[axis]
    first, stop = teacher.box[of]
    inside = (x >= first - 0.5) & (x <= stop - 0.5)
    position = np.clip((x - teacher.start[of]) / teacher.step[of], 0, teacher.shape[of] - 1)
    # On the same grid the positions are whole, but for rounding: then nothing is interpolated.
    whole = np.round(position)
    return _Axis(of, np.where(np.abs(position - whole) < 1e-6, whole, position), inside)


def kept_as(classes: ClassMap) -> Kept:
    """How answers for these classes are kept."""
    if classes.answers == "regions":
        return "regions"
    return "whole" if len(classes.groups) <= FEW else "ranked"


def channels_of(classes: ClassMap) -> int:
    """Bytes a voxel."""
    return 2 * RANKED if kept_as(classes) == "ranked" else len(classes.groups)


def encoded(block_Gb: Tensor, kept: Kept) -> NDArray[np.uint8]:
    """Probabilities [G *b] as they are kept, [C *b]."""
    if kept == "regions":
        logits = torch.logit(block_Gb, eps=1e-7).clamp(-MOST_LOGIT, MOST_LOGIT)
        return _bytes((logits + MOST_LOGIT) * (255 / (2 * MOST_LOGIT)))
    log_p = block_Gb.clamp(min=1e-30).log().clamp(min=LEAST_LOG_P)
    if kept == "whole":
        return _bytes((log_p / LEAST_LOG_P).sqrt() * 255)
    best, number = log_p.topk(RANKED, dim=0)
    return np.concatenate([number.numpy().astype(np.uint8), _bytes((best / LEAST_LOG_P).sqrt() * 255)])


def decoded(kept_Cb: NDArray[np.uint8], kept: Kept) -> NDArray[np.float16]:
    """What is kept, [C *b], as numbers: log-probabilities, logits of regions; of ranked groups the numbers of
    the groups, then their log-probabilities."""
    if kept == "ranked":
        numbers, codes = kept_Cb[:RANKED], kept_Cb[RANKED:]
        return np.concatenate([numbers.astype(np.float16), _LOG_P[codes]])
    values: NDArray[np.float16] = decoding_table(kept)[kept_Cb]
    return values


def decoding_table(kept: Kept) -> NDArray[np.float16]:
    """What each of the 256 codes stands for: a log-probability, of regions a logit."""
    return _REGION_LOGIT if kept == "regions" else _LOG_P


_CODES = np.arange(256, dtype=np.float64)
_LOG_P: NDArray[np.float16] = (LEAST_LOG_P * (_CODES / 255) ** 2).astype(np.float16)
_REGION_LOGIT: NDArray[np.float16] = (_CODES * (2 * MOST_LOGIT / 255) - MOST_LOGIT).astype(np.float16)


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = values.round().to(torch.uint8).numpy()
    return codes


def likeliest(kept_Cb: NDArray[np.uint8], kept: Kept) -> NDArray[np.uint8]:
    """The group of the highest probability [*b]; of regions, whether any holds."""
    if kept == "ranked":
        best: NDArray[np.uint8] = kept_Cb[0]
        return best
    if kept == "regions":
        return np.asarray(np.any(kept_Cb > 127, axis=0), np.uint8)
    return np.asarray(np.argmin(kept_Cb, axis=0), np.uint8)  # the least code is the likeliest


def group_to_channel(classes: ClassMap) -> Sequence[int]:
    """What `likeliest` says -> the student's channel that stands for it; of the rest the background, 0."""
    if classes.answers == "regions":
        return 0, 1  # none holds, or any
    return [group[0] if len(group) else 0 for group in classes.groups]
