"""Cross-validation: folds are one contender, paired over all held-out cases, told fold by fold."""

from __future__ import annotations

import io
import math
import statistics

import pytest
from rich.console import Console

from distilseg.report import compare_runs, print_comparison, render
from distilseg.report.comparison import Comparison
from distilseg.report.folds import fold_scores, folds_of, has_folds
from distilseg.report.overlays import overlays

from .conftest import CASES, MakeRun

FOLDS = [CASES[i::3] for i in range(3)]  # four cases each
CONTROL = [[0.5, 0.6, 0.7, 0.8], [0.6, 0.6, 0.6, 0.6], [0.9, 0.8, 0.7, 0.6]]
GAIN = 0.05


def split(fold: int) -> dict[str, list[str]]:
    rest = [case for case in CASES if case not in FOLDS[fold]]
    return {"train": rest[1:], "validation": rest[:1], "test": list(FOLDS[fold])}


def cross_validated(make_run: MakeRun, *, seeds: int = 1) -> Comparison:
    runs = []
    for fold in range(3):
        for seed in range(seeds):
            shift = 0.01 * seed
            told = {"cases": FOLDS[fold], "split": split(fold), "seed": seed}
            values = {("tumour", "dice"): [value + shift for value in CONTROL[fold]]}
            runs.append(make_run(f"kd_net_control-{fold}{seed}", values, recipe="kd_net_control", **told))
            better = {("tumour", "dice"): [value + shift + GAIN for value in CONTROL[fold]]}
            control = f"kd_net_control-{fold}{seed}"
            runs.append(make_run(f"kd_net-{fold}{seed}", better, recipe="kd_net", control=control, **told))
    return compare_runs(runs)


def test_folds_are_one_contender_and_pairs_are_over_all_held_out_cases(make_run: MakeRun) -> None:
    comparison = cross_validated(make_run)
    assert [c.name for c in comparison.contenders] == ["kd_net_control", "kd_net"]
    assert comparison.controls == {"kd_net_control": None, "kd_net": "kd_net_control"}
    difference = comparison.differences["kd_net", "tumour", "dice"]
    assert difference.n == len(CASES)
    assert difference.mean == pytest.approx(GAIN)
    assert not [warning for warning in comparison.warnings if "test" in warning]


@pytest.mark.parametrize("seeds", [1, 2])
def test_mean_and_spread_over_folds_by_hand(make_run: MakeRun, seeds: int) -> None:
    comparison = cross_validated(make_run, seeds=seeds)
    shift = 0.005 * (seeds - 1)
    means = [statistics.fmean(values) + shift for values in CONTROL]
    found = fold_scores(comparison)["kd_net_control", "tumour", "dice"]
    assert found.means == pytest.approx(means)
    assert found.mean == pytest.approx(statistics.fmean(means))
    assert found.std == pytest.approx(statistics.stdev(means))
    assert len(folds_of(comparison.contender("kd_net"))) == 3


def test_the_nth_fold_is_the_same_for_every_contender(make_run: MakeRun) -> None:
    """Whatever order the runs come in: folders are sorted by their hash, not by their fold."""
    runs = []
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        for fold in order:
            values = {("tumour", "dice"): CONTROL[fold]}
            runs.append(make_run(f"{name}-{fold}", values, recipe=name, cases=FOLDS[fold], split=split(fold)))
    scores = fold_scores(compare_runs(runs))
    assert scores["a", "tumour", "dice"].means == scores["b", "tumour", "dice"].means


def test_a_case_without_a_value_is_left_out_of_its_fold(make_run: MakeRun) -> None:
    runs = [
        make_run(f"a-{fold}", {("tumour", "hd95"): values}, recipe="a", cases=FOLDS[fold], split=split(fold))
        for fold, values in enumerate(([1.0, 3.0, math.nan, 2.0], [math.nan] * 4, [4.0] * 4))
    ]
    found = fold_scores(compare_runs(runs, metrics=("hd95",)))["a", "tumour", "hd95"]
    assert found.means[0] == pytest.approx(2.0)
    assert math.isnan(found.means[1])
    assert (found.mean, found.std) == pytest.approx((3.0, math.sqrt(2)))


def test_told_in_the_terminal_and_on_the_page(make_run: MakeRun) -> None:
    comparison = cross_validated(make_run)
    console = Console(file=io.StringIO(), width=140)
    print_comparison(comparison, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Cross-validation" in text
    assert "0.667 ± 0.076 (0.650, 0.600, 0.750)" in text
    page = render(comparison)
    assert "0.667 ± 0.076 (0.650, 0.600, 0.750)" in page
    assert "each judged by runs that were not trained or validated on it" in page


def test_slices_are_of_every_fold(make_run: MakeRun) -> None:
    """The first folder of one contender and of another may be of different folds, with different cases."""
    runs = []
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        for fold in order:
            values = {("tumour", "dice"): CONTROL[fold]}
            told = {"cases": FOLDS[fold], "split": split(fold), "overlays": True}
            runs.append(make_run(f"{name}-{fold}", values, recipe=name, **told))
    assert "no slice kept" not in overlays(compare_runs(runs))


def test_nothing_is_told_without_folds(make_run: MakeRun) -> None:
    comparison = compare_runs([make_run("a", {("tumour", "dice"): [0.5] * len(CASES)})])
    assert not has_folds(comparison)
    assert fold_scores(comparison) == {}
    assert "Cross-validation" not in render(comparison)


def test_a_teacher_is_shown_beside_its_student_and_not_tested(make_run: MakeRun) -> None:
    """It sees what the control does not: to be better is no success of distilling, nor its plan a mistake."""
    dice = {("tumour", "dice"): [0.5 + 0.01 * i for i in range(len(CASES))]}
    teacher = make_run("teacher", dice, plan={"modalities": ["CT", "PET"], "patch": [8]})
    control = make_run("control", dice, plan={"modalities": ["CT"], "patch": [8]})
    told = {"control": "control", "teachers": {"teacher": "teacher"}}
    student = make_run("student", dice, plan={"modalities": ["CT"], "patch": [8]}, **told)
    comparison = compare_runs([teacher, control, student])
    assert comparison.controls == {"teacher": None, "control": None, "student": "control"}
    assert {contender for contender, _, _ in comparison.differences} == {"student"}
    assert not [warning for warning in comparison.warnings if "planned differently" in warning]
    assert "CT, PET (teacher); CT (control, student)" in render(comparison)
    # Asked for, it is compared: what the student still lacks.
    against = compare_runs([control, student], control=teacher)
    assert against.controls == {"teacher": None, "control": "teacher", "student": "teacher"}
