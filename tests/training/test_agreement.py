"""Scans that nobody labelled: what a teacher's label maps stand for; runs chosen and judged by them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilseg import commands
from distilseg.data.case import Dataset
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.scans.reading import read_label
from distilseg.errors import UserError
from distilseg.judge import judge
from distilseg.recipes import find, others
from distilseg.runs import Run
from distilseg.training.agreement import labelled_by_teacher, learned_of
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study
from distilseg.training.machine import Machine
from distilseg.training.studies import make_study
from distilseg.training.trained import trained

from ..teachers.small import Knowing, Numbers, classes
from .small import NETWORK

PLAN = {"patch": (16, 16, 16), "levels": 3}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight phantoms, with the label maps that only the teacher knows."""
    folder = tmp_path_factory.mktemp("truth")
    write_phantom(folder, cases=8, shape=(20, 20, 20), spacing_mm=(1, 1, 1), modalities=("MR",))
    return read_dataset(folder)


@pytest.fixture
def scans(truth: Dataset, tmp_path: Path) -> Path:
    """Their scans alone, a folder of plain files."""
    (tmp_path / "clinic").mkdir()
    for case in truth.cases:
        source = next(iter(case.images.values())).path
        shutil.copy(source, tmp_path / "clinic" / f"{case.id}.nii.gz")
    return tmp_path / "clinic"


@pytest.fixture
def teacher(truth: Dataset, monkeypatch: pytest.MonkeyPatch) -> Knowing:
    """Knows the true label maps; every path opens it."""
    teacher = Knowing(truth)
    monkeypatch.setattr(others, "open_teacher", lambda path, options: teacher)
    return teacher


def answered(teacher: Knowing, scans: Path, folder: Path, **told: object) -> Dataset:
    return labelled_by_teacher([teacher], scans, folder / "answered", **told)  # type: ignore[arg-type]


def test_some_scans_are_kept_apart_and_labelled_by_the_teacher(
    truth: Dataset, scans: Path, teacher: Knowing, tmp_path: Path
) -> None:
    made = answered(teacher, scans, tmp_path)
    assert (made.name, made.labelled_by, made.modalities) == ("clinic", "knowing", ("MR",))
    assert made.classes == truth.classes
    assert (len(made.cases), len(made.unlabelled)) == (2, 6)
    assert sorted(teacher.asked) == sorted(case.id for case in made.cases)
    for case in made.cases:
        assert np.array_equal(read_label(case).array, read_label(truth.case(case.id)).array)
    assert read_dataset(made.folder) == made  # what a run says of its dataset is found again


def test_answers_are_asked_for_once(scans: Path, teacher: Knowing, tmp_path: Path) -> None:
    first = answered(teacher, scans, tmp_path)
    del teacher.asked[:]
    assert answered(teacher, scans, tmp_path) == first
    assert teacher.asked == []
    first.cases[0].label.unlink()  # type: ignore[union-attr]
    answered(teacher, scans, tmp_path)  # as after an interruption
    assert teacher.asked == [first.cases[0].id]
    teacher.digest = "2" * 32
    assert answered(teacher, scans, tmp_path).cases[0].label != first.cases[0].label


def test_classes_are_joined_and_numbered_as_the_student_has_them(
    truth: Dataset, scans: Path, teacher: Knowing, tmp_path: Path
) -> None:
    _, one, two, *rest = truth.classes
    made = answered(teacher, scans, tmp_path, classes=[f"both={one}+{two}"])
    assert made.labels == {0: "background", 1: "both"}
    case = made.cases[0]
    assert np.array_equal(read_label(case).array == 1, np.isin(read_label(truth.case(case.id)).array, (1, 2)))
    assert rest is not None


def test_labels_of_a_dataset_are_not_looked_at(truth: Dataset, teacher: Knowing, tmp_path: Path) -> None:
    made = labelled_by_teacher([teacher], truth, tmp_path)
    assert {case.id for case in (*made.cases, *made.unlabelled)} == {case.id for case in truth.cases}
    assert all(case.label is None for case in made.unlabelled)


def test_several_teachers_label_what_each_knows(truth: Dataset, teacher: Knowing) -> None:
    other = Numbers(np.zeros((2, 1, 1, 1), np.float32), classes("background", "pancreas"))
    names, foreign = learned_of([teacher, other], ("MR",))
    assert names == (*truth.classes[1:], "pancreas")
    assert [[one.name for one in f.classes.learned] for f in foreign] == [[*truth.classes[1:]], ["pancreas"]]


def test_what_cannot_be_judged_so_is_refused(scans: Path, teacher: Knowing, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no teacher answers for duodenum"):
        answered(teacher, scans, tmp_path, classes=[teacher.heads[1].name, "duodenum"])
    blind = Numbers(np.array([1.0, 0.0], np.float32).reshape(2, 1, 1, 1), classes("background", "pancreas"))
    object.__setattr__(blind, "labels", lambda answer, scans: np.zeros((20, 20, 20), np.uint8))
    with pytest.raises(UserError, match="numbers sees none of pancreas in the 2 scans that are kept apart"):
        labelled_by_teacher([blind], scans, tmp_path / "blind")
    for file in sorted(scans.iterdir())[2:]:
        file.unlink()
    with pytest.raises(UserError, match="2 patient"):
        answered(teacher, scans, tmp_path)


def test_the_study_trains_on_no_label_and_says_whose_labels_it_measured(
    scans: Path, teacher: Knowing, tmp_path: Path
) -> None:
    made = answered(teacher, scans, tmp_path)
    study = make_study(made, **PLAN)
    assert study.split.train == ()
    assert {*study.split.validation, *study.split.test} == {case.id for case in made.cases}
    assert set(study.unlabelled) == {case.id for case in made.unlabelled}
    assert study.plan.reasons["labels"].startswith("as knowing answers: nobody labelled the 2 scans")
    with pytest.raises(UserError, match="has no labels to fold"):
        make_study(made, folds_=2, **PLAN)


def test_whose_labels_they_are_is_part_of_the_run(scans: Path, teacher: Knowing, tmp_path: Path) -> None:
    study = make_study(answered(teacher, scans, tmp_path), **PLAN)

    def name(study: Study) -> str:
        return find("supervised")(study, network="dynunet", network_options=NETWORK).run_name()

    others_ = replace(study, dataset=replace(study.dataset, labelled_by="another"))
    assert name(study) != name(others_)


@pytest.fixture
def run(scans: Path, teacher: Knowing, tmp_path: Path) -> Run:
    """A student of the teacher's answers alone, judged by agreement."""
    study = make_study(answered(teacher, scans, tmp_path), **PLAN)
    experiment = find("distil")(study, teacher=["TEACHER"], network="dynunet", network_options=NETWORK)
    assert experiment.control is None
    experiment = experiment.with_settings(Budget(steps=60), validations=2, learning_rate=1e-2)
    run = trained(experiment, runs=tmp_path / "runs", machine=Machine(device="cpu"), cache=tmp_path / "cache")
    judge(run, study.dataset, device="cpu")
    return run


def test_a_run_without_labels_is_chosen_and_judged_and_found_again(run: Run, tmp_path: Path) -> None:
    about = run.read(run.experiment)
    assert (about["dataset"]["labelled_by"], about["dataset"]["layout"]) == ("knowing", "answered")
    assert run.read(run.folder / "evaluation.json")["labelled_by"] == "knowing"
    assert run.read(run.status)["best_validation_dice"] > 0
    rows = commands.evaluate(run.folder, again=True, device="cpu").rows  # reads the dataset again
    assert {row["case"] for row in rows} == set(run.read(run.split)["test"])
