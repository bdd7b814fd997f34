"""Students as nnU-Net's model folders: what is written, that it reads back to the same answers, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.planning.normalisation import Normalisation
from distilseg.errors import UserError
from distilseg.export.nnunet_folder import write_nnunet
from distilseg.export.nnunet_plans import dataset_name
from distilseg.networks.build import build
from distilseg.networks.nnunet_blocks import with_duplicates, without_duplicates
from distilseg.teachers.nnunet.architecture import network_of
from distilseg.teachers.nnunet.plans import configuration_of
from distilseg.teachers.opening import open_teacher
from distilseg.teachers.teacher import TeacherOptions

from .handed_on import FEET_FIRST, LPS, RAS, by_run, by_teacher, plan_of, scans_at, student_of

PLAIN = "plain_conv_unet"
SMALL: dict[str, Any] = {"features": [4, 6], "strides": [[1, 1, 1], [2, 2, 2]]}
FLAT: dict[str, Any] = {"features": [4, 6], "strides": [[1, 1], [2, 2]]}
REGIONS = {"labels": {0: "background", 1: "edema", 2: "core", 4: "enhancing"}}
REGIONS |= {"regions": {"whole": (1, 2, 4), "inner": (2, 4), "active": (4,)}}  # type: ignore[dict-item]
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": (PLAIN, SMALL),
    "kernels": (PLAIN, {**SMALL, "kernels": [[1, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2]]}),
    "counts": (PLAIN, {**SMALL, "convolutions": [1, 3], "decoder_convolutions": [2]}),
    "batch norm": (PLAIN, {**SMALL, "norm": "batch"}),
    "norm last": (PLAIN, {**SMALL, "norm_last": True, "bias": False}),
    "no norm": (PLAIN, {**SMALL, "norm": "none", "nonlinearity": "gelu"}),
    "dropout": (PLAIN, {**SMALL, "dropout": 0.2, "slope": 0.1}),
    "residual": ("residual_encoder_unet", {**SMALL, "blocks": [1, 2]}),
    "bottleneck": (
        "residual_encoder_unet",
        {**SMALL, "features": [8, 12], "blocks": [1, 2], "stem": 4, "bottleneck": [2, 4]},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_network_of_nnunets_reads_back_to_the_same_logits(name: str, tmp_path: Path) -> None:
    student = student_of(plan_of(), *OTHERS[name])
    scans = scans_at(tmp_path, student.plan)
    write_nnunet(student, folder := _made(tmp_path), 3)
    answer = open_teacher(folder, TeacherOptions(device="cpu")).answer(scans, case="case")
    logits, _ = by_run(student, scans)
    assert np.ptp(logits) > 0.5  # there is something to compare
    np.testing.assert_allclose(by_teacher(answer), logits, atol=1e-4)


PLANS: dict[str, dict[str, Any]] = {
    "window": {
        "normalisation": {"CT": Normalisation(kind="window_zscore", low=-1, high=2, mean=0.3, std=0.8)}
    },
    "zscore": {"normalisation": {"CT": Normalisation(kind="zscore")}},
    "nonzero": {"normalisation": {"CT": Normalisation(kind="zscore_nonzero")}},
    "minmax": {"normalisation": {"CT": Normalisation(kind="minmax")}},
    "none": {"normalisation": {"CT": Normalisation(kind="none")}},
    "modalities": {
        "modalities": ("MR", "PET"),
        "normalisation": {
            "MR": Normalisation(kind="zscore"),
            "PET": Normalisation(kind="range", low=-1, high=1),
        },
    },
    "gaps": {"labels": {0: "air", 2: "liver", 7: "tumour"}},
    "axes in another order": {"orientation": "SRA"},
    "slices": {"patch": (16, 16, 1), "strides": ((1, 1, 1), (2, 2, 1))},
    "coronal slices": {"patch": (16, 1, 16), "strides": ((1, 1, 1), (2, 1, 2))},
}


@pytest.mark.parametrize("axes", [RAS, LPS, FEET_FIRST], ids=["RAS", "LPS", "feet first"])
@pytest.mark.parametrize("name", PLANS)
def test_every_plan_that_is_written_reads_back_to_the_same_labels(
    name: str, axes: np.ndarray, tmp_path: Path
) -> None:
    plan = plan_of(**PLANS[name])
    student = student_of(plan, PLAIN, SMALL if plan.slice_axis is None else FLAT)
    scans = scans_at(tmp_path, plan, axes=axes)
    written = write_nnunet(student, folder := _made(tmp_path), 3)
    teacher = open_teacher(folder, TeacherOptions(device="cpu"))
    answer = teacher.answer(scans, case="case")
    logits, labels = by_run(student, scans)
    np.testing.assert_allclose(by_teacher(answer), logits, atol=1e-4)
    theirs = np.vectorize(written.values.get)(teacher.labels(answer, scans))
    assert len(np.unique(labels)) > 1
    assert (theirs != labels).mean() < 1e-3
    assert teacher.modalities == plan.modalities
    assert [head.name for head in teacher.heads][1:] == list(plan.classes)[1:]


def test_a_scan_of_another_spacing_is_resampled_alike(tmp_path: Path) -> None:
    """Linear, also across a coarse axis, which nnU-Net would treat apart of its own accord."""
    plan = plan_of(normalisation={"CT": Normalisation(kind="none")}, spacing_mm=(1.0, 1.0, 5.0))
    student = student_of(plan, PLAIN, SMALL)
    scans = scans_at(tmp_path, plan, shape=(20, 12, 32), spacing_mm=(0.8, 4 / 3, 2.5))
    write_nnunet(student, folder := _made(tmp_path), 3)
    teacher = open_teacher(folder, TeacherOptions(device="cpu"))
    answer = teacher.answer(scans, case="case")
    logits, labels = by_run(student, scans)
    np.testing.assert_allclose(by_teacher(answer), logits, atol=1e-4)
    assert (teacher.labels(answer, scans) != labels).mean() < 1e-3


def test_regions_keep_their_names_values_and_order(tmp_path: Path) -> None:
    plan = plan_of(**REGIONS)
    student = student_of(plan, PLAIN, SMALL, answers="regions")
    scans = scans_at(tmp_path, plan)
    write_nnunet(student, folder := _made(tmp_path), 3)
    told = json.loads((folder / "dataset.json").read_text())
    assert list(told["labels"].items()) == [
        ("background", 0),
        ("whole", [1, 2, 4]),
        ("inner", [2, 4]),
        ("active", [4]),
    ]
    assert told["regions_class_order"] == [1, 2, 4]
    teacher = open_teacher(folder, TeacherOptions(device="cpu"))
    assert teacher.activation == "sigmoid"
    _, labels = by_run(student, scans)
    assert len(np.unique(labels)) > 2
    assert (teacher.labels(teacher.answer(scans, case="case"), scans) != labels).mean() < 1e-3


def test_what_a_folder_holds(tmp_path: Path) -> None:
    plan = plan_of(modalities=("MR", "PET"), labels={0: "air", 2: "liver", 7: "tumour"}, crop="nonzero")
    student = student_of(plan, PLAIN, SMALL, inferer={"mirror": (0, 2), "overlap": 0.25})
    written = write_nnunet(student, folder := _made(tmp_path), 12)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "fold_0", "plans.json"]
    told = json.loads((folder / "dataset.json").read_text())
    assert told["channel_names"] == {"0": "MR", "1": "PET"}
    assert told["labels"] == {"background": 0, "liver": 1, "tumour": 2}
    assert (told["numTraining"], told["file_ending"], told["licence"]) == (12, ".nii.gz", "CC-BY 4.0")
    assert written.values == {0: 0, 1: 2, 2: 7}
    assert "its label maps hold 1 for 2, 2 for 7" in " ".join(written.differs)
    assert "-step_size 0.75" in " ".join(written.differs)
    assert not any("cropped" in told for told in written.differs)
    assert not any("mean and deviation" in told for told in written.differs)
    plans = json.loads((folder / "plans.json").read_text())
    assert (plans["dataset_name"], plans["plans_name"]) == ("Dataset007_Small", "distilsegPlans")
    entry = plans["configurations"]["3d_fullres"]
    assert (entry["patch_size"], entry["spacing"]) == ([16, 16, 16], [1.0, 1.5, 2.0])
    assert plans["transpose_forward"] == plans["transpose_backward"] == [2, 1, 0]
    # Nothing but tensors and plain values: even the strictest reader takes it.
    stored = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert stored["trainer_name"] == "nnUNetTrainer"
    assert stored["inference_allowed_mirroring_axes"] == (0, 2)
    assert stored["init_args"]["configuration"] == "3d_fullres"
    assert stored["init_args"]["plans"] == plans
    weights = stored["network_weights"]
    stem = "encoder.stages.0.0.convs.0"
    for name in (
        f"{stem}.conv.weight",
        f"{stem}.all_modules.0.weight",
        f"decoder.{stem}.all_modules.0.weight",
    ):
        assert weights[name].data_ptr() == weights[f"{stem}.conv.weight"].data_ptr()


@pytest.mark.parametrize("name", OTHERS)
def test_weights_have_all_names_and_plans_name_the_network(name: str, tmp_path: Path) -> None:
    student = student_of(plan_of(), *OTHERS[name])
    state = student.network.state_dict()
    assert without_duplicates(with_duplicates(student.network)).keys() == state.keys()
    write_nnunet(student, folder := _made(tmp_path), 3)
    plans = json.loads((folder / "plans.json").read_text())
    spec = network_of(configuration_of(plans, "3d_fullres", "plans"), 1, 3, "plans")
    assert {n: w.shape for n, w in build(spec).state_dict().items()} == {n: w.shape for n, w in state.items()}


REFUSED: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "network": ({}, "dynunet", {"filters": [4, 8, 8]}, "dynunet is none of them"),
    "orientation": ({"orientation": "LPS"}, PLAIN, SMALL, "turns scans to LPS"),
    "crop": ({"crop": "center", "crop_voxels": (8, 8, 8)}, PLAIN, SMALL, "cuts out the middle"),
    "normalisation": (
        {"normalisation": {"CT": Normalisation(kind="percentile")}},
        PLAIN,
        SMALL,
        "CT is scaled by percentile",
    ),
    "name": ({"labels": {0: "background", 1: "ignore"}}, PLAIN, SMALL, "'ignore'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nnunet_cannot_do_is_refused_by_name(name: str, tmp_path: Path) -> None:
    changed, network, options, cause = REFUSED[name]
    student = student_of(plan_of(**changed), network, options)
    with pytest.raises(UserError, match=cause) as refused:
        write_nnunet(student, _made(tmp_path), 3)
    assert "train" in refused.value.fix


def test_regions_of_single_labels_and_slabs_are_refused(tmp_path: Path) -> None:
    plan = plan_of(regions={"liver": (1,), "tumour": (2,)})
    with pytest.raises(UserError, match="single label"):
        write_nnunet(student_of(plan, PLAIN, SMALL, answers="regions"), _made(tmp_path), 3)
    slabs = {"kind": "slabs", "patch": [16, 16, 3], "axis": 2}
    student = student_of(plan_of(), PLAIN, SMALL, inferer=slabs)
    with pytest.raises(UserError, match="a few slices"):
        write_nnunet(student, tmp_path, 3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Task04_Hippocampus", "Dataset004_Hippocampus"),
        ("Dataset070_HeadNeckCT", "Dataset070_HeadNeckCT"),
        ("my scans, 2024", "Dataset900_myscans2024"),
        ("../..", "Dataset900_Student"),
    ],
)
def test_datasets_have_names_of_nnunets_form(ours: str, theirs: str) -> None:
    assert dataset_name(ours) == theirs


def _made(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder
