"""Two label maps in, tidy rows out: {"case", "label", "metric", "value"}, one per structure and metric.

    dice, iou                       share of voxels, in [0, 1]
    hd, hd95, assd                  mm
    nsd                             share of the surface's area within a tolerance in mm, in [0, 1]
    nsd_voxel                       the same, counting surface voxels (MONAI)
    volume_difference_ml            ml, prediction less reference (3D only)
    volume_difference_relative      the same, as a fraction of the reference
    slice_similarity                how far from the reference's is what neighbouring slices share (3D only)

The last is computed only where it is asked for: see `slice_similarity.py`.

A volume one voxel thick is a slice: its surfaces are the contours in its plane, not the two faces that every
one of its voxels has, and distances and lengths are those of the plane. Volumes are those of the thick slice.

With `unit="voxel"` distances and tolerances are measured on the voxel grid, for comparison with papers that
did so (dual self-distillation's evaluation passes no spacing). The names of the metrics that this changes
then end in `_in_voxels`, so that nobody takes them for millimetres.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol, get_args

from ..errors import UserError, unknown
from ..functional.upright import leans
from . import overlap, surface
from .by_slice import checked_axis, evaluate_slices
from .by_slice import slice_axis as across_slices
from .checks import (
    LabelMap,
    Labels,
    across_single_slice,
    checked_spacing,
    named_regions,
    tolerances_of,
    two_label_maps,
)
from .empty import Empty, Kind, check_empty, worth
from .overlap import Mask
from .slice_similarity import slice_similarity
from .structure import Structure, cut_out
from .surface_elements import nsd

Row = dict[str, Any]
Unit = Literal["mm", "voxel"]
By = Literal["case", "slice"]
Load = Callable[
    [str],
    tuple[LabelMap, LabelMap, Sequence[float]] | tuple[LabelMap, LabelMap, Sequence[float], float],
]

# What the conventions for empty structures distinguish. The volume differences need none.
KINDS: dict[str, Kind] = {
    "dice": "volume",
    "iou": "volume",
    "hd": "distance",
    "hd95": "distance",
    "assd": "distance",
    "nsd": "surface",
    "nsd_voxel": "surface",
}
IN_MM = tuple(name for name, kind in KINDS.items() if kind != "volume")  # or in voxels, if asked
METRICS = (*KINDS, "volume_difference_ml", "volume_difference_relative", "slice_similarity")
SOLID = ("volume_difference_ml", "slice_similarity")  # of volumes, not of planes
DEFAULT_METRICS = ("dice", "iou", "hd95", "assd", "nsd", "volume_difference_ml", "volume_difference_relative")


class Metric(Protocol):
    """A metric of one's own: a function of two masks [*s], cut out around the structure, empty or not."""

    __name__: str

    def __call__(self, reference: Mask, prediction: Mask, *, spacing_mm: Sequence[float]) -> float: ...


