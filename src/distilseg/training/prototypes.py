"""What a teacher's feature is on average over each class: fitted once over its own data set.

    slice_mean   Z[k] = mean over the slices that hold class k of  Σ_i X_i [y_i = k] / Σ_i [y_i = k]
    pixel_mean   Z[k] = Σ X_i [y_i = k] / Σ [y_i = k]  over all pixels of all slices

i runs over the pixels of a slice, X is the blended output of the frozen teacher over the whole volume (of its
logits, not of their softmax). One volume is in memory at a time: cases and slices are only summed, in
float64.

Which slices take part: those whose body-part score lies in a range, where the user has scores; else those
between the first and the last that holds any of the organs, or a part of that extent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .. import __version__, progress
from ..data.planning.plan import Plan
from ..data.planning.views import VIEWS, view_axis
from ..data.preparing.cache import CachedCase
from ..data.preparing.grid import Grid
from ..data.prototypes import PrototypeFile, PrototypeReduce, check_scores
from ..errors import UserError, unknown
from ..functional.dist import class_sums
from ..inference.denormals import denormals_flushed
from ..inference.stitched import stitched
from ..networks.build import NetworkSpec
from .recorded import OVERLAP, Teacher


def fit_prototypes(
    teacher: Teacher,
    spec: NetworkSpec,
    plan: Plan,
    cases: Mapping[str, CachedCase],
    *,
    feature: str = "logits",
    reduce: PrototypeReduce = "slice_mean",
    softmax: bool = False,
    across: str | int = "axial",
    organs: Sequence[str] = (),
    extent: tuple[float, float] = (0.0, 1.0),
    scores: Mapping[str, Sequence[float]] | None = None,
    score_range: tuple[float, float] | None = None,
    device: torch.device | str = "cpu",
) -> PrototypeFile:
    """The prototypes of `teacher` (described by `spec`, trained with `plan`) over its prepared `cases`.

    `feature`: "logits", or one that the teacher is tapped for. `softmax`: of the feature over its channels,
    before any mean. `across`: a view, or the axis across the slices. `organs`: class names whose extent says
    which slices take part, () for all but the background, and `extent` the part of it, from 0 to 1 along the
    axis. With `scores` (case id -> one score per slice of the scan, in the order of its file) and
    `score_range` (lowest, highest) these decide instead. Bad options, teachers of regions,
    cases without a label and sets without any slice raise UserError.
    """
    axis, wanted = check_fit(
        plan,
        reduce=reduce,
        across=across,
        organs=organs,
        extent=extent,
        scores=scores,
        score_range=score_range,
    )
    if feature not in teacher.names:
        raise unknown("feature of the teacher", feature, teacher.names)
    if spec.classes != len(plan.classes):
        raise UserError(
            f"the teacher answers {spec.classes} channels, its plan has the classes"
            f" {', '.join(plan.classes)}",
            "prototypes are of classes: take a teacher that was trained on them, not on regions",
        )
    low, high = extent if score_range is None else score_range

    def slices_of(id: str) -> NDArray[np.intp]:
        if scores is None:
            return organ_slices(_label(cases[id]), wanted, axis, (low, high))
        return _scored(scores, id, cases[id].grid, axis, (low, high))

    kept = {id: slices for id in cases if len(slices := slices_of(id))}
    sums = _summed(teacher, plan, cases, kept, feature, softmax, axis, torch.device(device))
    if not sums:
        raise UserError(
            f"none of the {len(cases)} cases has a slice from {low:g} to {high:g}",
            "widen the range, or name other organs",
        )
    weights = {"slice_mean": ("means", "slices"), "pixel_mean": ("totals", "voxels")}[reduce]
    values_KC = (sums[weights[0]] / sums[weights[1]].clamp(min=1)[:, None]).tolist()
    counts = {
        name: dict(zip(plan.classes, (int(n) for n in sums[name]), strict=True))
        for name in ("slices", "voxels")
    }
    slice_range: dict[str, Any] = (
        {"by": "score", "lowest": low, "highest": high}
        if scores is not None
        else {"by": "organs", "organs": [plan.classes[k] for k in wanted], "from": low, "to": high}
    )
    return PrototypeFile(
        feature=feature,
        prototypes={
            name: tuple(values) if counts["slices"][name] else None
            for name, values in zip(plan.classes, values_KC, strict=True)
        },
        slices=counts["slices"],
        voxels=counts["voxels"],
        reduce=reduce,
        softmax=softmax,
        across=str(across),
        slice_range=slice_range,
        dataset=plan.dataset,
        cases=len(kept),
        modalities=plan.modalities,
        preprocessing=plan.preprocessing(),
        network=_without_paths(spec),
        weights=teacher.digest,
        made_by=__version__,
    )


def check_fit(
    plan: Plan,
    *,
    reduce: PrototypeReduce = "slice_mean",
    across: str | int = "axial",
    organs: Sequence[str] = (),
    extent: tuple[float, float] = (0.0, 1.0),
    scores: Mapping[str, Sequence[float]] | None = None,
    score_range: tuple[float, float] | None = None,
    **others: object,
) -> tuple[int, tuple[int, ...]]:
    """The axis across the slices and the indices of the organs; UserError for options that cannot be.

    They are those of `fit_prototypes`; the plan is enough, so that a long training may come after.
    """
    axis = _axis(across, plan)
    if reduce not in get_args(PrototypeReduce):
        raise unknown("mean", reduce, get_args(PrototypeReduce))
    check_scores(scores, score_range)
    low, high = extent if score_range is None else score_range
    if not (low < high if score_range else 0 <= low < high <= 1):
        raise UserError(
            f"the slices are to be taken from {low:g} to {high:g}",
            "the first number is the lower; parts of the organs' extent lie between 0 and 1",
        )
    return axis, _organs(organs, plan.classes)


def organ_slices(
    label: NDArray[np.uint8], organs: Sequence[int], axis: int, extent: tuple[float, float]
) -> NDArray[np.intp]:
    """Slices between the first and the last that holds any of `organs`, the part `extent` of them."""
    others = tuple(n for n in range(label.ndim) if n != axis)
    held = np.flatnonzero(np.isin(label, organs).any(axis=others))
    if not len(held):
        return held
    first, count = int(held[0]), int(held[-1]) - int(held[0]) + 1
    place = (np.arange(count) + 0.5) / count
    return first + np.flatnonzero((extent[0] <= place) & (place <= extent[1]))


def scores_on_grid(scores: Sequence[float], grid: Grid, axis: int) -> NDArray[np.float64]:
    """Scores of a scan's own slices, interpolated to the slices of the prepared volume along `axis`.

    Raises ValueError if there are not as many as the scan has slices.
    """
    slices = grid.original_shape[grid.order[axis]]
    values = np.asarray(scores, np.float64)
    if values.shape != (slices,) or not np.isfinite(values).all():
        raise ValueError(f"{slices} finite scores were expected, one per slice, {len(values)} came")
    if grid.flipped[axis]:
        values = values[::-1]
    start, stop = grid.box[axis]
    prepared = grid.working_shape[axis]
    centres = start + (np.arange(prepared) + 0.5) * (stop - start) / prepared - 0.5
    return np.interp(centres, np.arange(slices), values)


def _scored(
    scores: Mapping[str, Sequence[float]], id: str, grid: Grid, axis: int, between: tuple[float, float]
) -> NDArray[np.intp]:
    if id not in scores:
        raise UserError(f"case {id} has no body-part scores", "give one score per slice of every case")
    try:
        values = scores_on_grid(scores[id], grid, axis)
    except ValueError as error:
        raise UserError(f"case {id}: {error}", "score every slice of the scan, in its file's order") from None
    return np.flatnonzero((between[0] <= values) & (values <= between[1]))


def _output(
    teacher: Teacher, feature: str, case: CachedCase, patch: tuple[int, ...], device: torch.device
) -> Tensor:
    """The teacher's map [C *S] over the whole case, at the image's resolution."""
    image = torch.from_numpy(np.array(case.image))[None].to(device)
    with denormals_flushed():
        maps = stitched(image, lambda x: {feature: teacher.outputs(x)[feature]}, patch, overlap=OVERLAP)
    values, stride = maps[feature]
    if math.prod(stride) > 1:
        whole = [n * s for n, s in zip(values.shape[1:], stride, strict=True)]
        values = F.interpolate(values[None], whole, mode="trilinear", align_corners=False)[0]
    return values[(slice(None), *(slice(n) for n in case.image.shape[1:]))]


def _slices(
    output: Tensor, label: NDArray[np.uint8], kept: NDArray[np.intp], axis: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The slices `kept` of a volume, each a feature [1 C *S] in float64 and a label [1 1 *S]."""
    for index in kept.tolist():
        feature_1CS = output.select(1 + axis, index)[None].double()
        yield feature_1CS, torch.from_numpy(np.array(np.take(label, index, axis)))[None, None]


