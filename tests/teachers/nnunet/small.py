"""Small models in nnU-Net's form, written here: untrained networks of ours under nnU-Net's names."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distilseg.data.scans.scan import Geometry, Scan
from distilseg.networks.build import NetworkSpec, build
from distilseg.teachers.nnunet.architecture import network_of
from distilseg.teachers.nnunet.labels import labels_of
from distilseg.teachers.nnunet.plans import configuration_of

SPLINE = {"order": 1, "order_z": 0, "force_separate_z": None}
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "tumour": 2},
    "numTraining": 3,
    "file_ending": ".nii.gz",
    "licence": "CC-BY 4.0",
    "reference": "somebody et al.",
}


def plain(axes: int = 3, **changed: Any) -> dict[str, Any]:
    """One configuration's entry in plans.json."""
    name = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    arguments = {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
        "kernel_sizes": [[3] * axes] * 2,
        "strides": [[1] * axes, [2] * axes],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "preprocessor_name": "DefaultPreprocessor",
        "patch_size": [8] * axes,
        "spacing": [1.0] * axes,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **{f"resampling_fn_{of}": "resample_data_or_seg_to_shape" for of in ("data", "seg", "probabilities")},
        "resampling_fn_data_kwargs": {**SPLINE, "is_seg": False, "order": 3},
        "resampling_fn_seg_kwargs": {**SPLINE, "is_seg": True},
        "resampling_fn_probabilities_kwargs": {**SPLINE, "is_seg": False},
        "architecture": {
            "network_class_name": name,
            "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        **changed,
    }


def plans_with(**configurations: Mapping[str, Any]) -> dict[str, Any]:
    """A plans.json of these configurations."""
    return {
        "dataset_name": "Dataset701_Small",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "configurations": configurations,
        "foreground_intensity_properties_per_channel": {
            "0": {"percentile_00_5": -50.0, "percentile_99_5": 150.0, "mean": 40.0, "std": 30.0}
        },
    }


def write_model(
    results: Path,
    configuration: str = "3d_fullres",
    *,
    plans: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] = DATASET,
    folds: Sequence[str] = ("0",),
    trainer: str = "nnUNetTrainer",
    mirrored: tuple[int, ...] | None = (0, 1, 2),
    inputs: int | None = None,
    change: Callable[[dict[str, Tensor]], Mapping[str, Any]] = lambda weights: weights,
    dataset_folder: str = "Dataset701_Small",
    prefix: str = "",
) -> Path:
    """A model folder below `results`; `change` is applied to the weights before they are saved."""
    plans = plans_with(**{configuration: plain()}) if plans is None else plans
    folder = results / dataset_folder / f"{trainer}__nnUNetPlans__{configuration}"
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    spec = spec_of(plans, configuration, dataset, inputs)
    for number, fold in enumerate(folds):
        torch.manual_seed(number)
        weights = {prefix + name: weight for name, weight in with_duplicates(spec).items()}
        (folder / f"fold_{fold}").mkdir()
        content = {
            "network_weights": OrderedDict(change(weights)),
            "trainer_name": trainer,
            "init_args": {
                "plans": dict(plans),
                "configuration": configuration,
                "fold": fold,
                "dataset_json": dict(dataset),
                "device": torch.device("cpu"),
            },
            "inference_allowed_mirroring_axes": mirrored,
            "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(5)}}},
            "logging": {"ema_fg_dice": [np.float32(0.5), np.float64(0.25)]},
            "_best_ema": np.float64(0.75),
            "current_epoch": 20,
        }
        torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def spec_of(
    plans: Mapping[str, Any], configuration: str, dataset: Mapping[str, Any], inputs: int | None = None
) -> NetworkSpec:
    """The network that the plans name."""
    described = labels_of(dataset, "dataset.json")
    channels = len(described.modalities) if inputs is None else inputs
    return network_of(
        configuration_of(plans, configuration, "plans.json"), channels, len(described.heads), "plans.json"
    )


def with_duplicates(spec: NetworkSpec) -> dict[str, Tensor]:
    """Fresh weights, some of them under a second name too, as nnU-Net saves them."""
    state = build(spec).state_dict()
    for name, weight in state.items():
        if name.startswith("decoder.seg_layers") and name.endswith("weight"):
            weight -= weight.mean(1, keepdim=True)  # so that no class wins everywhere
    again = {f"decoder.{name}": weight for name, weight in state.items() if name.startswith("encoder.")}
    inner = {
        name.replace(".conv.", ".all_modules.0."): weight
        for name, weight in state.items()
        if ".conv." in name
    }
    return {**state, **inner, **again}


def changed(plans: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `plans` with the entry at "a/b/c" set, or removed where `value` is `...`."""
    made = copy.deepcopy(dict(plans))
    *above, last = path.split("/")
    inner = made
    for key in above:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


def scan_of(
    shape: Sequence[int] = (12, 11, 10),
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    name: str = "case_0000.nii.gz",
) -> Scan:
    """A scan of noise around a bright ball, zeros at its rim, voxel axes along R A S."""
    generator = np.random.default_rng(seed)
    array = generator.normal(100, 20, shape).astype(np.float32)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    array[(at**2).sum(0) < 0.4] += 200
    array[:1], array[:, -1:] = 0, 0
    return Scan(array, Geometry(tuple(shape), np.diag([*spacing_mm, 1.0])), Path(name))
