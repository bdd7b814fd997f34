"""The plan: how the scans of a dataset are prepared and cut, decided once and saved as JSON people can edit.

A fingerprint is measured, a plan is decided: orientation, spacing, cropping, normalisation by modality,
patch, batch size and the strides of the network's levels, each with the reason why. `decide.py` decides;
`check_plan` refuses what cannot work, `save_plan` and `load_plan` keep it. Axes are those of the oriented
volume, I J K.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from ...errors import UserError, unknown
from ...files import write_text
from ...json_files import object_in, read_object
from ...names import check_distinct, pasted
from ...records import Limits, Record, first_misfit
from ..readable import readable_json
from ..scans.dicom.codes import Coded
from ..scans.learnable import check_classes
from ..scans.limits import check_grid
from ..scans.scan import axis_order
from .levels import times
from .normalisation import KINDS, SCALES, Finite, Normalisation
from .views import in_plane, slice_axis

if TYPE_CHECKING:
    from .fingerprint import Fingerprint

PositiveMm = Annotated[float, Limits(gt=0, allow_inf_nan=False)]
Positive = Annotated[int, Limits(gt=0)]


@dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """Everything decided about a dataset before training."""

    dataset: str
    modalities: Annotated[tuple[str, ...], Limits(min_length=1)]  # order of the image channels
    labels: dict[int, str]  # value in the label maps -> name
    # unions of label values, outermost first; judged instead of labels
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unknown: int | None = None  # value in the label maps of voxels that nobody labelled
    orientation: str = "RAS"
    spacing_mm: tuple[PositiveMm, ...]
    interpolation: Literal["linear", "cubic"] = "linear"  # of images
    crop: Literal["none", "nonzero", "center"] = "none"
    crop_voxels: tuple[Positive, Positive, Positive] | None = None  # of "center", at the scan's own spacing
    normalisation: dict[str, Normalisation]  # by modality
    # modality -> ranges of its own intensities, each of which networks are shown as one channel more
    tissue_windows: dict[str, tuple[tuple[Finite, Finite], ...]] = field(default_factory=dict)
    patch: tuple[Positive, ...]  # voxels
    batch_size: Positive = 2
    strides: Annotated[tuple[tuple[Positive, ...], ...], Limits(min_length=1)]  # per level, the first all 1
    network: str | None = None  # that training takes unless another is named; of a plan for a budget
    overlap: Annotated[float, Limits(ge=0, lt=1)] | None = None  # of the windows of a prediction, likewise
    window_bytes: Positive | None = None  # that a window of a prediction may take, likewise
    mirror_axes: tuple[int, ...] | None = None  # that training may mirror; None: undecided, all
    series: dict[str, str] = field(default_factory=dict)  # modality -> which DICOM series it is, as a rule
    codes: dict[str, Coded] = field(default_factory=dict)  # class -> what it is in SNOMED CT or the like
    reasons: dict[str, str] = field(default_factory=dict)  # field -> why it was decided so

    def model_dump(self, *, mode: Literal["python", "json"] = "python", exclude_none: bool = False) -> Any:
        """As of `Record`, without what is not decided: runs whose plan did not know it keep their names."""
        optional = ("network", "overlap", "window_bytes", "mirror_axes", "unknown")
        undecided = {name for name in optional if getattr(self, name) is None}
        undecided |= {name for name in ("tissue_windows", "series", "codes") if not getattr(self, name)}
        values = super().model_dump(mode=mode, exclude_none=exclude_none)
        return {name: value for name, value in values.items() if name not in undecided}

    @property
    def label_values(self) -> tuple[int, ...]:
        """Label values in ascending order; class index k stands for the k-th of them."""
        return tuple(sorted(self.labels))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by class index, background first."""
        return tuple(self.labels[value] for value in self.label_values)

    def logits_of(self, answers: str) -> tuple[str, ...]:
        """Names of what a network answers with, by channel: "classes", or "regions"."""
        return self.classes if answers == "classes" else tuple(self.regions)

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
        series = {name: rule for name, rule in self.series.items() if name in kept}
        windows = {name: ranges for name, ranges in self.tissue_windows.items() if name in kept}
        update = {
            "modalities": tuple(modalities),
            "normalisation": kept,
            "tissue_windows": windows,
            "series": series,
        }
        return self.model_copy(update=update)

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

    def network_tissue_windows(self, sees: Sequence[str] = ()) -> tuple[tuple[int, float, float], ...]:
        """(channel, low, high) as networks see them that are shown these modalities; (): all."""
        return tuple(
            (channel, self.normalisation[name].scaled(low), self.normalisation[name].scaled(high))
            for channel, name in enumerate(sees or self.modalities)
            for low, high in self.tissue_windows.get(name, ())
        )

    def preprocessing(self) -> dict[str, Any]:
        """What changes preprocessed voxels, and only that: the key of the cache."""
        return {
            "modalities": list(self.modalities),
            "label_values": list(self.label_values),
            **({} if self.unknown is None else {"unknown": self.unknown}),
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
    missing = UserError(f"no plan at {path}", "make one with `distilseg plan`")
    value = read_object(path, missing=missing, unlike=_no_object(path), fix="repair it")
    return _plan(value, path, fingerprint)


def plan_of(content: bytes, path: Path) -> Plan:
    """The plan that `content` spells; `path` is where it was, for errors."""
    return _plan(object_in(content, path, unlike=_no_object(path), fix="repair it"), path)


def _no_object(path: Path) -> UserError:
    return UserError(f"{path}: the plan must be an object {{...}}", "restore it")


def _plan(value: Mapping[str, Any], path: Path, fingerprint: Fingerprint | None = None) -> Plan:
    try:
        plan = Plan.model_validate(value)
        check_plan(plan, fingerprint)
    except UserError as error:
        raise UserError(f"{path}: {error.cause}", error.fix) from None
    except (ValueError, OverflowError) as error:  # numbers beyond all bounds
        if told := one_line(error):
            raise UserError(f"{path}: {told}", "correct that field") from None
        raise UserError(f"{path} is no plan ({error})", "restore it") from None
    return plan


def one_line(error: Exception) -> str:
    """What a plan's first mistake is; "" where the error does not tell."""
    first = first_misfit(error)
    if first is None:
        return ""
    place = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            return f"the field {place} is missing"
        case "extra_forbidden":
            known = [one.name for one in fields(Normalisation if len(first["loc"]) > 1 else Plan)]
            return f"the field {place} is unknown (known: {', '.join(known)})"
        case "value_error":
            return f"{place}: {first['msg'].removeprefix('Value error, ')}"
    expected = first["msg"].replace("Input should", "must")
    return f"{place or 'the plan'} {expected}, not {reprlib.repr(first['input'])}"


def check_plan(plan: Plan, fingerprint: Fingerprint | None = None) -> None:
    """Refuses, by `UserError` and with the reason, a plan that cannot work (on a dataset, if measured)."""
    axis_order(plan.orientation)
    check_classes(plan.labels)
    check_distinct(((name, f"the value {value}") for value, name in plan.labels.items()), kind="class")
    check_distinct(
        ((name, f"the values {list(values)}") for name, values in plan.regions.items()), kind="region"
    )
    if plan.unknown in plan.labels:
        raise UserError(
            f"unknown is {plan.unknown}, which labels call {plan.labels[plan.unknown]}",
            "give voxels without a label a value of their own, or null",
        )
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
            f"a patch of {times(plan.patch)} voxels with a single level leaves nothing to pool",
            "give strides for a second level, or a patch with an even axis of at least 4 voxels",
        )
    _check_tissue_windows(plan)
    _check_regions(plan)
    _check_dicom(plan)
    if strange := set(plan.mirror_axes or ()) - {0, 1, 2}:
        raise UserError(f"mirror_axes: a volume has no axis {min(strange)}", "give some of 0, 1 and 2")
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


