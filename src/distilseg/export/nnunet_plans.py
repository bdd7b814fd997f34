"""A plan of ours as nnU-Net's plans.json and dataset.json; what they cannot say is refused or told.

    ours                              nnU-Net's
    orientation RAS, axes I J K       NibabelIOWithReorient turns to RAS; transpose_forward, from axes z y x
    spacing, linear or cubic          spacing; splines of order 1 or 3, coarse axes not treated apart
    crop to what is not 0             always
    window_zscore                     CTNormalization: percentiles, mean, std
    range (low, high)                 the same with mean low and std high - low
    zscore, zscore_nonzero            ZScoreNormalization, over the body where masked
    minmax, none                      RescaleTo01Normalization, NoNormalization
    labels or regions                 labels, regions_class_order
    slices                            a 2D configuration, whose slices run along the first axis

The network's axes stay what they are: nnU-Net transposes scans, not weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..data.planning.normalisation import Normalisation
from ..data.planning.plan import Plan
from ..errors import UserError
from ..functional.window_options import SlabsOptions, SlicesOptions, SlidingWindowOptions
from .nnunet_architecture import architecture_of
from .student import Student

TRAINER, PLANS, FOLD = "nnUNetTrainer", "distilsegPlans", 0
ENDING = ".nii.gz"
_RESAMPLED = "resample_data_or_seg_to_shape"


def configuration_name(student: Student) -> str:
    """As nnU-Net calls its own."""
    return "3d_fullres" if len(student.spec.patch) == 3 else "2d"


def dataset_name(name: str) -> str:
    """A dataset's name in nnU-Net's form, DatasetNNN_Name; of one that has no number, 900."""
    if re.fullmatch(r"Dataset\d{3}_\w+", name, re.ASCII):
        return name
    numbered = re.fullmatch(r"Task(\d{1,3})_(.+)", name)
    number, rest = (int(numbered[1]), numbered[2]) if numbered else (900, name)
    return f"Dataset{number:03d}_{re.sub('[^A-Za-z0-9]+', '', rest) or 'Student'}"


def plans_of(student: Student) -> dict[str, Any]:
    """plans.json. Raises UserError, by name, for what nnU-Net cannot do."""
    plan, windows = student.plan, student.windows
    order = _axes(plan, windows)
    _check_crop(plan)
    schemes = [_scheme(name, plan.normalisation[name]) for name in plan.modalities]
    spacing = [plan.spacing_mm[axis] for axis in order]
    patch = list(windows.patch)
    spline = {"is_seg": False, "order_z": 0, "force_separate_z": False}
    along = [2 - "RAS".index(plan.orientation[axis]) for axis in order]  # of the array z y x
    name = configuration_name(student)
    entry = {
        "data_identifier": f"{PLANS}_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": plan.batch_size,
        "patch_size": patch,
        "spacing": spacing[3 - len(patch) :],
        "normalization_schemes": [scheme for scheme, _, _ in schemes],
        "use_mask_for_norm": [masked for _, masked, _ in schemes],
        "resampling_fn_data": _RESAMPLED,
        "resampling_fn_data_kwargs": {**spline, "order": 3 if plan.interpolation == "cubic" else 1},
        "resampling_fn_seg": _RESAMPLED,
        "resampling_fn_seg_kwargs": {**spline, "order": 1, "is_seg": True},
        "resampling_fn_probabilities": _RESAMPLED,
        "resampling_fn_probabilities_kwargs": {**spline, "order": 1},
        "architecture": architecture_of(student.spec),
        "batch_dice": False,
    }
    return {
        "dataset_name": dataset_name(plan.dataset),
        "plans_name": PLANS,
        "original_median_spacing_after_transp": spacing,
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": along,
        "transpose_backward": [along.index(axis) for axis in range(3)],
        "configurations": {name: entry},
        "experiment_planner_used": "distilseg",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(n): numbers for n, (_, _, numbers) in enumerate(schemes)
        },
    }


def dataset_of_labels(student: Student, cases: int) -> tuple[dict[str, Any], dict[int, int]]:
    """dataset.json, and which label value of ours each of its values stands for.

    `cases`: of training. Raises UserError where nnU-Net would take the labels for something else.
    """
    plan = student.plan
    if reserved := [name for name in [*plan.classes[1:], *plan.regions] if name in ("background", "ignore")]:
        raise UserError(
            f"the structure {reserved[0]!r} has a name that means something else to nnU-Net",
            "rename it in the dataset and the plan, and train again",
        )
    data = student.made["dataset"]
    described: dict[str, Any] = {
        "name": data["name"],
        "description": f"A student made with distilseg, run {student.run.name}.",
        "reference": data["reference"],
        "licence": data["licence"],
        "channel_names": {str(n): name for n, name in enumerate(plan.modalities)},
        "labels": {"background": 0},
        "numTraining": cases,
        "file_ending": ENDING,
    }
    if not student.regions:
        described["labels"] |= {name: k for k, name in enumerate(plan.classes) if k}
        return described, dict(enumerate(plan.label_values))
    if all(len(values) == 1 for values in plan.regions.values()):
        raise UserError(
            "every region of this network is a single label, and nnU-Net takes those for classes that exclude"
            " one another",
            "train on the labels instead, or export it --to onnx",
        )
    described["labels"] |= {name: list(values) for name, values in plan.regions.items()}
    described["regions_class_order"] = list(student.painted)
    return described, {value: value for value in plan.label_values}


def differences(student: Student, values: Mapping[int, int]) -> list[str]:
    """What nnU-Net does otherwise than the run, a sentence each."""
    plan, windows = student.plan, student.windows
    told = ["Intensities are scaled before a scan is resampled, by the run afterwards."]
    if any(how.kind.startswith("zscore") for how in plan.normalisation.values()):
        told.append("So mean and deviation are those of a scan's own voxels, not of the resampled ones.")
    if plan.interpolation == "cubic":
        told.append("Its cubic splines end otherwise at the borders, and do not exceed the scan's range.")
    if plan.crop == "none":
        told.append("Scans are cropped to what is not 0, which the run does not do.")
    if any(how.kind == "zscore_nonzero" for how in plan.normalisation.values()):
        told.append(
            "Zeros within the body, and where another modality is not 0, count for mean and deviation."
        )
    if isinstance(windows, SlicesOptions):
        told.append(
            f"Slices are not resampled across: the run makes them {plan.spacing_mm[windows.axis]:g} mm."
        )
        windows = windows.window
    assert isinstance(windows, SlidingWindowOptions)
    if windows.stride is not None:
        told.append(f"Windows overlap by a half; the run's stand {list(windows.stride)} voxels apart.")
    elif windows.overlap != 0.5:
        told.append(
            f"Windows overlap by a half; as much as the run's with -step_size {1 - windows.overlap:g}, which"
            f" is {'faster' if windows.overlap < 0.5 else 'slower'}."
        )
    if windows.blend == "constant":
        told.append("Windows count more in their middle, by the run as much everywhere.")
    if windows.average == "probabilities":
        told.append("Logits are averaged where windows overlap, by the run probabilities.")
    told.append("A scan smaller than the window is padded with zeros, by the run with its edge.")
    if renumbered := [f"{k} for {value}" for k, value in values.items() if k != value]:
        told.append(f"nnU-Net numbers labels without gaps: its label maps hold {', '.join(renumbered)}.")
    return told


def _axes(plan: Plan, windows: Any) -> list[int]:
    """Our axes in nnU-Net's order: across the slices first, for a network in 2D."""
    if isinstance(windows, SlabsOptions):
        raise UserError(
            "nnU-Net has no windows of a few slices, which this network takes", "export it --to onnx"
        )
    if sorted(plan.orientation) != sorted("RAS"):
        raise UserError(
            f"the plan turns scans to {plan.orientation}; nnU-Net turns them to RAS or not at all",
            'train with "orientation": "RAS" in the plan, or export it --to onnx',
        )
    across = windows.axis if isinstance(windows, SlicesOptions) else 0
    return [across, *(axis for axis in range(3) if axis != across)]


