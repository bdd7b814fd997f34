"""Numbers worked by hand: means, pairs, seeds, controls."""

from __future__ import annotations

import math

import pytest

from distilseg.errors import UserError
from distilseg.report import compare_runs
from distilseg.report.comparison import MEAN, natural, outcome_of
from distilseg.report.contenders import METRICS

from .conftest import CASES

N = 12
LIVER, TUMOUR = ("liver", "dice"), ("tumour", "dice")


def test_scores_and_paired_differences_are_those_worked_by_hand(make_run):
    control = make_run("supervised", {LIVER: [0.8] * 6 + [0.9] * 6, TUMOUR: [0.5] * N})
    student = make_run("dsd", {LIVER: [0.84] * 6 + [0.92] * 6, TUMOUR: [0.5] * N}, control="supervised")
    comparison = compare_runs([student, control])

    assert comparison.controls == {"dsd": "supervised", "supervised": None}
    assert comparison.structures == ("liver", "tumour", MEAN)
    score = comparison.scores["supervised", "liver", "dice"]
    assert score.mean == pytest.approx(0.85)
    assert score.std == pytest.approx(0.05 * math.sqrt(N / (N - 1)))
    assert (score.n, score.excluded) == (N, 0)
    assert comparison.scores["supervised", MEAN, "dice"].mean == pytest.approx((0.85 + 0.5) / 2)
    liver = comparison.differences["dsd", "liver", "dice"]
    assert liver.mean == pytest.approx(0.03)
    assert liver.values["case_1"] == pytest.approx(0.04)
    assert 0.02 < liver.interval[0] < 0.03 < liver.interval[1] < 0.04
    # All twelve differences have one sign: the exact two-sided p without ties would be 2 / 2^12.
    assert liver.p < 0.01
    assert liver.outcome == "helped"
    tumour = comparison.differences["dsd", "tumour", "dice"]
    assert (tumour.mean, tumour.outcome) == (0, "none")
    assert tumour.p == 1
    # Holm over the two structures: the smaller p doubles. The mean over structures is a question of its own.
    assert liver.p_holm == pytest.approx(2 * liver.p)
    mean = comparison.differences["dsd", MEAN, "dice"]
    assert mean.mean == pytest.approx(0.015)
    assert mean.p_holm == mean.p


def test_the_t_test_stands_beside_and_decides_nothing(make_run):
    # d = 1, 2, 3 hundredths: t = 2 sqrt(3) with 2 degrees of freedom, p = 1 - t / sqrt(t² + 2) (see Student).
    cases = CASES[:3]
    control = make_run("supervised", {LIVER: [0.5] * 3, TUMOUR: [0.5] * 3}, cases=cases)
    student = make_run("dsd", {LIVER: [0.51, 0.52, 0.53], TUMOUR: [0.5] * 3}, cases=cases)
    comparison = compare_runs([control, student])
    liver = comparison.differences["dsd", "liver", "dice"]
    t = 2 * math.sqrt(3)
    assert liver.p_t == pytest.approx(1 - t / math.sqrt(t * t + 2))
    assert comparison.differences["dsd", "tumour", "dice"].p_t == 1
    assert liver.p_t_holm == pytest.approx(2 * liver.p_t)
    mean = comparison.differences["dsd", MEAN, "dice"]
    assert mean.p_t_holm == mean.p_t == pytest.approx(liver.p_t)
    # All the same: the t-test is sure where the ranks of three cases cannot be, and the verdict is theirs.
    moved = make_run("moved", {LIVER: [0.75] * 3}, cases=cases)
    shifted = compare_runs([control, moved]).differences["moved", "liver", "dice"]
    assert (shifted.p_t, shifted.p, shifted.outcome) == (0, 0.25, "none")


def test_pairs_are_matched_by_case_and_not_by_row(make_run):
    values = [0.5 + 0.01 * i for i in range(N)]
    control = make_run("supervised", {LIVER: values})
    names = [f"case_{i}" for i in range(N, 0, -1)]
    student = make_run("dsd", {LIVER: [v + 0.1 for v in reversed(values)]}, cases=names)
    difference = compare_runs([control, student]).differences["dsd", "liver", "dice"]
    assert list(difference.values.values()) == pytest.approx([0.1] * N)


