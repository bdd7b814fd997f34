"""A small world of models that others trained, with one thing wrong in each. All of it is written here."""

from __future__ import annotations

import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch import nn

from distilseg.data.phantom.volumes import write_phantom
from tests.teachers import bundles
from tests.teachers.nnunet.small import changed, plain, plans_with, write_model
from tests.teachers.test_graphs import graph

PLANS = plans_with(**{"3d_fullres": plain()})
ENTRY = "configurations/3d_fullres"
FEATURES = f"{ENTRY}/architecture/arch_kwargs/features_per_stage"
LIVER: dict[str, Any] = {
    "channel_names": {"0": "MR"},
    "labels": {"background": 0, "liver": 1, "tumour": 2},
    "file_ending": ".nii.gz",
}
LUNGS = LIVER | {"labels": {"background": 0, "left_lung": 1, "right_lung": 2}}
CARD: dict[str, Any] = {
    "modalities": ["MR"],
    "labels": {"0": "background", "1": "liver"},
    "spacing_mm": [1, 1, 1],
    "normalisation": "zscore",
    "patch": [8, 8, 8],
}


class Hostile:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def make_world_of_teachers(folder: Path) -> Path:
    """Everything that the catalogue of teachers names, below `folder`; `folder/ran` would be made by them."""
    write_phantom(folder / "scans", cases=8, shape=(16, 16, 16), modalities=("MR",), layout="nnunet")
    (folder / "notes").mkdir()
    (folder / "notes" / "notes.txt").write_text("nothing")
    _models(folder)
    _bundles(folder)
    _graphs(folder)
    _answers(folder)
    return folder


def _model(
    folder: Path, name: str, configuration: str = "3d_fullres", /, *, files: Any = None, **made: Any
) -> Path:
    """A model folder `name`; `files`: the plans and description that lie beside its weights, if others."""
    model = write_model(folder / "made", configuration, **{"plans": PLANS, "dataset": LIVER} | made)
    for file, content in (files or {}).items():
        (model / file).write_text(json.dumps(content))
    model.rename(folder / name)
    return folder / name


def _models(folder: Path) -> None:
    _model(folder, "sound")
    _model(folder, "lungs", dataset=LUNGS)
    two = LIVER | {"channel_names": {"0": "CT", "1": "PET"}}
    schemes = changed(PLANS, f"{ENTRY}/normalization_schemes", ["ZScoreNormalization"] * 2)
    _model(
        folder, "ct_and_pet", plans=changed(schemes, f"{ENTRY}/use_mask_for_norm", [False] * 2), dataset=two
    )
    _model(folder, "fitting_trainer", trainer="nnUNetTrainerOfSomebody")

    both = plans_with(**{"2d": plain(2), "3d_fullres": plain()})
    for configuration, mirrored in (("2d", (0, 1)), ("3d_fullres", (0, 1, 2))):
        write_model(folder / "several", configuration, plans=both, dataset=LIVER, mirrored=mirrored)
    cascade = plans_with(
        **{
            "3d_lowres": plain(),
            "3d_cascade_fullres": {"inherits_from": "3d_lowres", "previous_stage": "3d_lowres"},
        }
    )
    write_model(folder / "cascade", "3d_cascade_fullres", plans=cascade, dataset=LIVER, inputs=3)
    task = folder / "version_1" / "nnUNetTrainerV2__nnUNetPlansv2.1"
    (task / "fold_0").mkdir(parents=True)
    for file in ("plans.pkl", "fold_0/model_final_checkpoint.model"):
        (task / file).write_bytes(b"")

    shutil.rmtree(_model(folder, "no_checkpoint") / "fold_0")
    fold = _model(folder, "best_only") / "fold_0"
    (fold / "checkpoint_final.pth").rename(fold / "checkpoint_best.pth")
    _cut(_model(folder, "half") / "fold_0" / "checkpoint_final.pth")
    _cut(_model(folder, "half_plans") / "plans.json")
    with zipfile.ZipFile(folder / "half.zip", "w") as packed:
        for file in sorted((folder / "sound").rglob("*")):
            packed.write(file, f"Dataset701_Small/a__b__c/{file.relative_to(folder / 'sound')}")
    with zipfile.ZipFile(folder / "leads_out.zip", "w") as packed:
        packed.writestr("Dataset701_Small/a__b__c/fold_0/checkpoint_final.pth", "x")
        packed.writestr("../up/plans.json", "{}")
    _cut(folder / "half.zip")

    own = {"mamba.A_log": torch.ones(3)}
    _model(folder, "own_network", trainer="nnUNetTrainerMamba", change=lambda weights: {**weights, **own})
    _model(folder, "other_classes", files={"dataset.json": LIVER | {"labels": {"background": 0, "liver": 1}}})
    channels = {"0": "MR", "1": "PET"}
    _model(folder, "other_channels", files={"dataset.json": LIVER | {"channel_names": channels}})
    for name, (path, value) in {
        "other_plans": (FEATURES, [4, 6]),
        "own_normalisation": (f"{ENTRY}/normalization_schemes", ["MyNorm"]),
        "own_resampling": (f"{ENTRY}/resampling_fn_data", "my_resampling"),
        "own_preprocessor": (f"{ENTRY}/preprocessor_name", "MyPreprocessor"),
        "unknown_network": (f"{ENTRY}/architecture/network_class_name", "mine.UMambaBot"),
    }.items():
        _model(folder, name, files={"plans.json": changed(PLANS, path, value)})
    _model(folder, "hostile", change=lambda weights: {**weights, "x": Hostile(folder / "ran")})


