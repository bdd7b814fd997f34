"""Scans that nobody labelled: what a teacher's label maps stand for; runs chosen and judged by them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg import commands
from distilseg.cli import show
from distilseg.data.case import Dataset, Source
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.scans.reading import read_label
from distilseg.errors import UserError
from distilseg.judge import judge
from distilseg.recipes import find, others
from distilseg.report import compare_runs
from distilseg.runs import Run, read_rows
from distilseg.training.agreement import labelled_by_teacher, learned_of
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study
from distilseg.training.studies import make_study
from distilseg.training.trained import trained

from ..teachers.small import NOWHERE, Knowing, Numbers, classes
from .small import CPU, NETWORK

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
    study = replace(make_study(answered(teacher, scans, tmp_path), **PLAN), unlabelled=())

    def name(study: Study) -> str:
        return find("supervised")(study, network="dynunet", network_options=NETWORK).run_name()

    others_ = replace(study, dataset=replace(study.dataset, labelled_by="another"))
    assert name(study) != name(others_)


@pytest.fixture(scope="module")
def run(truth: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student of the teacher's answers alone, judged by agreement."""
    folder = tmp_path_factory.mktemp("run")
    run = trained(experiment_of(truth, folder), runs=folder / "runs", machine=CPU, cache=folder / "cache")
    judge(run, device="cpu")
    return run


def experiment_of(truth: Dataset, folder: Path, **options: object) -> Experiment:
    """The recipe on answers of a teacher that has terms, and that takes scans as they are stored."""
    teacher = Knowing(truth)
    teacher.says = {"orientation": "as stored"}
    terms = replace(NOWHERE, licence="CC BY-NC", warnings=("not for commercial use",))
    object.__setattr__(teacher, "provenance", terms)
    study = make_study(labelled_by_teacher([teacher], truth, folder / "answered"), **PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(others, "open_teacher", lambda path, options: teacher)
        made = find("distil")(study, teacher=["T"], network="dynunet", network_options=NETWORK, **options)
    return made.with_settings(Budget(steps=60), validations=2, learning_rate=1e-2)


def test_a_run_without_labels_is_chosen_and_judged_and_found_again(run: Run) -> None:
    about = run.read(run.experiment)
    assert about["control"] is None
    assert (about["dataset"]["labelled_by"], about["dataset"]["layout"]) == ("knowing", "answered")
    assert run.read(run.folder / "evaluation.json")["labelled_by"] == "knowing"
    assert run.read(run.status)["best_validation_dice"] > 0
    found = commands.evaluate(run.folder, device="cpu", out=run.folder / "table.csv")
    assert found.labelled_by == "knowing"
    assert {row["case"] for row in found.rows} == set(run.read(run.split)["test"])
    assert {row["metric"] for row in read_rows(run.folder / "table.csv")} >= {"agreement_dice"}


def test_the_terminal_calls_it_agreement(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_rows(run.metrics)
    show.print_scores([{**row, "value": float(row["value"] or "nan")} for row in rows], labelled_by="knowing")
    told = " ".join(capsys.readouterr().out.split())
    assert "agreement" in told
    assert "Nobody labelled these scans: scores are agreement with knowing" in told


def test_terms_and_traps_stand_in_run_card_and_report(
    run: Run, truth: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run.read(run.experiment)["teachers_of_others"]["teacher"]
    assert (told["warnings"], told["traps"]) == (["not for commercial use"], [])
    made = commands.export(run.folder, "torch", out=tmp_path / "student")
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "knowing: not for commercial use" in card
    assert "licence: CC BY-NC" in card
    assert "agreement (Dice)" in card
    assert "scores are agreement with knowing" in card
    assert "| structure | Dice" not in card
    warnings = compare_runs([run]).warnings
    assert "knowing: not for commercial use." in warnings
    assert any("Nobody said which cases the teacher knowing was trained on" in one for one in warnings)


def test_what_the_teacher_saw_changes_what_is_said_and_not_the_run(run: Run, truth: Dataset) -> None:
    folder = run.folder.parent.parent.parent
    saw = folder / "saw.txt"
    (test, *_) = run.read(run.split)["test"]
    saw.write_text(test)
    experiment = experiment_of(truth, folder, teacher_saw=str(saw))
    again = trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")
    assert again.folder == run.folder
    told = "\n".join(compare_runs([again]).warnings)
    assert f"knowing was trained on 1 of the test cases ({test})" in told


def test_turned_scans_are_told_once_and_recorded(
    truth: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "turned"
    folder.mkdir()
    for n, case in enumerate(truth.cases):
        image = nib.load(next(iter(case.images.values())).path)
        if n % 2:
            image = image.as_reoriented([[0, -1], [1, 1], [2, 1]])
        nib.save(image, folder / f"{case.id}.nii.gz")
    turned = replace(
        truth, cases=tuple(replace(c, images={"MR": Source(folder / f"{c.id}.nii.gz")}) for c in truth.cases)
    )
    experiment = experiment_of(turned, tmp_path).with_settings(Budget(steps=1), validations=1)
    run = trained(experiment, runs=tmp_path / "runs", machine=CPU, cache=tmp_path / "cache")
    (trap,) = run.read(run.experiment)["teachers_of_others"]["teacher"]["traps"]
    assert "stored in different orientations" in trap
    assert capsys.readouterr().err.count(trap) == 1