def test_lower_is_better_for_distances(make_run):
    worse = [5.0 + 0.1 * i for i in range(N)]
    control = make_run("supervised", {("liver", "hd95"): worse})
    student = make_run("dsd", {("liver", "hd95"): [v - 1 - 0.01 * i for i, v in enumerate(worse)]})
    assert compare_runs([control, student]).differences["dsd", "liver", "hd95"].outcome == "helped"
    assert compare_runs([student, control]).differences["supervised", "liver", "hd95"].outcome == "hurt"


@pytest.mark.parametrize(
    ("interval", "p", "outcome"),
    [
        ((0.01, 0.02), 0.01, "helped"),
        ((-0.02, -0.01), 0.01, "hurt"),
        ((0.01, 0.02), 0.05, "none"),
        ((-0.01, 0.02), 0.01, "none"),
        ((0.0, 0.02), 0.01, "none"),
        ((math.nan, math.nan), 0.01, "none"),
        ((0.01, 0.02), math.nan, "none"),
    ],
)
def test_helped_needs_both_the_interval_and_p(interval, p, outcome):
    assert outcome_of(interval, p, METRICS["dice"]) == outcome


def test_an_undefined_value_is_counted_and_its_pair_left_out(make_run):
    control = make_run("supervised", {("liver", "hd95"): [2.0] * N})
    student = make_run("dsd", {("liver", "hd95"): [math.nan, math.inf] + [1.0] * (N - 2)})
    comparison = compare_runs([control, student])
    score = comparison.scores["dsd", "liver", "hd95"]
    assert (score.n, score.excluded, score.mean) == (N - 2, 2, 1.0)
    assert comparison.differences["dsd", "liver", "hd95"].n == N - 2
    assert any("HD95 is undefined in 2 case(s) of dsd" in warning for warning in comparison.warnings)


def test_a_structure_that_one_run_missed_is_not_dropped_from_that_runs_mean(make_run):
    liver, tumour = ("liver", "hd95"), ("tumour", "hd95")
    absent, missed = math.nan, math.nan
    control = make_run("supervised", {liver: [2.0] * N, tumour: [absent, 8.0] + [4.0] * (N - 2)})
    student = make_run("dsd", {liver: [2.0] * N, tumour: [absent, missed] + [4.0] * (N - 2)})
    comparison = compare_runs([control, student])
    means = comparison.scores["dsd", MEAN, "hd95"].values
    assert means["case_1"] == 2.0  # no run has a tumour there: the liver alone
    assert math.isnan(means["case_2"])  # 2.0 would reward the miss
    assert comparison.scores["supervised", MEAN, "hd95"].values["case_2"] == 5.0


def test_seeds_of_one_recipe_are_one_contender_averaged_by_case(make_run):
    options = {"temperature": 2}
    first = make_run("dsd-a", {LIVER: [0.8] * N}, recipe="dsd", seed=0, options={**options, "seed": 0})
    second = make_run("dsd-b", {LIVER: [0.9] * N}, recipe="dsd", seed=1, options={**options, "seed": 1})
    control = make_run("supervised", {LIVER: [0.8] * N})
    comparison = compare_runs([control, first, second])
    student = comparison.contender("dsd")
    assert student.seeds == (0, 1)
    assert [run.name for run in student.runs] == ["dsd-a", "dsd-b"]
    assert comparison.scores["dsd", "liver", "dice"].mean == pytest.approx(0.85)
    assert comparison.scores["dsd", "liver", "dice"].n == N


def test_runs_of_one_recipe_are_named_by_the_options_that_differ(make_run):
    runs = [
        make_run(f"r{t}", {LIVER: [0.8] * N}, recipe="dsd", options={"temperature": t, "network": "vnet"})
        for t in (1, 2)
    ]
    assert [c.name for c in compare_runs(runs).contenders] == ["dsd (temperature=1)", "dsd (temperature=2)"]


