"""Distillation from answers as a recipe: what is trained on what, that it learns, and what is refused."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.preparing.cache import cache_cases
from distilseg.errors import UserError
from distilseg.recipes import find, others
from distilseg.runs import read_rows
from distilseg.training.answers import answers_of_others
from distilseg.training.budget import Budget
from distilseg.training.cases import make_sampler, prepare, steps_per_epoch, unlabelled_share
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.studies import of_subjects, with_unlabelled
from distilseg.training.trained import trained

from ..teachers.small import Knowing, Numbers, classes
from ..training.small import NETWORK, small_study

STUDENT = {"network": "dynunet", "network_options": NETWORK}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Ten phantoms: one labelled and two others to train, one to validate, two to judge."""
    study = small_study(tmp_path_factory.mktemp("scans"), cases=6)
    return of_subjects(study, 1, rest=True)


@pytest.fixture(autouse=True)
def knowing(study: Study, monkeypatch: pytest.MonkeyPatch) -> Knowing:
    """The teacher that every path opens: it knows the true label maps."""
    teacher = Knowing(study.dataset)
    monkeypatch.setattr(others, "open_teacher", lambda path, options: teacher)
    return teacher


def made(study: Study, recipe: str = "distil", **options: Any) -> Experiment:
    return find(recipe)(study, teacher=["TEACHER"], **STUDENT, **options)


def budget(experiment: Experiment, steps: int = 60) -> Experiment:
    return experiment.with_settings(Budget(steps=steps), validations=2, learning_rate=1e-2)


def test_the_control_learns_from_the_labels_alone_and_the_student_from_answers_beside(study: Study) -> None:
    experiment = made(study)
    (labelled,) = study.split.train
    assert experiment.study.split.train == (labelled,)
    assert len(experiment.study.unlabelled) == 2
    control = experiment.control
    assert control is not None
    assert (control.recipe, control.study.unlabelled, control.teachers) == ("supervised", (), {})
    assert control.networks == experiment.networks
    assert experiment.teachers["teacher"].identity["teacher"] == "1" * 32  # the digest of what answers


def test_a_student_learns_from_answers_without_any_label(study: Study, tmp_path: Path) -> None:
    experiment = budget(made(study, "distil_answers"), 150)
    run = trained(experiment, runs=tmp_path / "runs", machine=Machine(device="cpu"), cache=tmp_path / "cache")
    assert run.read(run.status)["best_validation_dice"] > 0.2
    about = run.read(run.experiment)
    told = about["teachers_of_others"]["teacher"]
    assert (told["name"], told["digest"], told["shown"]) == ("knowing", "1" * 32, {"MR": "MR"})
    assert about["unlabelled"] == list(experiment.study.unlabelled)
    losses = read_rows(run.losses)
    assert {float(row["seg"]) for row in losses} == {0.0}
    assert float(losses[-1]["soft_labels"]) < float(losses[0]["soft_labels"]) / 2


def test_answers_alone_read_no_label(study: Study, tmp_path: Path) -> None:
    experiment = made(study, "distil_answers")
    assert experiment.study.split.train == ()
    assert len(experiment.study.unlabelled) == 3
    prepared = prepare(experiment, tmp_path)
    assert all(prepared[id].label is None for id in experiment.study.unlabelled)
    assert steps_per_epoch(experiment) == 3


def test_patches_of_unlabelled_scans_lie_around_what_the_teacher_sees(study: Study, tmp_path: Path) -> None:
    experiment = made(study).with_settings(foreground_fraction=1.0, unlabelled_share=0.5)
    prepared = prepare(experiment, tmp_path)
    maps, structures = answers_of_others(experiment, experiment.teachers, prepared, tmp_path)
    assert maps.keys() == {*experiment.study.split.train, *experiment.study.unlabelled}
    assert structures.keys() == set(experiment.study.unlabelled)
    truth = cache_cases(study.dataset, experiment.study.unlabelled, study.plan, folder=tmp_path)
    for id, found in structures.items():
        assert {k: v.tolist() for k, v in found.items()} == {
            k: v.tolist() for k, v in truth[id].foreground.items()
        }
    sampler = make_sampler(experiment, prepared, structures)
    ids = [sampler[index].case_id for index in range(12)]
    assert sum(id in experiment.study.unlabelled for id in ids) == 6


@pytest.mark.parametrize(
    ("recipe", "terms"),
    [
        ("distil_hard", {"seg", "hard_labels"}),
        ("distil_labelled", {"seg", "soft_labels", "overlap"}),
        ("distil_dsd", {"distil/soft_labels", "dsd/encoder", "dsd/decoder"}),
    ],
)
def test_ablations_and_crossings_run(recipe: str, terms: set[str], study: Study, tmp_path: Path) -> None:
    experiment = find(recipe)(study, teacher=["TEACHER"], **STUDENT)
    experiment = experiment.with_settings(Budget(steps=2), validations=1)
    run = trained(experiment, runs=tmp_path / "runs", machine=Machine(device="cpu"), cache=tmp_path / "cache")
    row = read_rows(run.losses)[0]
    assert terms <= row.keys()
    assert all(math.isfinite(float(row[name])) for name in terms)
    assert bool(experiment.study.unlabelled) == (recipe != "distil_labelled")


