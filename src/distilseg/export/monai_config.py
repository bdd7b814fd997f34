"""A plan of ours as configs/inference.json of a bundle, in MONAI's own transforms; else refused or told.

    ours                              MONAI's
    orientation, axes I J K           Orientationd, the same axes
    crop to what is not 0             CropForegroundd
    spacing, linear or cubic          Spacingd, bilinear or splines of order 3; its first voxel's centre stays
    window_zscore, range              ScaleIntensityRanged, clipped
    zscore, zscore_nonzero            NormalizeIntensityd by channel, of voxels other than 0
    minmax, percentile                ScaleIntensityd, ScaleIntensityRangePercentilesd by channel
    range_zscore_nonzero              the two one after another
    windows, edges repeated           SlidingWindowInferer or SliceInferer, padding_mode replicate
    labels of the scan's grid         logits through Invertd, then AsDiscreted argmax; or regions painted

Modalities that are scaled in different ways come apart (SplitDimd) and together again (ConcatItemsd).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..data.planning.normalisation import Normalisation
from ..data.planning.plan import Plan
from ..errors import UserError
from ..functional.window_options import SlabsOptions, SlicesOptions, SlidingWindowOptions
from ..teachers.monai_bundle.painting import painting
from ..teachers.monai_bundle.spatial import NONZERO
from .student import Student

Plain = dict[str, Any]
IMAGE, PRED = "image", "pred"
_SUFFIX = "_0000.nii.gz"


def inference_of(student: Student) -> Plain:
    """inference.json. Raises UserError, by name, for what MONAI's own parts cannot do."""
    plan = student.plan
    return {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/eval'",
        "image_key": IMAGE,
        "datalist": _datalist(len(plan.modalities)),
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_of(student.network, student.spec.name),
        "network": "$@network_def.to(@device)",
        "preprocessing": _compose(_preprocessing(plan)),
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": _inferer(student.windows),
        "postprocessing": _compose(_postprocessing(student)),
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
            "map_location": "@device",
        },
        "handlers": ["@checkpointloader"],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def network_of(network: nn.Module, name: str) -> Plain:
    """The class of MONAI's with the arguments that `network` was made of; `name` is ours."""
    made_of: Any = getattr(network, "made_of", None)
    if made_of is None:
        raise UserError(
            f"MONAI makes networks of its own, and {name} with these options is none of them",
            "train one of MONAI's, such as dynunet, unet or swin_unetr (--network), or export it --to onnx",
        )
    return {argument: _plain(value, argument, name) for argument, value in made_of.items()}


def differences(student: Student) -> list[str]:
    """What MONAI does otherwise than the run, a sentence each."""
    plan, windows = student.plan, student.windows
    told = [
        "A scan of another spacing is resampled so that its first voxel's centre stays where it is, by the"
        " run so that its edges do."
    ]
    if plan.interpolation == "cubic":
        told.append("Logits go back to the scan by cubic splines, by the run linearly.")
    if isinstance(windows, SlicesOptions):
        windows = windows.window
    assert isinstance(windows, SlidingWindowOptions)
    told.append("The last window is drawn back to end with the scan; the run's are spaced evenly.")
    if windows.blend == "gaussian":
        told.append("Far from their middle windows count alike where they overlap, by the run ever less.")
    if windows.mirrored_axes:
        told.append("Nothing is averaged over mirrored scans, as the run does.")
    if windows.average == "probabilities":
        told.append("Logits are averaged where windows overlap, by the run probabilities.")
    return told


def scans_of(plan: Plan) -> str:
    """How the files are called that `inference_of` finds."""
    if len(plan.modalities) == 1:
        return f"CASE.nii.gz {plan.modalities[0]}"
    return ", ".join(f"CASE_{n:04d}.nii.gz {name}" for n, name in enumerate(plan.modalities))


def _datalist(modalities: int) -> str:
    """Scans of a folder: one file a case, or as many as there are modalities, with nnU-Net's suffixes."""
    if modalities == 1:
        return "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.nii.gz'))]"
    files = ", ".join(f"path[:-{len(_SUFFIX)}] + '_{n:04d}.nii.gz'" for n in range(modalities))
    return f"$[{{'image': [{files}]}} for path in sorted(glob.glob(@dataset_dir + '/*{_SUFFIX}'))]"


def _preprocessing(plan: Plan) -> list[Plain]:
    if plan.crop == "center":
        raise UserError(
            f"the plan cuts out the middle {plan.crop_voxels} voxels of a scan, which MONAI rounds otherwise",
            'train with "crop": "none" or "nonzero", or export it --to onnx',
        )
    cropped = {"source_key": IMAGE, "select_fn": NONZERO, "allow_smaller": True}
    spaced = {
        "pixdim": list(plan.spacing_mm),
        "mode": 3 if plan.interpolation == "cubic" else "bilinear",
        "padding_mode": "border",
    }
    return [
        _of(IMAGE, "LoadImaged"),
        _of(IMAGE, "EnsureChannelFirstd"),
        _of(IMAGE, "Orientationd", axcodes=plan.orientation),
        *([_of(IMAGE, "CropForegroundd", **cropped)] if plan.crop == "nonzero" else []),
        _of(IMAGE, "Spacingd", **spaced),
        *_intensities(plan),
        _of(IMAGE, "EnsureTyped"),
    ]


