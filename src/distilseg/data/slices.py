"""Patches of one slice, for 2D networks: which axis is left out.

Cases are prepared as volumes and patches are cut from them as boxes; a box one voxel thick along one axis,
such as 256 x 256 x 1, is a slice. What sees it (augmentation, networks, methods) works in its plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .plan import Plan

T = TypeVar("T")


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
