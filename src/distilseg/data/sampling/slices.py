"""Patches that are thin along one axis, slices and slabs of them, and the views that they give of a volume.

Cases are prepared as volumes and patches are cut from them as boxes. A box one voxel thick, such as
256 x 256 x 1, is a slice: what sees it (augmentation, networks, methods) works in its plane. A slab has a few
slices and remains a volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..planning.views import coarsest_axis

if TYPE_CHECKING:
    from ..planning.plan import Plan


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
