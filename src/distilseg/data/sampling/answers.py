"""Answers of teachers beside the cases, cut like their images: 8-bit codes on disk, numbers in a batch.

A file holds [C *s] uint8 on the case's working grid. `table` says what each code of a channel stands for, so
that nothing here knows how they were made; channels before `numbers` hold numbers of groups as they are, and
are never mixed with a neighbour's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .patches import cut

LEAST = 1e-6  # of the probability that is left to groups that are not kept


@dataclass(frozen=True, eq=False)
class AnswerMap:
    """One teacher's answers for one case, memory-mapped."""

    path: Path
    values: NDArray[np.uint8]  # [C *s]
    table: NDArray[np.float16]  # [256]
    numbers: int = 0  # channels that hold numbers of groups
    dense: int = 0  # so many groups are cut, those that are not kept as likely as one another; 0: as kept
    stride: tuple[int, ...] = (1, 1, 1)

    @property
    def interpolation(self) -> Literal["bilinear", "nearest"]:
        """How a patch of it may be turned and scaled: numbers of groups have no values in between."""
        return "nearest" if self.numbers and not self.dense else "bilinear"

    def __reduce__(self) -> tuple[Any, ...]:
        return open_answers, (
            self.path,
            self.table,
            self.numbers,
            self.dense,
        )  # a worker maps the file itself

    def cut(self, start: Sequence[int], patch: Sequence[int], shape: Sequence[int]) -> NDArray[np.float16]:
        """[C *p] of the patch of `patch` voxels from voxel `start`; the edge is repeated beyond the image."""
        codes = cut(self.values, start, patch, "edge")
        decoded: NDArray[np.float16] = self.table[codes[self.numbers :]]
        if not self.numbers:
            return decoded
        numbers = codes[: self.numbers]
        if not self.dense:
            return np.concatenate([numbers.astype(np.float16), decoded])
        left = np.clip(1 - np.exp(decoded.astype(np.float32)).sum(0), LEAST, 1)
        others = np.log(left / max(1, self.dense - self.numbers)).astype(np.float16)
        every = np.broadcast_to(others, (self.dense, *others.shape)).copy()
        np.put_along_axis(every, numbers.astype(np.intp), decoded, 0)
        return every


def open_answers(path: Path, table: NDArray[np.float16], numbers: int = 0, dense: int = 0) -> AnswerMap:
    """Maps the file at `path`."""
    return AnswerMap(path, np.load(path, mmap_mode="r"), table, numbers, dense)
