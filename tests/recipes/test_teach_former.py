"""Teach-Former's recipes: which teachers, which terms, what is shared, and that no teacher is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg import commands
from distilseg.cli.app import main
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.scans.reading import read_scan
from distilseg.distillation.teach_former import TeachFormer
from distilseg.errors import UserError
from distilseg.networks.build import build
from distilseg.networks.checkpoint import load_network
from distilseg.recipes import find
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study, file_digest
from distilseg.training.machine import Machine
from distilseg.training.objective import Objective
from distilseg.training.trained import trained

from ..training.small import STUDENT, TEACHERS, method_of, of_tokens, small_study

CPU = Machine(device="cpu", precision="32-true")
T1, T2, T3 = "h_denseformer", "swin_unetr", "unetr"
SUBSETS = {
    "teach_former_t1": (T1,),
    "teach_former_t2": (T2,),
    "teach_former_t3": (T3,),
    "teach_former_t12": (T1, T2),
    "teach_former_t13": (T1, T3),
    "teach_former_t23": (T2, T3),
    "teach_former": (T1, T2, T3),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return of_tokens(small_study(tmp_path_factory.mktemp("scans"), cases=5, modalities=("CT", "PET")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def short(study: Study, recipe: str = "teach_former", **options: Any) -> Experiment:
    options = {"student_options": STUDENT, "teacher_options": TEACHERS, **options}
    return find(recipe)(study, **options).with_settings(Budget(steps=2), validations=1)


def objective(experiment: Experiment) -> TeachFormer:
    method = method_of(experiment)
    assert isinstance(method, TeachFormer)
    return method


@pytest.mark.parametrize("name", SUBSETS)
def test_each_subset_of_teachers(name: str, study: Study) -> None:
    experiment = short(study, name)
    assert tuple(experiment.teachers) == SUBSETS[name]
    method = objective(experiment)
    assert method.teachers == SUBSETS[name]
    assert set(method.weights.values()) == {1.0}
    assert method.sides == ("side.1", "side.2", "side.3")  # the student answers there, and learns from labels


def test_subsets_share_their_teachers_and_the_control(study: Study) -> None:
    made = [short(study, name) for name in (*SUBSETS, "teach_former_afs", "teach_former_pwd")]
    assert len({experiment.run_name() for experiment in made}) == len(made)
    assert len({experiment.control.run_name() for experiment in made if experiment.control}) == 1
    for role in (T1, T2, T3):
        having = [experiment.teachers[role] for experiment in made if role in experiment.teachers]
        assert len({teacher.run_name() for teacher in having if isinstance(teacher, Experiment)}) == 1
    alone = find("teach_former_control")(study, student=T2, student_options=of(T2))
    alone = alone.with_settings(Budget(steps=2), validations=1)
    assert alone.run_name() == made[-1].teachers[T2].run_name()  # type: ignore[union-attr]


def test_a_teacher_merges_patches_as_in_2022(study: Study) -> None:
    """The name is a number, which the command line hands on as one."""
    experiment = short(study, "teach_former_t2", teacher_options={f"{T2}.merging": 2022})
    teacher = experiment.teachers[T2]
    assert isinstance(teacher, Experiment)
    assert teacher.networks["student"].options["merging"] == "2022"


def of(teacher: str) -> dict[str, Any]:
    return {key.partition(".")[2]: v for key, v in TEACHERS.items() if key.startswith(f"{teacher}.")}


@pytest.mark.parametrize(
    ("name", "left_out"), [("teach_former_afs", "soft_labels"), ("teach_former_pwd", "attention")]
)
def test_one_of_the_two_terms(name: str, left_out: str, study: Study) -> None:
    method = objective(short(study, name))
    assert [term for term, weight in method.weights.items() if weight == 0] == [left_out]
    assert method.roles[T2].taps == (() if left_out == "attention" else ("bottleneck", "decoder.0"))


def test_without_both_terms_no_teacher_is_trained(study: Study) -> None:
    experiment = short(study, attention=0.0, soft_labels=0.0)
    assert experiment.teachers == {}
    assert objective(experiment).teachers == ()


def test_the_published_learning(study: Study) -> None:
    for experiment in (short(study), short(study).control):
        assert experiment is not None
        settings = experiment.optimisation
        assert (settings.learning_rate, settings.weight_decay, settings.schedule) == (
            1e-3,
            1e-4,
            "polynomial",
        )


@pytest.mark.parametrize("outputs", ["live", "recorded"])
def test_three_teachers_of_different_kinds_teach_and_stay_as_they_are(
    outputs: str, study: Study, folder: Path
) -> None:
    experiment = short(study, teacher_outputs=outputs)
    weights = {
        role: make(t, folder).best for role, t in experiment.teachers.items() if isinstance(t, Experiment)
    }
    before = {role: file_digest(path) for role, path in weights.items()}
    run = make(experiment, folder)
    assert {role: file_digest(path) for role, path in weights.items()} == before
    about = run.read(run.experiment)
    assert about["machine"]["teacher_outputs"]["recorded"] == (outputs == "recorded")
    losses = read_rows(run.losses)
    assert {"seg", "attention", "soft_labels", "deep_supervision"} <= losses[0].keys()
    assert all(0 < float(row["attention"]) < 1 and float(row["soft_labels"]) > 0 for row in losses)
    student, spec, _ = load_network(run.best)
    assert spec.name == "h_denseformer_light"
    assert not any("projection" in name for name in student.state_dict())


def test_a_step_leaves_the_last_bit_of_every_teacher(study: Study, folder: Path) -> None:
    experiment = short(study)
    networks = {"student": build(experiment.networks["student"])}
    for role, teacher in experiment.teachers.items():
        assert isinstance(teacher, Experiment)
        networks[role] = load_network(make(teacher, folder).best)[0]
    before = {role: {k: v.clone() for k, v in net.state_dict().items()} for role, net in networks.items()}
    steps = Objective(objective(experiment), networks)
    optimizer = torch.optim.Adam(steps.learned(), 1e-2)
    image, label = torch.randn(2, 2, 32, 16, 16), torch.randint(0, 6, (2, 1, 32, 16, 16))
    total, _ = steps(image, label, 0.0, {"spacing_mm": (1.0,) * 3, "case_ids": ("a", "b")}, {}, {})
    total.backward()
    optimizer.step()
    for role in (T1, T2, T3):
        assert not networks[role].training
        assert all(weight.grad is None for weight in networks[role].parameters())
        assert all(torch.equal(before[role][k], v) for k, v in networks[role].state_dict().items())
    assert not all(torch.equal(before["student"][k], v) for k, v in networks["student"].state_dict().items())


@pytest.mark.parametrize("matching", ["teacher_to_student", "channel_collapse", "conv1x1"])
def test_other_ways_to_match_channels(matching: str, study: Study) -> None:
    experiment = short(
        study,
        "teach_former",
        matching=matching,
        order="hinton",
        student="swin_unetr_light",
        student_options={"feature_size": 12, "window": 2},
    )
    method = objective(experiment)
    assert (method.matching, method.order) == (
        "student_to_teacher" if matching == "conv1x1" else matching,
        "hinton",
    )
    assert len(method.projections) == (6 if matching == "conv1x1" else 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teachers": ()}, "there is no teacher"),
        ({"teachers": (T1, T1)}, "name one twice"),
        ({"teachers": ("h_densformer",)}, "unknown network 'h_densformer'; did you mean 'h_denseformer'"),
        ({"teachers": (T3,), "teacher_options": {"unetr.hiden": 3}}, "unknown option of unetr 'hiden'"),
        ({"teachers": (T3,), "teacher_options": {"hidden": 3}}, "unknown teacher 'hidden'"),
        ({"teachers": (T1,), "teacher_options": {"unetr.hidden": 3}}, "unknown teacher 'unetr'"),
    ],
)
def test_wrong_teachers_are_named(options: dict[str, Any], words: str, study: Study) -> None:
    with pytest.raises(UserError, match=words):
        short(study, **{"teacher_options": None, **options})


def test_a_teacher_of_ones_own(study: Study, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from distilseg.networks.monai import dynunet\n"
        "def wide(in_channels, classes, patch):\n"
        "    return dynunet(in_channels, classes, patch, filters=(4, 8, 8))\n"
    )
    experiment = short(study, teachers=(f"{file}:wide",), teacher_options=None, attention=0.0)
    (role,) = experiment.teachers
    assert role.endswith("mine_py_wide")
    assert make(experiment, folder).finished


def test_a_finished_run_of_another_recipe_as_teacher(study: Study, folder: Path) -> None:
    options = {"network": "dynunet", "network_options": {"filters": [4, 8, 8, 8, 8]}}
    teacher = make(find("supervised")(study, **options).with_settings(Budget(steps=1), validations=1), folder)
    weights = teacher.best.read_bytes()
    taught = {"teachers": (str(teacher.folder),), "teacher_options": None}
    run = make(short(study, "teach_former_pwd", **taught), folder)
    assert list(run.read(run.experiment)["teachers"].values()) == [teacher.name]
    assert teacher.best.read_bytes() == weights
    with pytest.raises(UserError, match=r"is a finished run.*leave out its option filters"):
        short(study, **{**taught, "teacher_options": {f"{teacher.folder}.filters": [4, 8]}})


def test_slices_from_the_command_line(folder: Path) -> None:
    """2D teachers, control and student; judged as volumes; predicted in the scan's own space."""
    data = write_phantom(folder / "larger", cases=3, shape=(34, 36, 20), modalities=("CT", "PET"))
    plan = commands.plan(data, patch=(32, 32, 16), out=folder / "plan.json")
    assert plan.slice_axis is None
    words = ["train", "teach_former_2d", "--data", str(data), "--plan", str(folder / "plan.json")]
    words += ["--teachers", f"{T1},{T3}", "--student-option", "filters=2", "--student-option", "depth=4"]
    for key, value in TEACHERS.items():
        words += [] if key.startswith(T2) else ["--teacher-option", f"{key}={value}"]
    words += ["--teacher-outputs", "recorded", "--steps", "2", "--batch-size", "4", "--device", "cpu"]
    words += ["--runs", str(folder / "2d"), "--cache", str(folder / "cache"), "--validations", "1"]
    assert main(words) == 0
    runs = {run.name.rpartition("-")[0]: run for run in find_runs(folder / "2d")}
    assert set(runs) == {"teach_former_control", "teach_former_2d"}
    run = runs["teach_former_2d"]
    about = run.read(run.experiment)
    assert about["networks"]["student"]["patch"] == [32, 32]
    assert about["inferer"]["kind"] == "slices"
    assert run.read(run.cost)["counted_on"] == [1, 2, 32, 32]
    assert read_rows(run.metrics)
    assert main(["predict", str(run.folder), str(data / "imagesTr"), str(folder / "out")]) == 0
    for case in read_dataset(data).cases:
        predicted = read_scan(folder / "out" / f"{case.id}.nii.gz")
        assert case.label is not None
        reference = read_scan(case.label)
        assert predicted.array.shape == reference.array.shape
        np.testing.assert_allclose(predicted.geometry.affine, reference.geometry.affine)