def _bundles(folder: Path) -> None:
    run = f"$__import__('os').mkdir('{folder / 'ran'}')"
    networks: Mapping[str, Any] = {
        "bundle_with_scripts": {"_target_": "scripts.networks.MyNet"},
        "bundle_with_code": bundles.UNET | {"in_channels": run},
        "bundle_of_dints": {"_target_": "DiNTS"},
    }
    for name, network in networks.items():
        config = bundles.inference() | {"network_def": network}
        made = bundles.bundle(folder / name)
        (made / "configs" / "inference.json").write_text(json.dumps(config))
        (made / "scripts").mkdir()
        (made / "scripts" / "__init__.py").write_text(f"import os\nos.mkdir({str(folder / 'ran')!r})\n")
    (bundles.bundle(folder / "bundle_without_weights") / "models" / "model.pt").unlink()
    (bundles.bundle(folder / "bundle_without_metadata") / "configs" / "metadata.json").unlink()
    torch.save({"weight": torch.ones(3)}, bundles.bundle(folder / "bundle_of_two") / "models" / "model.pt")


def _graphs(folder: Path) -> None:
    _cut(graph(folder / "half.onnx"))
    (folder / "half.json").write_text(json.dumps(CARD))
    graph(folder / "bare.onnx")
    cards = {
        "typo": CARD | {"spacing_cm": [1, 1, 1]},
        "short": {key: value for key, value in CARD.items() if key != "spacing_mm"},
        "classes": CARD | {"labels": {"0": "background", "1": "liver", "2": "spleen"}},
    }
    for name, card in cards.items():
        (folder / f"card_{name}.json").write_text(json.dumps(card))
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(nn.Conv3d(1, 2, 1)), folder / "program.ts")
    (folder / "program.json").write_text(json.dumps(CARD))
    torch.save({"weight": torch.zeros(3)}, folder / "weights.pt")


def _answers(folder: Path) -> None:
    labels = sorted((folder / "scans" / "labelsTr").glob("*.nii.gz"))
    described = json.loads((folder / "scans" / "dataset.json").read_text())["labels"]
    for name in ("answers", "thinner", "moved", "few", "unnamed", "of_nine"):
        answers = folder / (name if name == "answers" else f"answers_{name}")
        answers.mkdir()
        if name != "unnamed":
            (answers / "dataset.json").write_text(json.dumps({"labels": described}))
        for file in labels[: 2 if name == "few" else None]:
            image = nibabel.load(file)
            array, affine = np.asarray(image.dataobj), np.array(image.affine)
            if name == "thinner":
                array = array[:-1]
            if name == "moved":
                affine[:3, 3] += [3, 4, 0]
            if name == "of_nine":
                array = np.where(array == 1, 9, array)
            nibabel.save(nibabel.Nifti1Image(array.astype(np.uint8), affine), answers / file.name)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
