"""The plan: how the scans of a dataset are prepared and cut, decided once and saved as JSON people can edit.

A fingerprint is measured, a plan is decided: orientation, spacing, cropping, normalisation by modality,
patch, batch size and the strides of the network's levels, each with the reason why. `make_plan` decides,
`check_plan` refuses what cannot work, `save_plan` and `load_plan` keep it. Axes are those of the oriented
volume, I J K.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UserError, unknown
from ..files import write_text
from .case import Dataset
from .fingerprint import Fingerprint, Intensities, axis_order, working_shapes
from .levels import level_strides, patch_size, to_multiples
from .readable import readable_json
from .slices import coarsest_axis, in_plane, slice_axis

NormalisationKind = Literal[
    "window_zscore",
    "zscore",
    "zscore_damped",
    "zscore_nonzero",
    "minmax",
    "maximum",
    "range",
    "range_zscore_nonzero",
    "percentile",
    "none",
]
KINDS: tuple[str, ...] = get_args(NormalisationKind)

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "window_zscore": ("low", "high", "mean", "std"),
    "range": ("low", "high"),
    "range_zscore_nonzero": ("low", "high"),
}

DEFAULT_LEVELS, MOST_LEVELS = 5, 6
ANISOTROPIC = 3.0  # ratio of spacings from which the coarsest axis is treated apart (Isensee et al., 2021)
SLICE_VOXELS = 256**2
WORTH_CROPPING = 0.75  # of the volume: where more is non-zero, cropping saves little

PositiveMm = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Positive = Annotated[int, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Normalisation(BaseModel):
    """How the intensities of one modality are scaled; `data/normalise.py` explains and applies each kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: NormalisationKind
    low: Finite | None = None
    high: Finite | None = None
    mean: Finite | None = None
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Normalisation:
        missing = [name for name in _NEEDS.get(self.kind, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"kind {self.kind} needs {', '.join(missing)}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class Plan(BaseModel):
    """Everything decided about a dataset before training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    modalities: Annotated[tuple[str, ...], Field(min_length=1)]  # order of the image channels
    labels: dict[int, str]  # value in the label maps -> name
    regions: dict[
        str, tuple[int, ...]
    ] = {}  # unions of label values, outermost first; judged instead of labels
    orientation: str = "RAS"
    spacing_mm: tuple[PositiveMm, ...]
    interpolation: Literal["linear", "cubic"] = "linear"  # of images
    crop: Literal["none", "nonzero", "center"] = "none"
    crop_voxels: tuple[Positive, Positive, Positive] | None = None  # of "center", at the scan's own spacing
    normalisation: dict[str, Normalisation]  # by modality
    patch: tuple[Positive, ...]  # voxels
    batch_size: Positive = 2
    strides: Annotated[tuple[tuple[Positive, ...], ...], Field(min_length=1)]  # per level, the first all 1
    reasons: dict[str, str] = {}  # field -> why it was decided so

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values in ascending order; class index k stands for the k-th of them."""
        return tuple(sorted(self.labels))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by class index, background first."""
        return tuple(self.labels[value] for value in self.label_values)

    @property
    def region_classes(self) -> tuple[tuple[int, ...], ...]:
        """Class indices that each region unites."""
        return tuple(tuple(map(self.label_values.index, values)) for values in self.regions.values())

    @property
    def paints(self) -> tuple[int, ...]:
        """The class index that each region is painted with: the one that no later region holds."""
        return tuple(own[0] for own in _own_values(self.region_classes))

    def seeing(self, modalities: Sequence[str]) -> Plan:
        """The plan of a network that is shown these modalities only, in this order."""
        kept = {name: self.normalisation[name] for name in modalities}
        return self.model_copy(update={"modalities": tuple(modalities), "normalisation": kept})

    @property
    def total_stride(self) -> tuple[int, ...]:
        """By how much the bottleneck is coarser than the patch, per axis."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))

    @property
    def slice_axis(self) -> int | None:
        """The axis along which the patch is a single slice, so that networks are 2D; None in 3D."""
        return slice_axis(self.patch)

    @property
    def network_patch(self) -> tuple[int, ...]:
        """The patch as networks see it: without the slice axis."""
        return in_plane(self.patch, self.slice_axis)

    @property
    def network_strides(self) -> tuple[tuple[int, ...], ...]:
        """The strides per level as networks see them: without the slice axis."""
        return tuple(in_plane(stride, self.slice_axis) for stride in self.strides)

    def preprocessing(self) -> dict[str, Any]:
        """What changes preprocessed voxels, and only that: the key of the cache."""
        return {
            "modalities": list(self.modalities),
            "label_values": list(self.label_values),
            "orientation": self.orientation,
            "spacing_mm": list(self.spacing_mm),
            "interpolation": self.interpolation,
            "crop": self.crop,
            **({"crop_voxels": list(self.crop_voxels)} if self.crop_voxels else {}),
            "normalisation": {
                name: self.normalisation[name].model_dump(exclude_none=True) for name in self.modalities
            },
        }


def save_plan(path: Path, plan: Plan) -> None:
    """Writes the plan as JSON, short lists on one line."""
    write_text(path, readable_json(plan.model_dump(mode="json", exclude_none=True)) + "\n")


def load_plan(path: Path, fingerprint: Fingerprint | None = None) -> Plan:
    """Reads and checks a plan; an edit that makes no sense is refused in one line that names the field."""
    try:
        plan = Plan.model_validate(json.loads(path.read_text(encoding="utf-8")))
        check_plan(plan, fingerprint)
    except FileNotFoundError:
        raise UserError(f"no plan at {path}", "make one with `distilseg plan`") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON (line {error.lineno}: {error.msg})", "repair it") from None
    except ValidationError as error:
        raise UserError(f"{path}: {_one_line(error)}", "correct that field") from None
    except UserError as error:
        raise UserError(f"{path}: {error.cause}", error.fix) from None
    return plan


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            return f"the field {field} is missing"
        case "extra_forbidden":
            known = Normalisation.model_fields if len(first["loc"]) > 1 else Plan.model_fields
            return f"the field {field} is unknown (known: {', '.join(known)})"
        case "value_error":
            return f"{field}: {first['msg'].removeprefix('Value error, ')}"
    expected = first["msg"].replace("Input should", "must")
    return f"{field or 'the plan'} {expected}, not {reprlib.repr(first['input'])}"


def check_plan(plan: Plan, fingerprint: Fingerprint | None = None) -> None:
    """Refuses, by `UserError` and with the reason, a plan that cannot work (on a dataset, if measured)."""
    axis_order(plan.orientation)
    if 0 not in plan.labels or len(plan.labels) < 2:
        raise UserError(f"labels {plan.labels} need the background 0 and a structure", "name both")
    if differing := set(plan.modalities) ^ set(plan.normalisation):
        name = sorted(differing)[0]
        if name in plan.modalities:
            raise UserError(
                f"modality {name!r} has no normalisation", f"add it, as one of {', '.join(KINDS)}"
            )
        raise unknown("modality in normalisation", name, plan.modalities)
    for name, values in {"spacing_mm": plan.spacing_mm, "patch": plan.patch}.items():
        if len(values) != 3:
            raise UserError(
                f"{name} {list(values)} has {len(values)} axes", "give one number for each of 3 axes"
            )
    if len(plan.strides) < 2:
        raise UserError(
            f"a patch of {_times(plan.patch)} voxels with a single level leaves nothing to pool",
            "give strides for a second level, or a patch with an even axis of at least 4 voxels",
        )
    _check_regions(plan)
    if (plan.crop == "center") != (plan.crop_voxels is not None):
        raise UserError(
            f"crop is {plan.crop} and crop_voxels {plan.crop_voxels}",
            'a centre crop needs both: "crop": "center", "crop_voxels": [128, 128, 128]',
        )
    for level, stride in enumerate(plan.strides):
        if len(stride) != 3:
            raise UserError(
                f"strides: level {level} has {len(stride)} axes {list(stride)}", "give 3 strides a level"
            )
    if set(plan.strides[0]) != {1}:
        raise UserError(
            f"strides: level 0 is {list(plan.strides[0])}", "level 0 is the finest: all strides are 1"
        )
    _check_bottleneck(plan)
    if fingerprint is not None:
        _check_fits(plan, fingerprint)


def _check_regions(plan: Plan) -> None:
    for name, values in plan.regions.items():
        if strange := [value for value in values if value not in plan.labels or value == 0]:
            raise UserError(
                f"region {name!r} unites the label {strange[0]}, the structures are"
                f" {', '.join(str(value) for value in plan.label_values if value)}",
                "name label values other than the background",
            )
    for name, own in zip(plan.regions, _own_values(tuple(plan.regions.values())), strict=True):
        if len(own) != 1:
            told = "no label" if not own else f"the labels {', '.join(map(str, own))}"
            raise UserError(
                f"region {name!r} alone holds {told} beside the regions after it",
                "name them from the outermost to the innermost, each with one label more than those within",
            )


def _own_values(regions: Sequence[Sequence[int]]) -> list[list[int]]:
    """Of each region, the values that no later one holds."""
    return [
        [value for value in region if not any(value in later for later in regions[n + 1 :])]
        for n, region in enumerate(regions)
    ]


def _check_bottleneck(plan: Plan) -> None:
    for axis, (n, stride) in enumerate(zip(plan.patch, plan.total_stride, strict=True)):
        if n % stride:
            raise UserError(
                f"patch {_times(plan.patch)}: axis {axis} has {n} voxels, no multiple of its strides' product"
                f" {stride}",
                f"use {max(2, n // stride) * stride} voxels, or fewer levels",
            )
        if stride > 1 and n // stride < 2:
            raise UserError(
                f"patch {_times(plan.patch)} with {len(plan.strides)} levels leaves a bottleneck of one voxel"
                f" on axis {axis} ({n} voxels, stride {stride} in all), which instance norm cannot train",
                f"use at least {2 * stride} voxels on that axis, or fewer levels",
            )
    if math.prod(plan.patch) == math.prod(plan.total_stride):
        raise UserError(
            f"a patch of {_times(plan.patch)} is a single voxel at the bottleneck", "use a larger patch"
        )


def _check_fits(plan: Plan, fingerprint: Fingerprint) -> None:
    if set(plan.modalities) != set(fingerprint.intensities):
        raise UserError(
            f"the plan is for the modalities {', '.join(plan.modalities)},"
            f" dataset {fingerprint.dataset} has {', '.join(fingerprint.intensities)}",
            "make a plan for this dataset with `distilseg plan`",
        )
    shapes = working_shapes(
        fingerprint, plan.orientation, plan.spacing_mm, crop=plan.crop, crop_voxels=plan.crop_voxels
    )
    largest = np.max(shapes, axis=0)
    for axis, (n, stride, most) in enumerate(
        zip(plan.patch, plan.total_stride, largest.tolist(), strict=True)
    ):
        fitting = math.ceil(most / stride) * stride
        if n > fitting:
            raise UserError(
                f"patch {_times(plan.patch)}: no case fills the {n} voxels of axis {axis}, the largest has"
                f" {most} at {plan.spacing_mm[axis]:g} mm",
                f"use at most {max(fitting, 2 * stride if stride > 1 else 1)} there",
            )


def make_plan(
    dataset: Dataset,
    fingerprint: Fingerprint,
    *,
    orientation: str = "RAS",
    spacing_mm: Sequence[float] | None = None,
    interpolation: Literal["linear", "cubic"] = "linear",
    crop: Literal["none", "nonzero"] | None = None,
    normalisation: str | Mapping[str, str | Normalisation] | None = None,
    patch: Sequence[int] | None = None,
    patch_voxels: int = 64**3,
    batch_size: int = 2,
    levels: int | None = None,
    slices: bool = False,
) -> Plan:
    """Decides a plan for `dataset`; whatever is given is kept, what cannot work is refused by `UserError`.

    `slices` makes patches of one slice, for 2D networks: across the coarsest axis, the last of equal ones.
    `normalisation` is one kind for all modalities or a kind for some of them; a range is written
    "range:-175:250". `patch_voxels` bounds the patch where none is given: memory grows with it. `levels` is
    the depth of the network, the finest level included (else 5, or as many as the patch allows).
    """
    for name, given in {"spacing_mm": spacing_mm, "patch": patch}.items():
        if given is not None and (len(given) != 3 or min(given) <= 0):
            raise UserError(f"{name} {list(given)} is no size", "give three numbers above 0")
    if levels is not None and not 1 <= levels <= MOST_LEVELS:
        raise UserError(
            f"{levels} levels are too {'few' if levels < 1 else 'many'}", f"use 1 to {MOST_LEVELS}"
        )
    reasons: dict[str, str] = {}
    if spacing_mm is None:
        spacing_mm, reasons["spacing_mm"] = _spacing(orientation, fingerprint)
    else:
        reasons["spacing_mm"] = "given"
    if crop is None:
        crop, reasons["crop"] = _crop(fingerprint)
    scaling, reasons["normalisation"] = _normalisations(dataset, fingerprint, normalisation)
    median = np.median(working_shapes(fingerprint, orientation, spacing_mm, crop=crop), axis=0)
    depth = levels or DEFAULT_LEVELS
    if slices and patch is None:
        median[coarsest_axis(spacing_mm)] = 1
        patch_voxels, batch_size = SLICE_VOXELS, batch_size * patch_voxels // SLICE_VOXELS
    if patch is None:
        size = patch_size(median, spacing_mm, patch_voxels)
        strides = level_strides(size, spacing_mm, depth, whole=False)
        patch = to_multiples(size, np.prod(strides, axis=0), patch_voxels)
        reasons["patch"] = (
            f"the median case has {_times(np.round(median).astype(int).tolist())} voxels; of that at most"
            f" {patch_voxels}, in multiples of the strides"
        )
    else:
        strides = level_strides(np.array(patch, float), spacing_mm, depth, whole=True)
        reasons["patch"] = "given"
    if levels is not None and len(strides) < levels:
        raise UserError(
            f"a patch of {_times(patch)} cannot carry {levels} levels: more than {len(strides) - 1} halvings"
            " leave a bottleneck of one voxel, or half a voxel",
            f"use {len(strides)} levels, or axes that are multiples of {2 ** (levels - 1)} from {2**levels}",
        )
    reasons["strides"] = (
        "each level halves the axes that keep at least 2 voxels at the bottleneck; a coarse axis waits until"
        " the others are as coarse"
    )
    try:
        plan = Plan(
            dataset=dataset.name,
            modalities=dataset.modalities,
            labels=dict(sorted(dataset.labels.items())),
            orientation=orientation,
            spacing_mm=tuple(float(mm) for mm in spacing_mm),
            interpolation=interpolation,
            crop=crop,
            normalisation=scaling,
            patch=tuple(int(n) for n in patch),
            batch_size=batch_size,
            strides=strides,
            reasons=reasons,
        )
    except ValidationError as error:
        raise UserError(f"the plan cannot be made: {_one_line(error)}", "correct that option") from None
    check_plan(plan, fingerprint)
    return plan


def _spacing(orientation: str, fingerprint: Fingerprint) -> tuple[tuple[float, ...], str]:
    order = axis_order(orientation)
    spacings = np.array([[case.spacing_mm[axis] for axis in order] for case in fingerprint.cases])
    median = np.median(spacings, axis=0)
    reason = "the median of the cases"
    if median.max() > ANISOTROPIC * median.min():
        coarsest = int(median.argmax())
        finer = float(np.percentile(spacings[:, coarsest], 10))
        median[coarsest] = max(finer, float(np.delete(median, coarsest).max()))
        reason += (
            f"; on the far coarser axis {coarsest} their 10th percentile, to lose less of the finer ones"
        )
    return tuple(round(float(mm), 4) for mm in median), reason


def _crop(fingerprint: Fingerprint) -> tuple[Literal["none", "nonzero"], str]:
    kept = np.median([np.prod(case.nonzero_shape) / np.prod(case.shape) for case in fingerprint.cases])
    reason = f"the box around all non-zero voxels holds {kept:.0%} of a median case"
    return ("nonzero" if kept < WORTH_CROPPING else "none"), reason


def _normalisations(
    dataset: Dataset, fingerprint: Fingerprint, given: str | Mapping[str, str | Normalisation] | None
) -> tuple[dict[str, Normalisation], str]:
    wanted = dict.fromkeys(dataset.modalities, given) if isinstance(given, str) else dict(given or {})
    for name in wanted:
        if name not in dataset.modalities:
            raise unknown("modality in normalisation", name, dataset.modalities)
    scaling, reasons = {}, []
    for name in dataset.modalities:
        kind = wanted.get(name)
        measured = fingerprint.intensities[name]
        if kind is None and is_ct(name) and measured.std > 0:
            kind, reason = "window_zscore", "CT is calibrated: one window and one scale for the set"
        elif kind is None:
            kind, reason = "zscore", "not calibrated: each image by itself"
        else:
            reason = "given"
        scaling[name] = kind if isinstance(kind, Normalisation) else _normalisation(name, kind, measured)
        reasons.append(f"{name}: {reason}")
    return scaling, "; ".join(reasons)


def _normalisation(modality: str, text: str, measured: Intensities) -> Normalisation:
    """ "minmax" or "range:-175:250" as a `Normalisation`; the set's window and moments are filled in."""
    kind, *bounds = text.split(":")
    if kind not in KINDS:
        raise unknown(f"normalisation of {modality}", kind, KINDS)
    if kind == "window_zscore" and not bounds:
        if measured.std == 0 or measured.percentile_00_5 == measured.percentile_99_5:
            raise UserError(
                f"{modality} has no contrast in the foreground: window_zscore is impossible", "use zscore"
            )
        low, high = measured.percentile_00_5, measured.percentile_99_5
        numbers = {"low": low, "high": high, "mean": measured.mean, "std": measured.std}
        return Normalisation.model_validate(
            {"kind": kind, **{k: float(f"{v:.6g}") for k, v in numbers.items()}}
        )
    try:
        values = dict(zip(("low", "high"), map(float, bounds), strict=bool(bounds)))
        return Normalisation.model_validate({"kind": kind, **values})
    except ValueError:
        raise UserError(
            f"normalisation of {modality}: {text!r} is incomplete or no range",
            "write it such as range:-175:250",
        ) from None


def is_ct(modality: str) -> bool:
    """Whether a modality's name says that its intensities are Hounsfield units."""
    return any(
        word in ("CT", "CTA", "CBCT", "CECT", "NCCT") for word in re.split(r"[^A-Z]+", modality.upper())
    )


def _times(shape: Sequence[int]) -> str:
    return "x".join(str(n) for n in shape)