def _intensities(plan: Plan) -> list[Plain]:
    hows = [plan.normalisation[name] for name in plan.modalities]
    if all(how == hows[0] for how in hows):
        return _scaled(IMAGE, plan.modalities[0], hows[0])
    keys = [f"{IMAGE}_{n}" for n in range(len(hows))]
    parts = [
        part
        for key, name, how in zip(keys, plan.modalities, hows, strict=True)
        for part in _scaled(key, name, how)
    ]
    return [
        _of(IMAGE, "SplitDimd", dim=0),
        *parts,
        {"_target_": "ConcatItemsd", "keys": keys, "name": IMAGE, "dim": 0},
    ]


def _scaled(key: str, modality: str, how: Normalisation) -> list[Plain]:
    normal = {"channel_wise": True, "nonzero": how.kind.endswith("nonzero")}
    match how.kind:
        case "none":
            return []
        case "zscore" | "zscore_nonzero":
            return [_of(key, "NormalizeIntensityd", **normal)]
        case "minmax":
            return [_of(key, "ScaleIntensityd", minv=0.0, maxv=1.0, channel_wise=True)]
        case "percentile":
            shares = {"lower": 0.5, "upper": 99.5, "b_min": 0.0, "b_max": 1.0}
            return [_of(key, "ScaleIntensityRangePercentilesd", **shares, clip=True, channel_wise=True)]
        case "range":
            return [_range(key, how, 0.0, 1.0)]
        case "range_zscore_nonzero":
            return [_range(key, how, 0.0, 1.0), _of(key, "NormalizeIntensityd", **normal)]
        case "window_zscore":
            low, high, mean, std = how.low, how.high, how.mean, how.std
            assert low is not None
            assert high is not None
            assert mean is not None
            assert std is not None
            return [_range(key, how, (low - mean) / std, (high - mean) / std)]
    raise UserError(
        f"{modality} is scaled by {how.kind}, which MONAI has not",
        "train with another normalisation, such as zscore or percentile, or export it --to onnx",
    )


def _range(key: str, how: Normalisation, b_min: float, b_max: float) -> Plain:
    ends = {"a_min": how.low, "a_max": how.high, "b_min": b_min, "b_max": b_max}
    return _of(key, "ScaleIntensityRanged", **ends, clip=True)


def _inferer(windows: SlidingWindowOptions | SlicesOptions | SlabsOptions) -> Plain:
    if isinstance(windows, SlabsOptions):
        raise UserError(
            "MONAI has no windows of a few slices, which this network takes", "export it --to onnx"
        )
    one = windows.window if isinstance(windows, SlicesOptions) else windows
    shares = [1 - step / size for step, size in zip(one.strides, one.patch, strict=True)]
    described = {
        "roi_size": list(one.patch),
        "sw_batch_size": one.batch,
        "overlap": one.overlap if one.stride is None else shares,
        "mode": one.blend,
        "padding_mode": "replicate",
    }
    if isinstance(windows, SlicesOptions):
        return {"_target_": "SliceInferer", "spatial_dim": windows.axis, **described}
    return {"_target_": "SlidingWindowInferer", **described}


def _postprocessing(student: Student) -> list[Plain]:
    """Logits go back to the scan and are decided there, as the run does it."""
    values = student.plan.label_values
    inverted = _of(
        PRED,
        "Invertd",
        transform="@preprocessing",
        orig_keys=IMAGE,
        nearest_interp=False,
        to_tensor=True,
    )
    if student.regions:
        decided = [
            _of(PRED, "Activationsd", sigmoid=True),
            _of(PRED, "Lambdad", func=painting(student.painted)),
        ]
    else:
        decided = [_of(PRED, "AsDiscreted", argmax=True)]
        if values != tuple(range(len(values))):
            numbers = {"orig_labels": list(range(len(values))), "target_labels": list(values)}
            decided.append(_of(PRED, "MapLabelValued", **numbers))
    saved = _of(
        PRED,
        "SaveImaged",
        output_dir="@output_dir",
        output_postfix="seg",
        output_ext=".nii.gz",
        output_dtype="uint8" if max(values) < 256 else "uint16",
        resample=True,  # to the grid it has: else MONAI 1.6 mistakes a volume of several files for a slice
        separate_folder=False,
    )
    return [inverted, *decided, saved]


def _of(key: str, target: str, **arguments: Any) -> Plain:
    return {"_target_": target, "keys": key, **arguments}


def _compose(transforms: list[Plain]) -> Plain:
    return {"_target_": "Compose", "transforms": transforms}


def _plain(value: Any, argument: str, name: str) -> Any:
    """A value that JSON holds; raises UserError for layers of ours."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, argument, name) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, argument, name) for inner in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise UserError(
        f"{name} has a layer of our own ({argument}), which MONAI has not",
        "train it with MONAI's own (of swin_unetr: merging=merging), or export it --to onnx",
    )