def _check_tissue_windows(plan: Plan) -> None:
    for name, ranges in plan.tissue_windows.items():
        if name not in plan.modalities:
            raise unknown("modality in tissue_windows", name, plan.modalities)
        kind = plan.normalisation[name].kind
        if kind not in SCALES:
            raise UserError(
                f"tissue_windows: {name} is scaled by {kind}, differently in each image",
                f"leave them out, or scale it by one of {', '.join(SCALES)}",
            )
        if len(set(ranges)) < len(ranges):
            raise UserError(f"tissue_windows: {name} has one window twice", "name each once")
        for low, high in ranges:
            if not low < high:
                raise UserError(
                    f"tissue_windows: {name} from {low:g} to {high:g}",
                    "give the lower end first, such as [-160, 240]",
                )
            _check_shows(name, plan.normalisation[name], low, high)


def _check_shows(name: str, scale: Normalisation, low: float, high: float) -> None:
    """A window tells intensities apart, in the single precision that networks compute in."""
    with np.errstate(all="ignore"):
        bottom, top = np.array([scale.scaled(low), scale.scaled(high)], np.float32)
        slope = 1 / (top - bottom)
        ends = np.array([scale.scaled(scale.clipped(end)) for end in (low, high)], np.float32)
        darkest, brightest = np.clip((ends - bottom) * slope, 0, 1)
    if not np.isfinite([bottom, top, slope]).all():
        raise UserError(
            f"tissue_windows: {name} from {low:g} to {high:g} cannot be computed in single precision",
            "give ends nearer to each other, or farther apart, such as [-160, 240]",
        )
    if not darkest < brightest:
        raise UserError(
            f"tissue_windows: {name} from {low:g} to {high:g} would be the same everywhere, as it is cut off"
            f" below {scale.low:g} and above {scale.high:g} before",
            "leave it out, or scale by a range that holds it, such as"
            f" {pasted('--normalisation', f'{name}=range:LOW:HIGH')}",
        )


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


