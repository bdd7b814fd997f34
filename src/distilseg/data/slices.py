"""Patches that are thin along one axis, slices and slabs of them, and the views that they give of a volume.

Cases are prepared as volumes and patches are cut from them as boxes. A box one voxel thick, such as
256 x 256 x 1, is a slice: what sees it (augmentation, networks, methods) works in its plane. A slab has a few
slices and remains a volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .plan import Plan

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


def sliced(plan: Plan) -> Plan:
    """The plan with patches of one slice across its coarsest axis; what was thickness becomes batch size."""
    if plan.slice_axis is not None:
        return plan
    axis = coarsest_axis(plan.spacing_mm)

    def flat(sizes: Sequence[int]) -> tuple[int, ...]:
        return tuple(1 if n == axis else size for n, size in enumerate(sizes))

    strides = [flat(stride) for stride in plan.strides]
    return plan.model_copy(
        update={
            "patch": flat(plan.patch),
            "strides": tuple(s for level, s in enumerate(strides) if level == 0 or max(s) > 1),
            "batch_size": plan.batch_size * plan.patch[axis],
            "reasons": {**plan.reasons, "patch": f"slices across axis {axis}, the coarsest"},
        }
    )


def view_axis(orientation: str, view: str) -> int:
    """The axis across the slices of `view` in a volume of this orientation, such as 2 for axial in RAS."""
    return next(axis for axis, letter in enumerate(orientation) if letter in VIEWS[view])


def slabbed(plan: Plan, axis: int, thickness: int, multiple: int) -> Plan:
    """The plan with patches of `thickness` slices across `axis`, in their plane multiples of `multiple`.

    A batch holds about as many voxels as before.
    """
    patch = tuple(
        thickness if n == axis else max(2, math.ceil(size / multiple)) * multiple
        for n, size in enumerate(plan.patch)
    )
    flat = tuple(1 if n == axis else 2 for n in range(3))
    levels = multiple.bit_length() - 1
    before, now = (math.prod(one) for one in (plan.patch, patch))
    return plan.model_copy(
        update={
            "patch": patch,
            "strides": ((1, 1, 1), *(flat,) * levels),
            "batch_size": max(2, round(plan.batch_size * before / now)),
            "reasons": {**plan.reasons, "patch": f"slabs of {thickness} slices across axis {axis}"},
        }
    )
