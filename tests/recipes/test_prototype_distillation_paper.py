"""Prototype distillation of the abdomen: the published numbers, and phantoms through the whole of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.prototypes import load_prototypes
from distilseg.distillation.prototypes import Prototypes as Objective
from distilseg.errors import UserError
from distilseg.networks.build import build
from distilseg.networks.count import parameters
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.recipes.published import of_labels
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.budget import Budget
from distilseg.training.cases import make_augmentation
from distilseg.training.experiment import Experiment, Prototypes, Study
from distilseg.training.machine import Machine
from distilseg.training.studies import make_study
from distilseg.training.trained import trained
from tests.costs import unmeasured

RECIPE = "prototype_distillation_abdomen"
SLICE_ORGANS = ("background", "liver", "spleen", "kidney")  # the volumes have vessels and lesions as well


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("abdomen")


@pytest.fixture(scope="module")
def volumes(folder: Path) -> Path:
    return write_phantom(
        folder / "volumes", cases=6, shape=(20, 20, 20), spacing_mm=(2, 2, 2), seed=1, modalities=("CT",)
    )


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    """One slice of each of some other phantoms, with three organs."""
    data = write_phantom(
        folder / "scans", cases=7, shape=(20, 20, 20), spacing_mm=(2, 2, 2), modalities=("CT",)
    )
    return of_labels(make_study(data, one_slice_per_subject="axial"), SLICE_ORGANS)


def chain(experiment: Experiment) -> tuple[Experiment, Experiment, Experiment]:
    """Control, the student before, teacher."""
    assert experiment.control is not None
    assert experiment.continues is not None
    assert isinstance(experiment.continues.run, Experiment)
    assert isinstance(experiment.prototypes, Prototypes)
    assert isinstance(experiment.prototypes.teacher, Experiment)
    return experiment.control, experiment.continues.run, experiment.prototypes.teacher


@pytest.mark.parametrize(
    ("network", "size", "rate", "epochs"),
    [("deeplab_v3", 256, 0.01, 150), ("swin_unet", 224, 0.05, 150), ("missformer", 224, 0.05, 400)],
)
def test_the_students_numbers(
    network: str, size: int, rate: float, epochs: int, study: Study, volumes: Path
) -> None:
    experiment = find(RECIPE)(study, data_3d=str(volumes), network=network)
    control, before, _ = chain(experiment)
    for one in (experiment, control, before):
        plan = one.study.plan
        assert (plan.patch, plan.network_patch) == ((size, size, 1), (size, size))
        assert plan.spacing_mm[:2] == (384 / size, 384 / size)
        window = plan.normalisation["CT"]
        assert (window.kind, window.low, window.high) == ("range", -175, 250)
        assert (one.sampling.batch_size, one.sampling.patches_per_case) == (24, 1)
        assert one.sampling.foreground_fraction == 0
        settings = one.optimisation
        assert (settings.optimizer, settings.weight_decay, settings.schedule, settings.clip) == (
            "momentum",
            1e-4,
            "polynomial",
            None,
        )
        assert one.inferer["patch"] == [size, size]
    assert (before.budget.epochs, before.optimisation.learning_rate) == (epochs, rate)
    for second in (experiment, control):
        assert second.budget.epochs == pytest.approx(100)
        assert second.optimisation.learning_rate == pytest.approx(rate / 10)
    assert experiment.recipe == RECIPE
    assert (control.recipe, before.recipe) == (
        "prototype_distillation_control",
        "prototype_distillation_student",
    )


def test_the_teachers_numbers(study: Study, volumes: Path) -> None:
    _, _, teacher = chain(find(RECIPE)(study, data_3d=str(volumes)))
    plan = teacher.study.plan
    assert (plan.patch, plan.spacing_mm) == ((96, 96, 96), (1.5, 1.5, 2.0))
    assert plan.normalisation["CT"].low == -175
    settings = teacher.optimisation
    assert (settings.optimizer, settings.learning_rate, settings.weight_decay) == ("adamw", 1e-4, 1e-5)
    assert settings.schedule == "cosine"
    assert (teacher.budget.steps, teacher.sampling.batch_size) == (50_000, 2)
    assert (teacher.sampling.foreground_fraction, teacher.inferer["overlap"]) == (0.5, 0.2)
    assert teacher.validation.count(teacher.budget, 1) == 125
    spec = teacher.networks["student"]
    assert (spec.name, spec.patch, spec.classes) == ("unest", (96, 96, 96), 4)
    base = build(replace(spec, classes=7))
    assert parameters(base) == 87_201_000  # the table of `networks/unest.py`


def test_the_students_augmentation(study: Study, volumes: Path) -> None:
    control, before, teacher = chain(find(RECIPE)(study, data_3d=str(volumes)))
    for one in (control, before):
        chances = make_augmentation(one)
        assert (chances.flip * 2, chances.flip_one) == (0.5, (0, 1))  # one of two axes half of the time
        assert chances.rotate90 == 0.5 * 3 / 4  # half of the time one of four turns, none among them
        assert (chances.rotate_degrees.low, chances.rotate_degrees.high) == (-20, 20)
        assert chances.rotate_degrees.probability == 0.5 * 0.5
    chances = make_augmentation(teacher)
    assert (chances.flip, chances.rotate90, chances.shift.high) == (0.1, 0.1, 0.1)


def test_organs_that_slices_do_not_have_are_background(study: Study, volumes: Path) -> None:
    _, _, teacher = chain(find(RECIPE)(study, data_3d=str(volumes)))
    assert teacher.study.plan.classes == teacher.study.dataset.classes == study.plan.classes == SLICE_ORGANS
    assert dict(teacher.study.dataset.cases[0].merged) == {4: 0, 5: 0}
    mapped = find(RECIPE)(study, data_3d=str(volumes), class_map={"liver": "lesion"})
    assert len(chain(mapped)[2].study.plan.classes) == 6
    assert not chain(mapped)[2].study.dataset.cases[0].merged
    labels = {**study.plan.labels, 3: "pancreas"}
    other = replace(study, plan=study.plan.model_copy(update={"labels": labels}))
    with pytest.raises(UserError, match=r"of the classes background, liver.*; the student's are .*pancreas"):
        find(RECIPE)(other, data_3d=str(volumes))


def test_the_objective(study: Study, volumes: Path, tmp_path: Path) -> None:
    experiment = find(RECIPE)(study, data_3d=str(volumes))
    spec = experiment.networks["student"]
    assert spec.name == "deeplab_v3"
    file = load_prototypes(_file_of_four(tmp_path))
    method = experiment.method({"student": feature_shapes(build(spec), (1, 1, 64, 64))}, file)
    assert isinstance(method, Objective)
    assert method.weights == {"seg": 1.0, "inter": 0.5, "intra": 0.5}
    assert (method.segmentation, method.activation, method.projection) == ("squared_dice_ce", "none", None)


def _file_of_four(folder: Path) -> Path:
    path = folder / "prototypes.json"
    rows = {name: [float(k == c) for c in range(4)] for k, name in enumerate(SLICE_ORGANS)}
    counts = dict.fromkeys(SLICE_ORGANS, 1)
    about: dict[str, Any] = {
        "feature": "logits",
        "prototypes": rows,
        "slices": counts,
        "voxels": counts,
        "reduce": "slice_mean",
        "softmax": False,
        "across": "axial",
        "slice_range": {},
        "dataset": "Phantom",
        "cases": 1,
        "modalities": ["CT"],
        "preprocessing": {},
        "network": {},
        "weights": "",
        "made_by": "",
    }
    path.write_text(json.dumps(about))
    return path


def test_by_one_command(folder: Path, volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Volumes with five organs, slices of folders with the same five; smaller networks, crops and slices."""
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    small = [f"--teacher-network-option={key}" for key in ("filters=[4,8,8]", "strides=[1,2,2]")]
    words = ["train", RECIPE, "--data-3d", str(volumes), "--data-2d", str(folder / "scans")]
    words += ["--one-slice-per-subject", "--teacher-network", "dynunet", *small, "--patch-3d", "32,32,32"]
    words += ["--size", "32", "--batch-size", "3", "--steps", "2", "--validations", "1"]
    words += ["--device", "cpu", "--precision", "32-true"]
    words += ["--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    assert len(read_dataset(folder / "scans").cases) == 7
    assert main(words) == 0
    runs = {run.read(run.experiment)["recipe"]: run for run in find_runs(tmp_path / "runs")}
    assert set(runs) == {
        "supervised",
        "prototype_distillation_student",
        "prototype_distillation_control",
        RECIPE,
    }
    assert {"seg", "inter", "intra"} <= read_rows(runs[RECIPE].losses)[0].keys()
    assert {row["label"] for row in read_rows(runs[RECIPE].metrics)} >= {"liver", "spleen"}


def test_a_teacher_of_fewer_classes_gives_its_prototypes_away(
    study: Study, volumes: Path, tmp_path: Path
) -> None:
    """Its folder is read anew, with the labels that it counted as background."""
    experiment = find(RECIPE)(
        study,
        data_3d=str(volumes),
        teacher_network="dynunet",
        teacher_network_options={"filters": [4, 8, 8], "strides": [1, 2, 2]},
        patch_3d=(32, 32, 32),
        size=32,
    )
    teacher = chain(experiment)[2].with_settings(Budget(steps=1), validations=1)
    cpu = Machine(device="cpu", precision="32-true")
    run: Run = trained(teacher, runs=tmp_path / "runs", machine=cpu, cache=tmp_path / "cache")
    _, file = commands.prototypes(run.folder, cache=tmp_path / "cache", device="cpu")
    assert file.classes == SLICE_ORGANS


@pytest.mark.parametrize("size", [0, 33, -32])
def test_sizes_of_a_slice(size: int, study: Study, volumes: Path) -> None:
    if size == 0:
        assert find(RECIPE)(study, data_3d=str(volumes), size=0).study.plan.patch == (256, 256, 1)
        return
    with pytest.raises(UserError, match=rf"^a slice of {size} pixels; give a multiple of 32"):
        find(RECIPE)(study, data_3d=str(volumes), size=size)


def test_other_students_are_refused(study: Study, volumes: Path) -> None:
    with pytest.raises(UserError, match=r"unknown student 'unet'; did you mean 'swin_unet'"):
        find(RECIPE)(study, data_3d=str(volumes), network="unet")