def test_every_student_is_measured_against_the_control_it_names(make_run):
    runs = [
        make_run("vnet-control", {LIVER: [0.8] * N}, recipe="vnet"),
        make_run("unetr-control", {LIVER: [0.7] * N}, recipe="unetr"),
        make_run("a", {LIVER: [0.9] * N}, recipe="dsd_vnet", control="vnet-control"),
        make_run("b", {LIVER: [0.9] * N}, recipe="dsd_unetr", control="unetr-control"),
    ]
    comparison = compare_runs(runs)
    assert comparison.controls == {"vnet": None, "unetr": None, "dsd_vnet": "vnet", "dsd_unetr": "unetr"}
    assert comparison.differences["dsd_unetr", "liver", "dice"].mean == pytest.approx(0.2)
    # What the caller asks for wins over what the runs name.
    asked = compare_runs(runs, control=runs[0]).controls
    assert asked == {"vnet": None, "unetr": "vnet", "dsd_vnet": "vnet", "dsd_unetr": "vnet"}


def test_p_is_corrected_over_the_students_too(make_run):
    values = [0.7 + 0.01 * i for i in range(N)]
    control = make_run("supervised", {LIVER: values})
    better = [make_run(f"s{k}", {LIVER: [v + 0.01 * (k + 1) for v in values]}) for k in range(3)]
    difference = compare_runs([control, *better]).differences["s0", "liver", "dice"]
    assert difference.p_holm == pytest.approx(3 * difference.p)


def test_a_single_run_has_scores_and_no_differences(make_run):
    comparison = compare_runs([make_run("supervised", {LIVER: [0.8] * N})])
    assert comparison.controls == {"supervised": None}
    assert not comparison.differences
    assert comparison.scores["supervised", "liver", "dice"].mean == pytest.approx(0.8)


def test_the_same_folder_given_twice_counts_once(make_run):
    run = make_run("supervised", {LIVER: [0.8] * N})
    assert len(compare_runs([run, run]).contenders[0].runs) == 1


def test_costs_are_averaged_over_seeds_and_words_kept(make_run):
    runs = [
        make_run(
            f"s{s}",
            {LIVER: [0.8] * N},
            recipe="dsd",
            seed=s,
            cost={"seconds_per_case": 1.0 + s, "device": "CPU"},
        )
        for s in (0, 1)
    ]
    (contender,) = compare_runs(runs).contenders
    assert contender.cost == {"seconds_per_case": 1.5, "device": "CPU"}


def test_an_unfinished_run_without_results_is_a_user_error(make_run):
    run = make_run("supervised", {}, finished=False)
    with pytest.raises(
        UserError, match=r"supervised is not finished .*; repeat the `distilseg train` command"
    ):
        compare_runs([run])


def test_a_finished_run_without_results_asks_for_evaluate(make_run):
    with pytest.raises(UserError, match=r"has no test results yet .*; run `distilseg evaluate "):
        compare_runs([make_run("supervised", {})])


def test_runs_of_different_datasets_are_refused(make_run):
    a = make_run("a", {LIVER: [0.8] * N})
    b = make_run("b", {LIVER: [0.8] * N}, dataset={"name": "Other"})
    with pytest.raises(UserError, match="a on 'Phantom', b on 'Other'"):
        compare_runs([a, b])


def test_no_run_at_all_is_a_user_error():
    with pytest.raises(UserError, match="no run"):
        compare_runs([])


def test_a_damaged_row_is_named_by_its_line(make_run):
    run = make_run("a", {LIVER: [0.8] * N})
    text = run.metrics.read_text().splitlines()
    text[3] = "case_3,liver,dice,much"
    run.metrics.write_text("\n".join(text))
    with pytest.raises(UserError, match=r"line 4 of .*metrics\.csv"):
        compare_runs([run])


def test_cases_sort_as_people_count():
    assert sorted(["c_10", "c_2", "b"], key=natural) == ["b", "c_2", "c_10"]


def test_low_data_runs_of_one_recipe_are_two_contenders(make_run):
    runs = [
        make_run(
            f"r{n}",
            {LIVER: [0.8] * N},
            recipe="dsd",
            split={"train": [f"t_{i}" for i in range(n)], "validation": ["v"], "test": []},
        )
        for n in (5, 10)
    ]
    names = [c.name for c in compare_runs(runs).contenders]
    assert names == ["dsd, 5 subjects", "dsd, 10 subjects"]


def test_budgets_tell_runs_of_one_recipe_apart(make_run):
    runs = [make_run(f"r{s}", {LIVER: [0.8] * N}, recipe="dsd", budget={"steps": s}) for s in (500, 5000)]
    assert [c.name for c in compare_runs(runs).contenders] == ["dsd (steps=500)", "dsd (steps=5000)"]
