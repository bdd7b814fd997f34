"""What evaluation is given, checked and brought into one form; each mistake is answered with its fix."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError

LabelMap = npt.NDArray[Any]
Labels = Mapping[int, str] | Mapping[str, int | Collection[int]]


def named_regions(labels: Labels) -> dict[str, tuple[int, ...]]:
    """Name -> label values, from either form of `labels`."""
    regions: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        if isinstance(key, str):
            values: tuple[Any, ...] = tuple(value) if isinstance(value, Collection) else (value,)
            if not values or not all(isinstance(v, int | np.integer) and v >= 0 for v in values):
                raise UserError(
                    f"region {key!r} unites the values {value!r}",
                    "give whole numbers from 0 up, at least one",
                )
            regions[key] = tuple(int(v) for v in values)
        elif key != 0:
            if value in regions:
                raise UserError(
                    f"two label values are named {value!r}", "name a region instead: {name: (value, value)}"
                )
            regions[str(value)] = (int(key),)
    if not regions:
        raise UserError(
            f"the labels {dict(labels)} name no structure", "name one: {1: 'liver'} or {'liver': 1}"
        )
    return regions


def tolerances_of(tolerance_mm: float | Mapping[str, float], regions: Collection[str]) -> dict[str, float]:
    """The tolerance of every structure."""
    if not isinstance(tolerance_mm, Mapping):
        tolerance_mm = dict.fromkeys(regions, tolerance_mm)
    for name in regions:
        if name not in tolerance_mm:
            raise UserError(
                f"no tolerance for {name!r}", f"the tolerances name {', '.join(tolerance_mm) or 'nothing'}"
            )
        if not 0 <= tolerance_mm[name] < math.inf:
            raise UserError(
                f"the tolerance for {name!r} is {tolerance_mm[name]} mm", "give a finite number from 0 up"
            )
    return {name: float(tolerance_mm[name]) for name in regions}


def checked_spacing(spacing_mm: Sequence[float], shape: tuple[int, ...], case: str) -> tuple[float, ...]:
    """One positive number per axis of an image of two or three."""
    if len(shape) not in (2, 3):
        raise UserError(f"case {case}: label maps of shape {shape}", "give arrays of two or three axes")
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != len(shape) or not all(0 < s < math.inf for s in spacing):
        raise UserError(
            f"case {case}: spacing {spacing} mm for label maps of shape {shape}",
            "give one finite number above 0 per axis",
        )
    return spacing


def across_single_slice(shape: tuple[int, ...]) -> int | None:
    """The axis along which a volume is one voxel thick; None for others and for what is 2D already."""
    single = [axis for axis, n in enumerate(shape) if n == 1]
    return single[0] if len(shape) == 3 and len(single) == 1 else None


def two_label_maps(
    reference: LabelMap, prediction: LabelMap, case: str, unknown_value: int | None = None
) -> tuple[LabelMap, LabelMap]:
    """Both as arrays of an integer type and of one shape.

    Where the reference has `unknown_value` nobody knows what is there: both are background, so that
    neither counts.
    """
    reference, prediction = np.asarray(reference), np.asarray(prediction)
    if reference.shape != prediction.shape:
        raise UserError(
            f"case {case}: the reference has shape {reference.shape}, the prediction {prediction.shape}",
            "both must be label maps on the scan's own grid, as `distilseg predict` writes them",
        )
    reference = whole_numbers(reference, f"case {case}: the reference")
    prediction = whole_numbers(prediction, f"case {case}: the prediction")
    if unknown_value is None:
        return reference, prediction
    known = reference != unknown_value
    return np.where(known, reference, 0), np.where(known, prediction, 0)


def whole_numbers(labels: LabelMap, what: str) -> LabelMap:
    """A label map of an integer type."""
    if labels.dtype == bool:
        return labels.view(np.uint8)
    if np.issubdtype(labels.dtype, np.integer):
        return labels
    if np.issubdtype(labels.dtype, np.floating):
        with np.errstate(invalid="ignore"):
            whole = labels.astype(np.int32)
        wrong = whole != labels
        if not wrong.any():
            return whole
        raise UserError(
            f"{what} holds {labels[wrong][0]}, no label value", "did you pass probabilities or an image?"
        )
    raise UserError(f"{what} is of type {labels.dtype}", "give a label map of whole numbers")
