"""Patches cut from memory-mapped cases: where chance decides, it is a pure function of (seed, index).

Patch number `index` is the same in every process, at every batch size, before and after a resume. Each case
is seen `patches_per_case` times before any is seen again (an epoch); within an epoch the order is shuffled.
Of cases without a label map every n-th patch is cut, `unlabelled_share` of all, and their order is one of its
own; foreground is then what `structures` says.
With probability `foreground_fraction` a patch is centred on a voxel of one of the case's foreground
classes, each class as likely as the others however small; otherwise it lies anywhere. Patches are moved
inside the volume where they fit and padded evenly on both sides where they do not. Only the patch's box is
read from the disk.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...types import UNKNOWN
from ..preparing.cache import CachedCase

Foreground = Mapping[int, NDArray[np.int32]]  # class index -> [N 3] some of its voxels
Padding = Literal["edge", "reflect", "zero"]

_ORDER, _PLACE, _UNLABELLED = 0, 1, 2  # independent streams of chance from one seed


@dataclass(frozen=True, eq=False)
class Patch:
    """A box cut from one case."""

    image: NDArray[np.float32]  # [M *P]
    label: NDArray[np.uint8]  # [*P] class indices
    case_id: str
    start: tuple[int, ...]  # first voxel in the case's working grid; negative where padded
    shape: tuple[int, ...]  # of the case's working grid


@dataclass(frozen=True, eq=False)
class PatchSampler:
    """An endless sequence of patches; `len` is one epoch."""

    cases: Sequence[CachedCase]
    patch: tuple[int, ...]  # voxels
    seed: int
    foreground_fraction: float = 0.5
    pad: Padding = "edge"
    patches_per_case: int = 1
    unlabelled: Sequence[CachedCase] = ()
    unlabelled_share: float = 0.5  # of the patches, where there are such cases; all of them without labels
    structures: Mapping[str, Foreground] = field(default_factory=dict)  # case id -> in place of its own

    def __post_init__(self) -> None:
        if not self.cases and not self.unlabelled:
            raise UserError("there are no cases to cut patches from", "check the split")
        if not 0 <= self.unlabelled_share <= 1:
            raise UserError(
                f"the share of unlabelled cases is {self.unlabelled_share}, no share", "give 0 to 1"
            )
        if not 0 <= self.foreground_fraction <= 1:
            raise UserError(
                f"foreground fraction {self.foreground_fraction} is no probability", "give 0 to 1"
            )
        for case in (*self.cases, *self.unlabelled):
            axes = case.image.ndim - 1
            if axes != len(self.patch):
                raise UserError(
                    f"the patch {self.patch} has {len(self.patch)} axes, case {case.id} {axes}",
                    "give one number of voxels per axis",
                )
        for case in self.cases:
            if case.label is None:
                raise UserError(f"case {case.id} has no label", "train on labelled cases")

    def __len__(self) -> int:
        patches = len(self.cases or self.unlabelled) * self.patches_per_case
        return math.ceil(patches / max(1 - self._share, 1e-6))

    @property
    def _share(self) -> float:
        """Of the patches, those of unlabelled cases; where there are none but such cases, one kind is all."""
        return self.unlabelled_share if self.cases and self.unlabelled else 0.0

    @functools.cached_property
    def spacing_mm(self) -> tuple[float, ...]:
        """The working spacing; cases differ from their median only by rounding to whole voxels."""
        every = (*self.cases, *self.unlabelled)
        return tuple(np.median([case.spacing_mm for case in every], axis=0).tolist())

    def case(self, index: int) -> CachedCase:
        """The case that patch `index` is cut from."""
        # Unlabelled are the patches at which the running sum of their share passes a whole number.
        before, after = math.floor(index * self._share), math.floor((index + 1) * self._share)
        if after > before or not self.cases:
            stream, cases, number = _UNLABELLED, self.unlabelled, before if self.cases else index
        else:
            stream, cases, number = _ORDER, self.cases, index - before
        length = len(cases) * self.patches_per_case
        epoch, position = divmod(number, length)
        return cases[int(_shuffled(self.seed, stream, epoch, length)[position]) % len(cases)]

    def __getitem__(self, index: int) -> Patch:
        case = self.case(index)
        try:
            start = self._place(case, index)
            image = cut(case.image, start, self.patch, self.pad)
            label = np.full(self.patch, UNKNOWN, np.uint8)
            if case.label is not None:
                label = cut(case.label, start, self.patch, self.pad)
            return Patch(image, label, case.id, start, case.image.shape[1:])
        except Exception as error:
            raise RuntimeError(f"case {case.id}: patch {index} could not be cut: {error!r}") from error

    def _place(self, case: CachedCase, index: int) -> tuple[int, ...]:
        chance = np.random.default_rng([self.seed, _PLACE, index])
        shape, patch = np.array(case.image.shape[1:]), np.array(self.patch)
        foreground = self.structures.get(case.id, case.foreground)
        if chance.random() < self.foreground_fraction and foreground:
            voxels = foreground[list(foreground)[chance.integers(len(foreground))]]
            start = voxels[chance.integers(len(voxels))] - patch // 2
        else:
            start = chance.integers(0, np.maximum(shape - patch, 0) + 1)
        inside = np.clip(start, 0, np.maximum(shape - patch, 0))
        return tuple(np.where(shape >= patch, inside, -((patch - shape) // 2)).tolist())


def cut(volume: NDArray[Any], start: Sequence[int], size: Sequence[int], pad: Padding) -> NDArray[Any]:
    """A copy of the box of `size` voxels from `start` (last axes), padded where `volume` ends."""
    leading = volume.ndim - len(size)
    box, beyond = [slice(None)] * leading, [(0, 0)] * leading
    for first, voxels, extent in zip(start, size, volume.shape[leading:], strict=True):
        low, high = max(first, 0), min(first + voxels, extent)
        box.append(slice(low, high))
        beyond.append((low - first, first + voxels - high))
    inside = np.array(volume[tuple(box)])
    if not any(map(any, beyond)):
        return inside
    return np.pad(inside, beyond, mode="constant" if pad == "zero" else pad)


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, stream: int, epoch: int, length: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, stream, epoch]).permutation(length)
