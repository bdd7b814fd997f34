"""Scans on their way to a bundle's network, and the way back of what it answers.

    image      what the network is shown, on a working grid of its own
    steps      how that grid came of the stored one, last first on the way back: turned, resampled, cropped

Resampling is done with MONAI's own arithmetic (float64 grids), for transforms after it may ask whether an
interpolated voxel is exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..teacher import Placement
from .config import WAY_OUT

Volume = NDArray[np.float32]  # [M *S], or [K *S]
Affine = NDArray[np.float64]  # [4 4] voxel index -> RAS+ mm


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
    mode: str | int
    border: str

    def undone(self, values: Volume, nearest: bool) -> Volume:
        mode = "nearest" if nearest else self.mode
        return resampled(
            values, np.linalg.inv(self.matrix).astype(np.float64), self.before, mode, self.border
        )


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

    def placement(self, case: str) -> Placement:
        """Where its voxels lie in the scans; raises `UserError` where axes are no longer parallel."""
        matrix = np.linalg.solve(self.stored, self.affine)  # working voxel -> stored
        order = tuple(int(axis) for axis in np.abs(matrix[:3, :3]).argmax(0))
        across = matrix[:3, :3].copy()
        across[list(order), range(3)] = 0
        if sorted(order) != [0, 1, 2] or np.abs(across).max() > 0.01:
            raise UserError(f"case {case}: the scan is oblique, and the bundle straightens it", WAY_OUT)
        boxes = []
        for axis in order:
            low, high = self.box[axis]
            boxes.append((max(0, round(low + 0.5)), min(self.stored_shape[axis], round(high + 0.5))))
        return Placement(
            self.stored_shape,
            order,
            tuple(float(matrix[axis, 3]) for axis in order),
            tuple(float(matrix[axis, a]) for a, axis in enumerate(order)),
            self.shape,
            tuple(boxes),
        )

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


def resampled(values: Volume, matrix: Affine, shape: Sequence[int], mode: str | int, border: str) -> Volume:
    """Values [K *s] at the voxels of another grid of `shape`; `matrix` leads from there to here."""
    import torch
    from monai.networks.layers import AffineTransform

    if isinstance(mode, int):
        from scipy.ndimage import affine_transform

        how = "nearest" if border == "border" else "constant"
        whole = [
            affine_transform(
                v.astype(np.float64), matrix[:3, :3], matrix[:3, 3], tuple(shape), None, mode, how
            )
            for v in values
        ]
        return np.stack(whole).astype(np.float32)
    move = AffineTransform(
        normalized=False, mode=mode, padding_mode=border, align_corners=False, reverse_indexing=True
    )
    theta, parts = torch.from_numpy(np.ascontiguousarray(matrix)), []
    for value in values:  # one by one: they are in float64 meanwhile
        moved = move(
            torch.from_numpy(np.ascontiguousarray(value, np.float64))[None, None], theta, tuple(shape)
        )
        parts.append(moved[0, 0].numpy().astype(np.float32))
    return np.stack(parts)