def evaluate_case(
    reference: LabelMap,
    prediction: LabelMap,
    *,
    case: str,
    labels: Labels,
    spacing_mm: Sequence[float],
    voxel_mm3: float | None = None,
    tolerance_mm: float | Mapping[str, float] = 1.0,
    metrics: Sequence[str | Metric] | None = None,
    empty: Empty = "nan",
    unknown_value: int | None = None,
    unit: Unit = "mm",
    slice_axis: int | None = None,
) -> list[Row]:
    """Every metric of every structure of one case.

    reference, prediction: label maps [I J K] or [I J] of any numeric type, whole values. What is one voxel
        thick along an axis is measured in the plane of the others.
    labels: {value: name}, where 0 is the background and not scored; or {name: value or values}, where several
        values unite to a region: {"whole tumour": (1, 2, 3)}. Other values belong to no structure.
    spacing_mm: one number per axis.
    voxel_mm3: volume of a voxel, the determinant of the affine (None: the product of the spacing). Where it
        is less than that product the axes lean, and distances in mm are undefined (NaN).
    tolerance_mm: of the NSD, for all structures or by name; in voxels where unit="voxel".
    metrics: names out of `METRICS`, or functions (see `Metric`). None: `DEFAULT_METRICS`, in 2D less the ml.
    empty: what holds where a mask is empty, see `empty.py`.
    unknown_value: of voxels that nobody labelled: neither map counts there.
    slice_axis: the one across the slices, for slice_similarity (None: that of the largest spacing).

    Raises `UserError` naming the case if shapes, spacing, values or options do not fit together.
    """
    reference, prediction = two_label_maps(reference, prediction, case, unknown_value)
    ndim = reference.ndim
    if metrics is None:
        metrics = [name for name in DEFAULT_METRICS if ndim == 3 or name != "volume_difference_ml"]
    spacing_mm = checked_spacing(spacing_mm, reference.shape, case)
    _check_metrics(metrics, ndim)
    check_empty(empty)
    if unit not in ("mm", "voxel"):
        raise unknown("unit of distances", unit, ("mm", "voxel"))
    regions = named_regions(labels)
    tolerances = tolerances_of(tolerance_mm, regions)
    across = across_slices(spacing_mm) if slice_axis is None else checked_axis(slice_axis)

    sheared = ndim == 3 and voxel_mm3 is not None and leans(spacing_mm, voxel_mm3)

    plane_mm = spacing_mm
    if (thin := across_single_slice(reference.shape)) is not None:
        plane_mm = tuple(step_mm for axis, step_mm in enumerate(spacing_mm) if axis != thin)
        reference, prediction = reference.squeeze(thin), prediction.squeeze(thin)
        _check_metrics([metric for metric in metrics if metric != "volume_difference_ml"], reference.ndim)
    grid = plane_mm if unit == "mm" else (1.0,) * len(plane_mm)
    diagonal = math.hypot(*(n * s for n, s in zip(reference.shape, grid, strict=True)))
    rows: list[Row] = []
    for structure in cut_out(reference, prediction, regions, grid):
        counts = structure.counts
        for metric in metrics:
            if callable(metric):
                value = float(metric(structure.reference, structure.prediction, spacing_mm=plane_mm))
            elif metric == "volume_difference_ml":
                value = overlap.volume_difference_ml(
                    counts, math.prod(spacing_mm) if voxel_mm3 is None else voxel_mm3
                )
            elif metric == "volume_difference_relative":
                value = overlap.volume_difference_relative(counts)
            elif metric == "slice_similarity":
                value = slice_similarity(structure.reference, structure.prediction, across)
            elif sheared and unit == "mm" and metric in IN_MM:
                value = math.nan
            elif counts.reference and counts.prediction:
                value = _measure(metric, structure, tolerances[structure.name])
            else:
                value = worth(KINDS[metric], counts, diagonal=diagonal, empty=empty)
            rows.append(
                {"case": case, "label": structure.name, "metric": _name(metric, unit), "value": value}
            )
    return rows


