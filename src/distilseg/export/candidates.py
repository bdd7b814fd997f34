"""Which plans a budget may choose from: spacings, patches, students and overlaps, and what each is worth.

1. the spacing of the plan; coarser ones come last, in steps up to twice as coarse, for what is lost there
   no network brings back
2. the larger student: `student_base` before `student_small` before `student_tiny`
3. a patch at least as large as planned before smaller ones, which show the network less around a voxel
4. more overlap of the windows: it smooths their borders and is the cheapest to give up
5. among patches the fastest: of a case that is one large window nothing is seen twice
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.case import Dataset
from ..data.planning.decide import SLICE_VOXELS, make_plan
from ..data.planning.fingerprint import Fingerprint, working_shapes
from ..data.planning.levels import patch_size, to_multiples
from ..data.planning.plan import Plan, check_plan
from ..errors import UserError
from ..networks.build import divisor
from ..networks.patch import check_patch
from .cost_model import AT_ONCE, FLOAT_BYTES
from .cost_probe import student_spec

NETWORKS = ("student_base", "student_small", "student_tiny")
OVERLAPS = (0.5, 0.25, 0.125)  # without any the borders of windows show
COARSER = (1.0, 1.25, 1.5, 2.0)  # times the planned spacing
GROWN, SHRUNK = (2, 4), (2, 4)  # times the voxels of the planned patch, and their divisors
LARGEST = {3: 4 * 64**3, 2: 4 * SLICE_VOXELS}  # voxels of a patch that is still trained on
LOGITS_BYTES = 2**30  # of the windows that are shown at once


def worth(draft: Plan, planned_patch: Sequence[int]) -> tuple[int, bool, int]:
    """Its place among the plans of one spacing, the best first."""
    smaller = math.prod(draft.patch) < math.prod(planned_patch)
    return NETWORKS.index(draft.network or ""), smaller, OVERLAPS.index(draft.overlap or 0.0)


def coarser(
    dataset: Dataset, fingerprint: Fingerprint, first: Plan, factor: float, options: Mapping[str, Any]
) -> Plan | None:
    """The plan for a coarser spacing; None where there is none, or its slices would run another way.

    Axes that are much coarser than the finest already stay, as they do where a network halves the others.
    """
    finest = min(first.spacing_mm)
    spacing = [round(mm * factor, 4) if mm < 2 * finest else mm for mm in first.spacing_mm]
    try:
        plan = make_plan(dataset, fingerprint, **{**options, "spacing_mm": spacing})
    except UserError:
        return None
    return plan if plan.slice_axis == first.slice_axis else None


def drafts(plan: Plan, fingerprint: Fingerprint, *, keep_patch: bool) -> list[Plan]:
    """The plan with every patch, student and overlap that a network takes."""
    patches = [plan.patch] if keep_patch else _patches(plan, shapes_of(fingerprint, plan))
    found = []
    for patch in patches:
        for network in NETWORKS:
            draft = plan.model_copy(update={"patch": patch, "network": network, "overlap": OVERLAPS[0]})
            if _works(draft, fingerprint):
                found += [draft.model_copy(update={"overlap": overlap}) for overlap in OVERLAPS]
    return found


def _patches(plan: Plan, shapes: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """The planned patch; larger and smaller ones of its proportions; those that hold a whole case."""
    stride, planned = np.array(plan.total_stride), math.prod(plan.patch)
    median, largest = np.median(shapes, axis=0), shapes.max(axis=0)
    if plan.slice_axis is not None:
        median[plan.slice_axis] = largest[plan.slice_axis] = 1
    axes = len(plan.network_patch)
    most = min(LARGEST[axes], LOGITS_BYTES / FLOAT_BYTES / len(plan.classes) / AT_ONCE[axes])
    whole = [tuple(int(n) for n in np.ceil(shape / stride) * stride) for shape in (median, largest)]
    sized = [
        to_multiples(patch_size(largest.astype(float), plan.spacing_mm, int(voxels)), stride, int(voxels))
        for voxels in [planned * by for by in GROWN] + [planned / by for by in SHRUNK]
    ]
    return [
        patch
        for patch in dict.fromkeys([plan.patch, *whole, *sized])
        if patch == plan.patch or math.prod(patch) <= most
    ]


def _works(plan: Plan, fingerprint: Fingerprint) -> bool:
    """Whether the dataset and the network take the plan's patch."""
    try:
        check_plan(plan, fingerprint)
        check_patch(str(plan.network), plan.network_patch, divisor(student_spec(plan)))
    except UserError:
        return False
    return True


def shapes_of(fingerprint: Fingerprint, plan: Plan) -> NDArray[np.int64]:
    """Voxels [cases 3] once prepared."""
    return working_shapes(fingerprint, plan.orientation, plan.spacing_mm, crop=plan.crop)
