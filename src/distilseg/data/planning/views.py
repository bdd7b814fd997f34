"""Which axis lies across the slices: of a patch, of a spacing, of a view of the patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
VIEWS = {"axial": "SI", "coronal": "AP", "sagittal": "RL"}  # view -> letters of the axis across its slices


def slice_axis(patch: Sequence[int]) -> int | None:
    """The axis along which a patch of three axes is a single slice; None for any other patch."""
    single = [axis for axis, voxels in enumerate(patch) if voxels == 1]
    return single[0] if len(patch) == 3 and len(single) == 1 else None


def in_plane(values: Sequence[T], axis: int | None) -> tuple[T, ...]:
    """`values`, one per axis, without that of `axis`."""
    return tuple(value for n, value in enumerate(values) if n != axis)


def coarsest_axis(spacing_mm: Sequence[float]) -> int:
    """The axis across the slices: of the largest spacing, the last of equal ones."""
    return max(range(len(spacing_mm)), key=lambda axis: (spacing_mm[axis], axis))


def view_axis(orientation: str, view: str) -> int:
    """The axis across the slices of `view` in a volume of this orientation, such as 2 for axial in RAS."""
    return next(axis for axis, letter in enumerate(orientation) if letter in VIEWS[view])