def test_slices_of_any_plan(study: Study) -> None:
    """Across the coarsest axis, the last of equal ones; what was depth becomes batch."""
    experiment = short(study, "teach_former_2d")
    plan = experiment.study.plan
    assert (plan.patch, plan.network_patch, plan.slice_axis) == ((32, 16, 1), (32, 16), 2)
    assert plan.batch_size == experiment.sampling.batch_size == study.plan.batch_size * 16
    assert plan.strides == ((1, 1, 1), *((2, 2, 1),) * 3, (2, 1, 1))
    window = {"patch": [32, 16], "overlap": 0.25, "blend": "gaussian"}
    assert experiment.inferer == {"kind": "slices", "axis": 2, **window}
    thick = study.plan.model_copy(update={"spacing_mm": (1.0, 3.0, 1.0)})
    across = short(replace(study, plan=thick), "teach_former_2d")
    assert across.study.plan.patch == (32, 1, 16)
    again = short(across.study, "teach_former_2d")
    assert again.study.plan == across.study.plan
    assert short(study, "teach_former_2d", student="ux_net", student_options={}).networks["student"].options[
        "features"
    ] == [24, 48, 96, 192]


@pytest.mark.parametrize(
    ("student", "options"),
    [
        ("swin_unetr_light", {"feature_size": 12, "window": 2}),
        ("ux_net", {"features": [4, 4, 8, 8], "hidden": 8, "depths": [1, 1, 1, 1]}),
    ],
)
def test_each_student_learns_from_all_three(
    student: str, options: dict[str, Any], study: Study, folder: Path
) -> None:
    run = make(short(study, student=student, student_options=options), folder)
    row = read_rows(run.losses)[0]
    assert float(row["attention"]) > 0
    assert float(row["deep_supervision"]) == 0  # they answer at one resolution
    assert load_network(run.best)[1].name == student


