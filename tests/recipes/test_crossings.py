"""Two methods over one student: what each adds, that labels count once, and that they train together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.sampling.augmentation import PRESETS
from distilseg.data.sampling.batches import batches
from distilseg.data.sampling.patches import cut
from distilseg.distillation.method import Combined, Modalities, Role
from distilseg.errors import UserError
from distilseg.networks.checkpoint import load_network
from distilseg.predict import load_predictor
from distilseg.recipes import find
from distilseg.runs import Run, read_rows
from distilseg.training.budget import Budget
from distilseg.training.cases import make_sampler, prepare
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.recorded import Teacher, recorded
from distilseg.training.trained import trained

from ..training.small import STUDENT, TEACHERS, method_of, of_tokens, small_study

CPU = Machine(device="cpu", precision="32-true")
TWO = {"teachers": ("h_denseformer", "unetr")}
FEWER = {key: value for key, value in TEACHERS.items() if not key.startswith("swin")}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return of_tokens(small_study(tmp_path_factory.mktemp("scans"), cases=5, modalities=("CT", "PET")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


def made(recipe: str, study: Study, **options: Any) -> Experiment:
    experiment = find(recipe)(study, student_options=STUDENT, teacher_options=FEWER, **TWO, **options)
    return experiment.with_settings(Budget(steps=2), validations=1)


def objective(experiment: Experiment) -> Combined:
    method = method_of(experiment)
    assert isinstance(method, Combined)
    return method


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def test_many_teachers_see_all_and_the_student_one(study: Study) -> None:
    experiment = made("teach_former_kd_net", study, student_sees=("PET",))
    assert experiment.sees == ("PET",)
    assert experiment.networks["student"].in_channels == 1
    assert experiment.control is not None
    assert experiment.control.sees == ("PET",)
    assert experiment.control.networks == experiment.networks
    for teacher in experiment.teachers.values():
        assert isinstance(teacher, Experiment)
        assert teacher.seen == ("CT", "PET")
        assert teacher.networks["student"].in_channels == 2
    method = objective(experiment)
    assert method.roles["student"].input == Modalities((1,))
    assert method.weights == {
        "teach_former/seg": 1.0,
        "teach_former/attention": 1.0,
        "teach_former/soft_labels": 1.0,
        "teach_former/deep_supervision": 1.0,
        "kd_net/seg": 0.0,
        "kd_net/soft_labels": 0.75,
        "kd_net/latent": 10.0,
    }
    with pytest.raises(UserError, match="unknown modality of the student 'MR'"):
        made("teach_former_kd_net", study, student_sees=("MR",))


def test_self_distillation_inside_the_student(study: Study) -> None:
    experiment = made("teach_former_dsd", study, beta=0.5)
    weights = objective(experiment).weights
    assert {name: weight for name, weight in weights.items() if name.startswith("dsd/")} == {
        "dsd/seg": 0.0,
        "dsd/deep_supervision": 1.0,
        "dsd/encoder": 1.0,
        "dsd/decoder": 0.5,
        "dsd/feature_l2": 0.0,
    }
    alone = made("teach_former", study)
    assert {r: t.run_name() for r, t in experiment.teachers.items() if isinstance(t, Experiment)} == {
        r: t.run_name() for r, t in alone.teachers.items() if isinstance(t, Experiment)
    }
    assert experiment.run_name() != alone.run_name()


@pytest.mark.parametrize("outputs", ["live", "recorded"])
@pytest.mark.parametrize("recipe", ["teach_former_kd_net", "teach_former_dsd"])
def test_they_train_together_and_ship_the_student_alone(
    recipe: str, outputs: str, study: Study, folder: Path
) -> None:
    run = make(made(recipe, study, teacher_outputs=outputs), folder)
    row = read_rows(run.losses)[0]
    terms = {name for name in row if "/" in name and row[name]}
    own = "kd_net" if recipe == "teach_former_kd_net" else "dsd"
    assert {"teach_former/seg", "teach_former/attention"} < terms
    assert {name.partition("/")[0] for name in terms} == {"teach_former", own}
    predictor = load_predictor(run.folder)
    assert predictor.plan.modalities == (("CT",) if own == "kd_net" else ("CT", "PET"))
    assert not any("head" in name and "dsd" in name for name in predictor.network.state_dict())


def test_3d_teachers_of_a_thickened_student(study: Study, folder: Path) -> None:
    """The student is shown slabs, its teachers' answers are cut from what they said of the whole volume."""
    experiment = find("thickened_teach_former")(study, thickness=3, teacher_options=FEWER, **TWO)
    experiment = experiment.with_settings(Budget(steps=2), validations=1)
    assert experiment.study.plan.patch[2] == 3
    for teacher in experiment.teachers.values():
        assert isinstance(teacher, Experiment)
        assert teacher.study.plan.patch == study.plan.patch
        assert (
            teacher.run_name() == made("teach_former", study).teachers[teacher.options["student"]].run_name()
        )  # type: ignore[union-attr]
    assert experiment.control is not None
    assert experiment.control.recipe == "thickened"
    run = make(experiment, folder)
    row = read_rows(run.losses)[0]
    assert float(row["teach_former/attention"]) > 0
    assert float(row["teach_former/soft_labels"]) > 0
    assert float(row["thickened/overlap"]) > 0
    why = run.read(run.experiment)["machine"]["teacher_outputs"]
    assert why["recorded"]


def test_a_thickened_student_that_sees_less_than_its_teacher(study: Study, folder: Path) -> None:
    options = {"teacher_network_options": {"filters": [4, 8, 8, 8, 8]}, "thickness": 3}
    experiment = find("thickened_kd_net")(study, student_sees=("PET",), **options)
    experiment = experiment.with_settings(Budget(steps=2), validations=1)
    run = make(experiment, folder)
    row = read_rows(run.losses)[0]
    assert {name for name in row if "/" in name and row[name]} == {
        "thickened/overlap",
        "thickened/cross_entropy",
        "kd_net/soft_labels",
        "kd_net/latent",
    }
    assert load_predictor(run.folder).plan.modalities == ("PET",)
    assert experiment.control is not None
    assert experiment.control.seen == ("PET",)
    assert make(experiment.control, folder).finished


def test_what_a_thin_slab_is_told_is_what_the_teacher_said_there(study: Study, folder: Path) -> None:
    """The recorded logits that a slab's batch carries are those of the volume, slice by slice."""
    experiment = find("thickened_teach_former")(study, thickness=3, teacher_options=FEWER, **TWO)
    experiment = experiment.with_settings(Budget(steps=2), validations=1, augmentation="none")
    run = make(experiment, folder)
    assert run.finished
    prepared = prepare(experiment, folder / "cache")
    teacher = experiment.teachers["unetr"]
    assert isinstance(teacher, Experiment)
    network, _, _ = load_network(make(teacher, folder).best)
    cases = {id: prepared[id] for id in experiment.study.split.train}
    about = Teacher("unetr", network, Role(), "test", study.plan.patch)
    maps = recorded([about], cases, experiment.study.plan.patch, torch.device("cpu"), folder / "again")
    sampler = make_sampler(experiment, prepared)
    (batch,) = batches(sampler, PRESETS["none"], batch_size=2, first_step=0, steps=1, maps=maps)
    for row in range(2):
        patch = sampler[row]
        whole = maps[patch.case_id]["unetr/logits"].values[
            :, : patch.shape[0], : patch.shape[1], : patch.shape[2]
        ]
        expected = cut(np.asarray(whole), patch.start, experiment.study.plan.patch, "edge")
        np.testing.assert_array_equal(batch.maps["unetr/logits"][row], expected)
