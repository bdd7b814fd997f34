"""plans.json as values: what a configuration does to a scan, and the network it names.

Axes are nnU-Net's: those of the array z y x, moved by `transpose_forward`; a 2D configuration works slice by
slice along the first of them. Class and function names are looked up in the tables here and in
`architecture.py`, never imported: plans are data from strangers. What is not known is refused by its name.

Plans of nnU-Net 2.0 to 2.2 (no `architecture`) and of today.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from pydantic.dataclasses import dataclass

from ...errors import UserError, unknown
from ...runtime.nnunet.preparation import MOST_VOXELS, Channel, Normalisation, Preparation, Resampling

# Reader -> the orientation it turns scans to; None: as they are stored.
READERS: Mapping[str, str | None] = {
    "SimpleITKIO": None,
    "NibabelIO": None,
    "NaturalImage2DIO": None,
    "Tiff3DIO": None,
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}

_SPLINE, _TORCH, _NOTHING = (
    "resample_data_or_seg_to_shape",
    "resample_torch_fornnunet",
    "no_resampling_hack",
)
_SPLINE_KEYS = {"is_seg", "order", "order_z", "force_separate_z", "separate_z_anisotropy_threshold"}
_TORCH_KEYS = {
    *("is_seg", "num_threads", "device", "memefficient_seg_resampling", "force_separate_z"),
    *("separate_z_anisotropy_threshold", "mode", "aniso_axis_mode"),
}


@dataclass(frozen=True, kw_only=True)
class Configuration(Preparation):
    """What one entry of the plans' `configurations` says, and what the plans say for all of them."""

    name: str
    dataset: str
    plans_name: str
    reader: str
    previous: str | None  # the configuration whose labels it is shown, in a cascade
    architecture: Mapping[str, Any]  # as written, see `architecture.py`

    @property
    def preparation(self) -> Preparation:
        """What it does to a scan, and no more: what an artefact carries."""
        return Preparation(**{one.name: getattr(self, one.name) for one in fields(Preparation)})


def configuration_of(plans: Mapping[str, Any], name: str, source: str) -> Configuration:
    """The configuration `name` of `plans`; `source` is the file's name, for errors."""
    if "configurations" not in plans:
        raise UserError(f"{source} holds no configurations", "give the plans.json of an nnU-Net v2 model")
    entry = _resolved(plans["configurations"], name, source)
    where = f"{source}: configuration {name}"
    manager = plans.get("label_manager", "LabelManager")
    if manager not in (None, "LabelManager"):
        raise UserError(f"{source} names the label manager {manager!r}", _ANSWERS)
    preprocessor = entry.get("preprocessor_name", "DefaultPreprocessor")
    if preprocessor != "DefaultPreprocessor":
        raise UserError(f"{where} is prepared by {preprocessor!r}, which is not nnU-Net's own", _ANSWERS)
    patch = _numbers(entry, "patch_size", where, int)
    spacing = _numbers(entry, "spacing", where, float)
    if len(patch) not in (2, 3) or len(spacing) != len(patch) or min(patch) < 1 or not min(spacing) > 0:
        raise UserError(
            f"{where} has the patch {list(patch)} and the spacing {list(spacing)}",
            "an nnU-Net configuration has two or three of both, above 0",
        )
    if math.prod(patch) > MOST_VOXELS:
        raise UserError(f"{where} has a patch of {list(patch)} voxels, which no memory holds", _COPY)
    transpose = (
        _numbers(plans, "transpose_forward", source, int) if "transpose_forward" in plans else (0, 1, 2)
    )
    if sorted(transpose) != [0, 1, 2]:
        raise UserError(f"{source}: transpose_forward {list(transpose)} is no order of three axes", _COPY)
    previous = entry.get("previous_stage")
    return Configuration(
        name=name,
        dataset=str(plans.get("dataset_name", "")),
        plans_name=str(plans.get("plans_name", "")),
        patch=patch,
        spacing=spacing,
        transpose=transpose,
        reader=str(plans.get("image_reader_writer", "SimpleITKIO")),
        channels=_channels(plans, entry, where),
        image=_resampling(entry, "resampling_fn_data", 3, where),
        labels=_resampling(entry, "resampling_fn_seg", 1, where),
        logits=_resampling(entry, "resampling_fn_probabilities", 1, where),
        previous=None if previous is None else str(previous),
        architecture=entry,
    )