def test_a_class_that_the_teacher_does_not_know_is_left_to_the_labels(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = study.dataset.classes
    partly = Numbers(np.zeros((3, 1, 1, 1), np.float32), classes(*names[:3]))
    monkeypatch.setattr(others, "open_teacher", lambda path, options: partly)
    groups = made(study).teachers["teacher"].classes.groups  # type: ignore[union-attr]
    assert groups == ((0, *range(3, len(names))), (1,), (2,))


def test_several_teachers_have_roles_of_their_own(study: Study) -> None:
    experiment = find("distil")(study, teacher=["A", "B"], **STUDENT)
    assert list(experiment.teachers) == ["teacher_1", "teacher_2"]


def test_without_labels_there_is_no_control(study: Study) -> None:
    alone = replace(study, split=replace(study.split, train=()))
    assert made(alone).control is None
    with pytest.raises(UserError, match="there is no scan to learn from"):
        made(replace(alone, unlabelled=()))


def test_what_determines_the_answers_determines_the_run(study: Study, knowing: Knowing) -> None:
    names = {made(study, **told).run_name() for told in ({}, {"temperature": 2.0}, {"answers": "hard"})}
    names.add(made(replace(study, unlabelled=study.unlabelled[:1])).run_name())
    names.add(made(study).with_settings(unlabelled_share=0.25).run_name())
    knowing.digest = "2" * 32
    names.add(made(study).run_name())
    assert len(names) == 6


def test_runs_without_unlabelled_scans_keep_their_names(study: Study) -> None:
    plain = find("supervised")(replace(study, unlabelled=()), **STUDENT)
    assert plain.run_name() == plain.with_settings(unlabelled_share=0.25).run_name()
    assert "unlabelled" not in plain.identity


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"teacher": []}, "no teacher is named"),
        ({"answer_weight": 0.0}, "the weight of the answers is 0"),
        ({"answer_weight": math.nan}, "the weight of the answers is nan"),
        ({"answers": "sfot"}, "unknown kind of answers 'sfot'; did you mean 'soft'"),
        ({"temperature": 0.0}, "the temperature is 0"),
        ({"answers": "hard", "confidence": 2.0}, "the confidence is 2"),
        ({"confidence": 0.9}, "--confidence 0.9 leaves out hard answers, and these are soft"),
        ({"student_sees": ["PET"]}, "modality of the student"),
        ({"classes": ["organ=nothing"]}, "organ"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(
    study: Study, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        find("distil")(study, **{"teacher": ["TEACHER"], **STUDENT, **options})


def test_scans_of_other_folders_are_learned_from_and_no_case_twice(study: Study, tmp_path: Path) -> None:
    from distilseg.data.phantom.volumes import write_phantom

    write_phantom(tmp_path / "more", cases=8, shape=(20, 20, 20), spacing_mm=(1, 1, 1), seed=5)
    scans = sorted((tmp_path / "more" / "imagesTr").iterdir())
    more = with_unlabelled(replace(study, unlabelled=()), scans[6:])
    assert more.unlabelled == ("phantom_006", "phantom_007")
    assert all(case.label is None for case in more.dataset.unlabelled)
    with pytest.raises(UserError, match="phantom_000 is the name of a case of Phantom and of a scan without"):
        with_unlabelled(study, scans)
    with pytest.raises(UserError, match="has no scans without labels"):
        with_unlabelled(study, ["own"])


def test_a_labelled_scan_under_another_name_does_not_teach(study: Study, tmp_path: Path) -> None:
    judge = study.dataset.case(study.split.test[0]).images["MR"].path
    shutil.copy(judge, tmp_path / "stranger.nii.gz")
    with pytest.raises(
        UserError, match=f"scan stranger without a label is a copy of .* {study.split.test[0]}"
    ):
        with_unlabelled(study, [tmp_path])


@pytest.mark.parametrize(
    ("labelled", "given", "share"), [(1, None, 2 / 3), (3, None, 0.4), (1, 0.25, 0.25), (0, None, 1.0)]
)
def test_unlabelled_scans_have_the_share_of_their_number_at_most_nine_tenths(
    study: Study, labelled: int, given: float | None, share: float
) -> None:
    ids = [case.id for case in study.dataset.cases]
    there = replace(study, split=replace(study.split, train=tuple(ids[:labelled])), unlabelled=("u0", "u1"))
    plain = find("supervised")(replace(study, unlabelled=()), **STUDENT)
    experiment = plain.with_settings(unlabelled_share=given)
    assert unlabelled_share(replace(experiment, study=there)) == pytest.approx(min(share, 0.9))
    many = replace(there, unlabelled=tuple(f"u{n}" for n in range(50)))
    assert unlabelled_share(replace(experiment, study=many)) == (given or 0.9)
