"""Prototypes beside KD-Net and Teach-Former: labels count once, no teacher is taken for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilseg.data.prototypes import load_prototypes
from distilseg.distillation.method import Combined
from distilseg.errors import UserError
from distilseg.networks.build import build
from distilseg.networks.checkpoint import load_network
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.runs import Run, read_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Prototypes, Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import STUDENT, TEACHERS, of_tokens, other_volumes, small_study

CPU = Machine(device="cpu", precision="32-true")
DEEPER = {"filters": [4, 8, 8, 8, 8]}
KD_NET: dict[str, Any] = {"student_sees": ("CT",), "network_options": DEEPER}
TEACH_FORMER: dict[str, Any] = {
    "teachers": ("h_denseformer", "unetr"),
    "student_options": STUDENT,
    "teacher_options": {key: value for key, value in TEACHERS.items() if not key.startswith("swin")},
}
OPTIONS = {"prototype_kd_net": KD_NET, "prototype_teach_former": TEACH_FORMER}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    """Two modalities, patches that tokens fit."""
    return of_tokens(small_study(folder / "scans", cases=5, modalities=("CT", "PET")))


@pytest.fixture(scope="module")
def volumes(folder: Path, study: Study) -> dict[str, Any]:
    return {**other_volumes(folder, study), "teacher_network_3d_options": DEEPER}


def made(recipe: str, study: Study, **options: Any) -> Experiment:
    experiment = find(recipe)(study, **OPTIONS[recipe], **options)
    return experiment.with_settings(Budget(steps=2), validations=1)


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def teacher_3d(experiment: Experiment) -> Experiment:
    assert isinstance(experiment.prototypes, Prototypes)
    assert isinstance(experiment.prototypes.teacher, Experiment)
    return experiment.prototypes.teacher


def file_of(experiment: Experiment, folder: Path) -> Path:
    (path,) = (make(teacher_3d(experiment), folder).folder / "prototypes").iterdir()
    return path


def objective(experiment: Experiment, file: Path) -> Combined:
    """For all networks of the experiment."""
    specs = dict(experiment.networks)
    specs |= {r: t.networks["student"] for r, t in experiment.teachers.items() if isinstance(t, Experiment)}
    shapes = {
        role: feature_shapes(build(spec), (1, spec.in_channels, *spec.patch)) for role, spec in specs.items()
    }
    method = experiment.method(shapes, load_prototypes(file))
    assert isinstance(method, Combined)
    return method


def summed(row: dict[str, str], weights: dict[str, Any]) -> float:
    """Its terms, weighted."""
    return float(sum(float(row[name]) * weight for name, weight in weights.items() if weight))


def test_kd_net_with_prototypes(study: Study, volumes: dict[str, Any], folder: Path) -> None:
    experiment = made("prototype_kd_net", study, **volumes)
    run = make(experiment, folder)
    losses = read_rows(run.losses)
    assert len(losses) == 2
    weights = dict(objective(experiment, file_of(experiment, folder)).weights)
    assert {weights["prototypes/inter"], weights["prototypes/intra"]} == {0.5}
    assert weights["prototypes/seg"] == 0.0
    assert weights["kd_net/seg"] == 0.25  # beside soft labels of 0.75
    for row in losses:
        assert float(row["total"]) == pytest.approx(summed(row, weights), rel=1e-5)
        assert all(float(row[name]) > 0 for name, weight in weights.items() if weight)
    student, spec, extra = load_network(run.best)
    assert (spec.in_channels, extra["modalities"]) == (1, ["CT"])
    assert not any("projection" in name for name in student.state_dict())
    about = run.read(run.experiment)
    assert set(about["teachers"]) == {"teacher"}
    assert about["prototypes"]["modalities"] == ["CT", "PET"]


def test_teach_former_with_prototypes(study: Study, volumes: dict[str, Any], folder: Path) -> None:
    experiment = made("prototype_teach_former", study, **volumes, beta=0.25)
    run = make(experiment, folder)
    weights = dict(objective(experiment, file_of(experiment, folder)).weights)
    assert (weights["prototypes/inter"], weights["prototypes/seg"], weights["teach_former/seg"]) == (
        0.25,
        0.0,
        1.0,
    )
    for row in read_rows(run.losses):
        assert float(row["total"]) == pytest.approx(summed(row, weights), rel=1e-5)
        assert float(row["prototypes/inter"]) > 0
        assert float(row["teach_former/attention"]) > 0
    assert set(run.read(run.experiment)["teachers"]) == {"h_denseformer", "unetr"}


@pytest.mark.parametrize("recipe", OPTIONS)
def test_the_3d_teacher_is_given_the_budget_alone_and_is_shared(
    recipe: str, study: Study, volumes: dict[str, Any]
) -> None:
    experiment = made(recipe, study, **volumes).with_settings(Budget(steps=3), batch_size=5)
    teacher = teacher_3d(experiment)
    assert (teacher.budget, teacher.sampling.batch_size) == (Budget(steps=3), study.plan.batch_size)
    assert experiment.sampling.batch_size == 5
    others = [made(name, study, **volumes).with_settings(Budget(steps=3)) for name in OPTIONS]
    assert {teacher_3d(one).run_name() for one in others} == {teacher.run_name()}


@pytest.mark.parametrize("recipe", OPTIONS)
def test_the_control_is_that_of_the_other_method(recipe: str, study: Study, volumes: dict[str, Any]) -> None:
    plain = {"prototype_kd_net": "kd_net_control", "prototype_teach_former": "teach_former_control"}
    experiment = made(recipe, study, **volumes)
    assert experiment.control is not None
    assert experiment.control.recipe == plain[recipe]
    assert (experiment.continues, experiment.control.prototypes) == (None, None)
    assert made(recipe, study, **volumes, beta=0.1).run_name() != experiment.run_name()


@pytest.mark.parametrize("recipe", OPTIONS)
def test_a_file_in_place_of_volumes(recipe: str, study: Study, volumes: dict[str, Any], folder: Path) -> None:
    live = made(recipe, study, **volumes)
    of_file = made(recipe, study, prototypes=str(file_of(live, folder)))
    assert make(of_file, folder).losses.read_bytes() == make(live, folder).losses.read_bytes()
    with pytest.raises(UserError, match="asked of --data-3d and of --prototypes"):
        made(recipe, study, **volumes, prototypes=str(file_of(live, folder)))
    with pytest.raises(UserError, match="asked of nobody; give --data-3d"):
        made(recipe, study)