_COPY = "copy the file again from the model"
_ANSWERS = (
    "predict with nnU-Net itself (--save_probabilities), and give the folder of its answers as the teacher"
)


def _resolved(configurations: Any, name: str, source: str) -> dict[str, Any]:
    """The entry with all it inherits; a child's keys win."""
    chain: list[str] = []
    entry: dict[str, Any] = {}
    wanted: Any = name
    while wanted is not None:
        if wanted in chain:
            raise UserError(
                f"{source}: configurations inherit from one another in a circle: "
                + " -> ".join([*chain, wanted]),
                _COPY,
            )
        if not isinstance(configurations, dict) or not isinstance(configurations.get(wanted), dict):
            raise unknown(f"configuration of {source}", wanted, configurations or ())
        chain.append(wanted)
        entry = {**configurations[wanted], **entry}
        wanted = configurations[wanted].get("inherits_from")
    return entry


def _channels(plans: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> tuple[Channel, ...]:
    schemes = entry.get("normalization_schemes")
    if not isinstance(schemes, list) or not schemes:
        raise UserError(f"{where} names no normalization_schemes", _COPY)
    masked = entry.get("use_mask_for_norm") or [False] * len(schemes)
    intensities = plans.get("foreground_intensity_properties_per_channel")
    if intensities is None:
        intensities = plans.get("foreground_intensity_properties_by_modality")
    made = []
    for index, scheme in enumerate(schemes):
        if scheme not in get_args(Normalisation):
            error = unknown(f"normalisation in {where}", scheme, get_args(Normalisation))
            raise UserError(error.cause, f"{error.fix}; {_ANSWERS}")
        found = (intensities or {}).get(str(index)) if isinstance(intensities, dict) else None
        keys = ("percentile_00_5", "percentile_99_5", "mean", "std")
        if scheme == "CTNormalization" and (
            not isinstance(found, dict) or not all(isinstance(found.get(key), int | float) for key in keys)
        ):
            raise UserError(
                f"{where} normalises channel {index} as CT, but the plans hold no intensities of it", _COPY
            )
        numbers = [float(found[key]) if isinstance(found, dict) and key in found else 0.0 for key in keys]
        made.append(Channel(scheme, bool(masked[index]) if index < len(masked) else False, *numbers))
    return tuple(made)


def _resampling(entry: Mapping[str, Any], key: str, order: int, where: str) -> Resampling:
    """A resampling function; where none is named, nnU-Net's own spline."""
    name, options = entry.get(key, _SPLINE), entry.get(f"{key}_kwargs") or {}
    if name not in (_SPLINE, _TORCH, _NOTHING):
        error = unknown(f"resampling in {where}", name, (_SPLINE, _TORCH, _NOTHING))
        raise UserError(error.cause, f"{error.fix}; {_ANSWERS}")
    known = {_SPLINE: _SPLINE_KEYS, _TORCH: _TORCH_KEYS}.get(name, set(options))
    strange = [option for option in options if option not in known]
    if strange:
        raise unknown(f"option of {name} in {where}", strange[0], sorted(known))
    separate, ratio = options.get("force_separate_z"), options.get("separate_z_anisotropy_threshold", 3)
    if name == _NOTHING:
        return Resampling("none")
    if name == _TORCH:
        modes = (options.get("mode", "linear"), options.get("aniso_axis_mode", "nearest-exact"))
        if modes != ("linear", "nearest-exact"):
            raise UserError(f"{where}: {name} interpolates by {modes[0]} and {modes[1]}", _ANSWERS)
        return Resampling("linear", 1, 0, separate, float(ratio))
    orders = options.get("order", order), options.get("order_z", 0)
    if not all(type(n) is int and 0 <= n <= 5 for n in orders):
        raise UserError(f"{where}: {name} has the orders {orders[0]} and {orders[1]}", "a spline has 0 to 5")
    return Resampling("spline", *orders, separate, float(ratio))


def _numbers(values: Mapping[str, Any], key: str, where: str, kind: type) -> tuple[Any, ...]:
    """A list of numbers of one kind."""
    found = values.get(key)
    if not isinstance(found, list) or not all(
        isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) and n == kind(n)
        for n in found
    ):
        raise UserError(f"{where}: {key} is {found!r}, a list of numbers was expected", _COPY)
    return tuple(kind(n) for n in found)