def evaluate_cases(
    cases: Iterable[str],
    load: Load,
    *,
    labels: Labels,
    tolerance_mm: float | Mapping[str, float] = 1.0,
    metrics: Sequence[str | Metric] | None = None,
    empty: Empty = "nan",
    unknown_value: int | None = None,
    unit: Unit = "mm",
    by: By = "case",
    slice_axis: int | None = None,
    threads: int = 4,
    progress: Callable[[str], None] = lambda case: None,
) -> list[Row]:
    """The rows of many cases, in their order; `load(case)` gives (reference, prediction, spacing_mm)
    and perhaps voxel_mm3, see `evaluate_case`.

    `unknown_value` is that of voxels that nobody labelled, which do not count.
    `by="slice"` scores each slice across `slice_axis` (see `by_slice.py`) by Dice and IoU; tolerance, metrics
    and unit do not apply there. By case, `slice_axis` is that of slice_similarity.
    Loading and measuring run in `threads` threads, which also bounds how many cases are in memory.
    `progress(case)` is called in order as cases are done. The first error ends the work and names its case.
    """

    check_by(by, slice_axis, metrics or ())

    def rows_of(case: str) -> list[Row]:
        try:
            reference, prediction, spacing_mm, *voxel_mm3 = load(case)
            if by == "slice":
                return evaluate_slices(
                    reference,
                    prediction,
                    case=case,
                    labels=labels,
                    spacing_mm=spacing_mm,
                    axis=slice_axis,
                    empty=empty,
                    unknown_value=unknown_value,
                )
            return evaluate_case(
                reference,
                prediction,
                case=case,
                labels=labels,
                spacing_mm=spacing_mm,
                voxel_mm3=voxel_mm3[0] if voxel_mm3 else None,
                tolerance_mm=tolerance_mm,
                metrics=metrics,
                empty=empty,
                unknown_value=unknown_value,
                unit=unit,
                slice_axis=slice_axis,
            )
        except UserError as error:
            if case in error.cause:
                raise
            raise UserError(f"case {case}: {error.cause}", error.fix) from error
        except Exception as error:
            error.add_note(f"while evaluating case {case}")
            raise

    rows: list[Row] = []
    with ThreadPoolExecutor(max_workers=threads) as pool:
        futures = [(case, pool.submit(rows_of, case)) for case in cases]
        try:
            for case, future in futures:
                rows += future.result()
                progress(case)
        finally:
            pool.shutdown(cancel_futures=True)
    return rows


def summarise_rows(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Per label and metric, in order of appearance: mean, std (n - 1), median, n and n_excluded.

    Values that are not finite are left out and counted in `n_excluded`. Values may be text (a CSV just read).
    """
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["label"], row["metric"]), []).append(float(row["value"]))
    summary: list[Row] = []
    for (label, metric), values in groups.items():
        finite = [value for value in values if math.isfinite(value)]
        summary.append(
            {
                "label": label,
                "metric": metric,
                "mean": statistics.fmean(finite) if finite else math.nan,
                "std": statistics.stdev(finite) if len(finite) > 1 else math.nan,
                "median": statistics.median(finite) if finite else math.nan,
                "n": len(finite),
                "n_excluded": len(values) - len(finite),
            }
        )
    return summary


def check_by(by: str, slice_axis: int | None = None, metrics: Sequence[str | Metric] = ()) -> None:
    """Raises `UserError` if `by` is no way to score, or a slice axis is named where none is asked for."""
    if by not in get_args(By):
        raise unknown("way to score", by, get_args(By))
    if slice_axis is not None and by != "slice" and "slice_similarity" not in metrics:
        raise UserError(f"slice axis {slice_axis} is given, but cases are scored", "add --by slice")


def _measure(metric: str, structure: Structure, tolerance_mm: float) -> float:
    """A metric of a structure of which neither mask is empty."""
    match metric:
        case "dice":
            return overlap.dice(structure.counts)
        case "iou":
            return overlap.iou(structure.counts)
        case "hd":
            return surface.hd(structure.distances)
        case "hd95":
            return surface.hd95(structure.distances)
        case "assd":
            return surface.assd(structure.distances)
        case "nsd":
            return nsd(structure.reference, structure.prediction, structure.spacing_mm, tolerance_mm)
        case "nsd_voxel":
            return surface.nsd_voxel(structure.distances, tolerance_mm)
    raise ValueError(metric)


def _name(metric: str | Metric, unit: Unit) -> str:
    if callable(metric):
        return metric.__name__
    return (
        f"{metric}_in_voxels" if unit == "voxel" and KINDS.get(metric) in ("distance", "surface") else metric
    )


def _check_metrics(metrics: Sequence[str | Metric], ndim: int) -> None:
    for metric in metrics:
        if not callable(metric) and metric not in METRICS:
            raise unknown("metric", metric, METRICS)
        if metric in SOLID and ndim != 3:
            raise UserError(f"{metric} needs volumes, these are 2D", "leave it out")