def _check_dicom(plan: Plan) -> None:
    from ..scans.dicom.rules import rule_of

    for name, known in {"series": plan.modalities, "codes": plan.classes[1:]}.items():
        if strange := set(getattr(plan, name)) - set(known):
            raise unknown(f"name in {name}", min(strange), known)
    for modality, rule in plan.series.items():
        rule_of(rule, f"series: {modality}:")


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
                f"patch {times(plan.patch)}: axis {axis} has {n} voxels, no multiple of its strides' product"
                f" {stride}",
                f"use {max(2, n // stride) * stride} voxels, or fewer levels",
            )
        if stride > 1 and n // stride < 2:
            raise UserError(
                f"patch {times(plan.patch)} with {len(plan.strides)} levels leaves a bottleneck of one voxel"
                f" on axis {axis} ({n} voxels, stride {stride} in all), which instance norm cannot train",
                f"use at least {2 * stride} voxels on that axis, or fewer levels",
            )
    if math.prod(plan.patch) == math.prod(plan.total_stride):
        raise UserError(
            f"a patch of {times(plan.patch)} is a single voxel at the bottleneck", "use a larger patch"
        )


def _check_fits(plan: Plan, fingerprint: Fingerprint) -> None:
    from .fingerprint import working_shapes

    if set(plan.modalities) != set(fingerprint.intensities):
        raise UserError(
            f"the plan is for the modalities {', '.join(plan.modalities)},"
            f" dataset {fingerprint.dataset} has {', '.join(fingerprint.intensities)}",
            "make a plan for this dataset with `distilseg plan`",
        )
    shapes = working_shapes(
        fingerprint, plan.orientation, plan.spacing_mm, crop=plan.crop, crop_voxels=plan.crop_voxels
    )
    for case, shape in zip(fingerprint.cases, shapes.tolist(), strict=True):
        check_grid(shape, plan.spacing_mm, f"case {case.id}")
    largest = np.max(shapes, axis=0)
    for axis, (n, stride, most) in enumerate(
        zip(plan.patch, plan.total_stride, largest.tolist(), strict=True)
    ):
        fitting = math.ceil(most / stride) * stride
        if n > fitting:
            raise UserError(
                f"patch {times(plan.patch)}: no case fills the {n} voxels of axis {axis}, the largest has"
                f" {most} at {plan.spacing_mm[axis]:g} mm",
                f"use at most {max(fitting, 2 * stride if stride > 1 else 1)} there",
            )
