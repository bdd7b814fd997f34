"""A teacher of others beside its students: judged on the same cases, in their classes, and no contender."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distilseg.data.scans.reading import read_label, read_scan, write_label_map
from distilseg.errors import UserError
from distilseg.judge import judge
from distilseg.judged_teacher import judge_teacher
from distilseg.recipes import find
from distilseg.report import compare_runs
from distilseg.runs import read_rows
from distilseg.teachers.classes import match_classes
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study
from distilseg.training.foreign import Foreign
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .teachers.small import Knowing
from .training.small import NETWORK, small_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"))


def foreign(study: Study, student: tuple[str, ...] = ()) -> tuple[Knowing, Foreign]:
    teacher = Knowing(study.dataset)
    return teacher, Foreign(teacher, match_classes(teacher, student or study.dataset.classes), {"MR": "MR"})


def test_a_teacher_that_knows_everything_scores_1_and_is_asked_once(study: Study, tmp_path: Path) -> None:
    teacher, one = foreign(study)
    run = judge_teacher(one, study, tmp_path)
    rows = read_rows(run.metrics)
    assert {row["case"] for row in rows} == set(study.split.test)
    assert {float(row["value"]) for row in rows if row["metric"] == "dice"} == {1.0}
    for id in study.split.test:
        written = read_scan(run.predictions / f"{id}.nii.gz")
        np.testing.assert_array_equal(written.array, read_label(study.dataset.case(id)).array)
    assert judge_teacher(one, study, tmp_path) == run
    assert teacher.asked == list(study.split.test)


def test_classes_that_it_does_not_know_are_not_scored(study: Study, tmp_path: Path) -> None:
    names = study.dataset.classes
    _, one = foreign(study, (names[0], names[1], *(f"other {n}" for n in range(len(names) - 2))))
    rows = read_rows(judge_teacher(one, study, tmp_path).metrics)
    assert {row["label"] for row in rows} == {names[1]}


def test_it_stands_in_the_comparison_and_is_measured_against_nobody(study: Study, tmp_path: Path) -> None:
    _, one = foreign(study)
    experiment = find("supervised")(study, network_options=NETWORK).with_settings(
        Budget(steps=1), validations=1
    )
    student = trained(experiment, runs=tmp_path, machine=Machine(device="cpu"), cache=tmp_path / "cache")
    judge(student, study.dataset, device="cpu")
    found = compare_runs([judge_teacher(one, study, tmp_path), student])
    assert [contender.recipe for contender in found.contenders] == ["teacher", "supervised"]
    assert set(found.controls.values()) == {None}


def test_what_it_is_stands_in_its_folder(study: Study, tmp_path: Path) -> None:
    _, one = foreign(study)
    about = json.loads(judge_teacher(one, study, tmp_path).experiment.read_text())
    assert about["teacher_of_others"]["name"] == "knowing"
    assert about["networks"] == {}


def test_a_corrected_label_map_is_judged_anew(study: Study, tmp_path: Path) -> None:
    _, one = foreign(study)
    before = judge_teacher(one, study, tmp_path)
    id = study.split.test[0]
    case = study.dataset.case(id)
    reference = read_label(case)
    none = np.zeros_like(reference.array)
    write_label_map(tmp_path / "corrected.nii.gz", none, reference)
    cases = tuple(
        replace(one, label=tmp_path / "corrected.nii.gz") if one.id == id else one
        for one in study.dataset.cases
    )
    after = judge_teacher(one, replace(study, dataset=replace(study.dataset, cases=cases)), tmp_path)
    assert after != before
    rows = [row for row in read_rows(after.metrics) if row["case"] == id and row["metric"] == "dice"]
    assert 1.0 not in {float(row["value"]) for row in rows}


def test_without_test_cases_there_is_nothing_to_judge(study: Study, tmp_path: Path) -> None:
    _, one = foreign(study)
    with pytest.raises(UserError, match="holds no test cases"):
        judge_teacher(one, replace(study, split=replace(study.split, test=())), tmp_path)