@pytest.mark.parametrize("name", ["teach_former", "teach_former_hecktor21", "teach_former_picai22"])
def test_which_voxels_the_loss_on_labels_counts(name: str, study: Study) -> None:
    """The student, its control and its teachers agree; by default runs from before keep their names."""
    usual = find("teach_former")(study)
    assert find("teach_former")(study, dice="case", focal="all").run_name() == usual.run_name()
    assert not {"dice", "focal"} & {*usual.options, *usual.control.options}  # type: ignore[union-attr]

    made = short_of_paper(name, study, dice="global", focal="foreground")
    assert made.control is not None
    for one in (made, made.control, *made.teachers.values()):
        assert isinstance(one, Experiment)
        assert (one.options["dice"], one.options["focal"]) == ("global", "foreground")
        method = objective(one)
        assert (method.dice, method.focal) == ("global", "foreground")
    assert made.run_name() != short_of_paper(name, study).run_name()


def short_of_paper(name: str, study: Study, **options: Any) -> Experiment:
    """With one teacher, and a small patch where the recipe says which."""
    patch = {"teach_former_hecktor21": {"patch": (32, 32, 32)}, "teach_former_picai22": {"patch": (32, 32)}}
    options = {"teachers": (T1,), "student_options": STUDENT, **patch.get(name, {}), **options}
    of_teacher = {key: value for key, value in TEACHERS.items() if key.startswith(f"{T1}.")}
    return find(name)(study, teacher_options=of_teacher, **options)
