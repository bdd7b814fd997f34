"""Scans on their way to a bundle's network, and the way back of what it answers.

    image      what the network is shown, on a working grid of its own
    steps      how that grid came of the stored one, last first on the way back: turned, resampled, cropped

Resampling is done in float64, as MONAI does it, for transforms after it may ask whether an interpolated voxel
is exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError

Volume = NDArray[np.float32]  # [M *S], or [K *S]
Affine = NDArray[np.floating[Any]]  # [4 4] voxel index -> RAS+ mm
Resampler = Callable[[Volume, Affine, Sequence[int], bool], Volume]  # values, matrix, shape, the nearest


@dataclass(frozen=True, eq=False)
class Turned:
    """Axes permuted, then flipped."""

    order: tuple[int, ...]
    flipped: tuple[bool, ...]

    def undone(self, values: Volume, nearest: bool) -> Volume:
        back = values[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in self.flipped))]
        return back.transpose(0, *(1 + int(axis) for axis in np.argsort(self.order)))


@dataclass(frozen=True, eq=False)
class Resampled:
    """Another grid; the matrix leads from its voxels to those before."""

    matrix: Affine
    before: tuple[int, ...]
    by: Resampler

    def undone(self, values: Volume, nearest: bool) -> Volume:
        return self.by(values, np.linalg.inv(self.matrix), self.before, nearest)


@dataclass(frozen=True, eq=False)
class Cropped:
    """A box, which may reach beyond: there it was filled with 0."""

    start: tuple[int, ...]
    before: tuple[int, ...]

    def undone(self, values: Volume, nearest: bool) -> Volume:
        whole = np.zeros((len(values), *self.before), values.dtype)
        stops = [first + n for first, n in zip(self.start, values.shape[1:], strict=True)]
        kept = [
            (max(first, 0), min(stop, n))
            for first, stop, n in zip(self.start, stops, self.before, strict=True)
        ]
        inside = tuple(slice(a, b) for a, b in kept)
        here = tuple(slice(a - first, b - first) for (a, b), first in zip(kept, self.start, strict=True))
        whole[(slice(None), *inside)] = values[(slice(None), *here)]
        return whole


Step = Turned | Resampled | Cropped


@dataclass(frozen=True, eq=False)
class Shown:
    """Scans on their way to the network."""

    image: Volume  # [M *S]
    affine: Affine
    stored: Affine  # of the scans
    stored_shape: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    box: tuple[tuple[float, float], ...] = ()  # edges of what is left, in voxels of each stored axis

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the working grid, without channels."""
        return self.image.shape[1:]

    def undone(self, values: Volume, *, nearest: bool = False) -> Volume:
        """Values [K *S] of its voxels, on the grid of the scans [K I J K]; 0 outside the box."""
        for step in reversed(self.steps):
            values = step.undone(values, nearest)
        return values


Transform = Callable[[Shown, str], Shown]  # (shown, case) -> shown


def shown(image: Volume, affine: Affine) -> Shown:
    """Scans as they are stored."""
    shape = image.shape[1:]
    return Shown(image, affine, affine, shape, (), tuple((-0.5, n - 0.5) for n in shape))


def turned(state: Shown, orientation: str, case: str) -> Shown:
    """Axes turned to an orientation such as "RAS"."""
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    stored = io_orientation(state.affine)
    if np.isnan(stored).any():
        raise UserError(f"case {case}: the scan has an axis of spacing zero", "repair its header's affine")
    turn = ornt_transform(stored, axcodes2ornt(orientation))
    order = tuple(int(axis) for axis in np.argsort(turn[:, 0]))
    flipped = tuple(bool(turn[axis, 1] < 0) for axis in order)
    flips = (slice(None), *(slice(None, None, -1 if flip else 1) for flip in flipped))
    image = state.image.transpose(0, *(1 + axis for axis in order))[flips]
    affine = state.affine @ inv_ornt_aff(turn, state.shape)
    steps = (*state.steps, Turned(order, flipped))
    return replace(state, image=np.ascontiguousarray(image), affine=affine, steps=steps)