def _summed(
    teacher: Teacher,
    plan: Plan,
    cases: Mapping[str, CachedCase],
    kept: Mapping[str, NDArray[np.intp]],
    feature: str,
    softmax: bool,
    axis: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """What `_add` sums, over the slices `kept` of each case."""
    sums: dict[str, Tensor] = {}
    patch = tuple(teacher.patch or plan.patch)
    teacher.network.to(device).eval()
    try:
        for id, slices in progress.counted(kept.items(), "fitting prototypes"):
            case = cases[id]
            for feature_1CS, label_11S in _slices(
                _output(teacher, feature, case, patch, device), _label(case), slices, axis
            ):
                shown = feature_1CS.softmax(1) if softmax else feature_1CS
                _add(sums, shown, label_11S, len(plan.classes))
    finally:
        teacher.network.to("cpu")
    return sums


def _add(sums: dict[str, Tensor], feature_1CS: Tensor, label_11S: Tensor, classes: int) -> None:
    """Adds a slice: means and totals [K C], slices and voxels [K]."""
    (total_KC,), (voxels_K,) = class_sums(feature_1CS, label_11S, classes)
    new = {
        "means": total_KC / voxels_K.clamp(min=1)[:, None],
        "totals": total_KC,
        "slices": (voxels_K > 0).double(),
        "voxels": voxels_K,
    }
    for name, value in new.items():
        sums[name] = sums[name] + value if name in sums else value


def _label(case: CachedCase) -> NDArray[np.uint8]:
    if case.label is None:
        raise UserError(f"case {case.id} has no label", "fit prototypes on labelled cases")
    return case.label


def _axis(across: str | int, plan: Plan) -> int:
    if isinstance(across, str):
        if across not in VIEWS:
            raise unknown("view", across, VIEWS)
        return view_axis(plan.orientation, across)
    if across not in range(3):
        raise unknown("axis", across, range(3))
    return across


def _organs(names: Sequence[str], classes: tuple[str, ...]) -> tuple[int, ...]:
    for name in names:
        if name not in classes:
            raise unknown("organ", name, classes[1:])
    return tuple(map(classes.index, names)) if names else tuple(range(1, len(classes)))


def _without_paths(spec: NetworkSpec) -> dict[str, Any]:
    """The description, of paths only the file's name: the prototypes may be given away."""
    about = spec.to_dict()
    about["name"] = Path(about["name"]).name
    about["options"] = {
        name: Path(value).name if isinstance(value, str) else value
        for name, value in about["options"].items()
    }
    return about