def _check_crop(plan: Plan) -> None:
    if plan.crop == "center":
        raise UserError(
            f"the plan cuts out the middle {plan.crop_voxels} voxels of a scan, which nnU-Net cannot",
            'train with "crop": "none" or "nonzero", or export it --to onnx',
        )


def _scheme(modality: str, how: Normalisation) -> tuple[str, bool, dict[str, float]]:
    """nnU-Net's name of a normalisation, whether it is of the body alone, and the numbers that it takes."""
    match how.kind:
        case "window_zscore":
            return "CTNormalization", False, _intensities(how.low, how.high, how.mean, how.std)
        case "range":
            assert how.low is not None
            assert how.high is not None
            return "CTNormalization", False, _intensities(how.low, how.high, how.low, how.high - how.low)
        case "zscore" | "zscore_nonzero":
            return "ZScoreNormalization", how.kind == "zscore_nonzero", {}
        case "minmax":
            return "RescaleTo01Normalization", False, {}
        case "none":
            return "NoNormalization", False, {}
    raise UserError(
        f"{modality} is scaled by {how.kind}, which nnU-Net has not",
        "train with window_zscore, range, zscore, zscore_nonzero, minmax or none, or export it --to onnx",
    )


def _intensities(low: Any, high: Any, mean: Any, std: Any) -> dict[str, float]:
    return {"percentile_00_5": low, "percentile_99_5": high, "mean": mean, "std": std}
