"""Every slice of a scan scored as if it were a case of its own, as some papers do.

    case#017   slice 17 of the case, counted from 0 along the axis across the slices

Across the slices is the axis of the largest spacing, the last of equal ones, unless another is named, or the
case is a single slice. Dice and IoU are counted within the slice; distances, which would need the
neighbours, are not measured.

Most slices of most scans lie beside a small structure. Under `empty="one"` each of them is a full success of
any network that leaves it alone, so that the mean says more about how much of the scan is empty than about
the structure. Teach-Former's table of PI-CAI, where Dice and IoU nearly agree, points to this scoring. Such
numbers compare with that table, and with nothing that was scored by case.

Slices of one patient are alike; tests and intervals that took them for independent would be far too sure.
`by_case` therefore gives one value per case, the mean over its slices, and only these are compared.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from . import overlap
from .checks import (
    LabelMap,
    Labels,
    across_single_slice,
    checked_spacing,
    named_regions,
    two_label_maps,
)
from .empty import Empty, check_empty, worth
from .overlap import Counts

SLICE_METRICS = ("dice", "iou")
SAME_SPACING = 1e-3  # relative: headers round


def evaluate_slices(
    reference: LabelMap,
    prediction: LabelMap,
    *,
    case: str,
    labels: Labels,
    spacing_mm: Sequence[float],
    axis: int | None = None,
    empty: Empty = "nan",
    unknown_value: int | None = None,
) -> list[dict[str, Any]]:
    """Dice and IoU of every structure in every slice of one case: rows as of `evaluate_case`, by slice.

    reference, prediction: label maps [I J K] of any numeric type, whole values.
    labels, empty, unknown_value: see `evaluate_case`.
    axis: the one across the slices, 0 to 2 (None: by `spacing_mm`).

    Raises `UserError` naming the case if shapes, spacing, values or options do not fit together.
    """
    reference, prediction = two_label_maps(reference, prediction, case, unknown_value)
    check_empty(empty)
    spacing_mm = checked_spacing(spacing_mm, reference.shape, case)
    if reference.ndim != 3:
        raise UserError(
            f"case {case}: label maps of shape {reference.shape} are slices already", "score them by case"
        )
    across = across_single_slice(reference.shape)
    if across is None:
        across = slice_axis(spacing_mm) if axis is None else checked_axis(axis)
    regions = named_regions(labels)
    counted = {name: _counts(reference, prediction, values, across) for name, values in regions.items()}
    return [
        {
            "case": f"{case}#{n:03d}",
            "label": name,
            "metric": metric,
            "value": _value(metric, counts_N[n], empty),
        }
        for n in range(reference.shape[across])
        for name, counts_N in counted.items()
        for metric in SLICE_METRICS
    ]


def slice_axis(spacing_mm: Sequence[float]) -> int:
    """The axis across the slices: of the largest spacing, the last of equal ones."""
    largest = max(spacing_mm)
    return max(n for n, step_mm in enumerate(spacing_mm) if step_mm >= largest * (1 - SAME_SPACING))


def by_case(values: Mapping[str, float]) -> dict[str, float]:
    """Values by slice as values by case: the mean over the slices that have one; NaN where none has."""
    of_case: dict[str, list[float]] = {}
    for slice_id, value in values.items():
        finite = of_case.setdefault(case_of(slice_id), [])
        if math.isfinite(value):
            finite.append(value)
    return {case: fmean(finite) if finite else math.nan for case, finite in of_case.items()}


def case_of(slice_id: str) -> str:
    """The case that a slice is of."""
    return slice_id.rpartition("#")[0]


def _counts(
    reference: npt.NDArray[Any], prediction: npt.NDArray[Any], values: Collection[int], across: int
) -> list[Counts]:
    """The voxels of one structure in each slice."""
    wanted = list(values)
    masks = [np.isin(labels, wanted) for labels in (reference, prediction)]
    in_plane = tuple(axis for axis in range(3) if axis != across)
    numbers = [np.count_nonzero(mask, axis=in_plane) for mask in (*masks, masks[0] & masks[1])]
    return [Counts(int(r), int(p), int(both)) for r, p, both in zip(*numbers, strict=True)]


def _value(metric: str, counts: Counts, empty: Empty) -> float:
    if not (counts.reference and counts.prediction):
        return worth("volume", counts, diagonal=math.nan, empty=empty)
    return overlap.dice(counts) if metric == "dice" else overlap.iou(counts)


def checked_axis(axis: int) -> int:
    """`axis`, or `UserError` where a volume has none such."""
    if axis not in (0, 1, 2):
        raise UserError(f"there is no slice axis {axis}", "give 0, 1 or 2, or leave it out")
    return axis
