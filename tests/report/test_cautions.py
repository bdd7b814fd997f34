"""Everything that should make a reader doubt a comparison is said."""

from __future__ import annotations

import pytest

from distilseg.report import compare_runs, words

LIVER = ("liver", "dice")
N = 12


def warnings_of(*runs, **options) -> str:
    return "\n".join(compare_runs(list(runs), metrics=("dice",), **options).warnings)


@pytest.fixture
def control(make_run):
    return make_run("supervised", {LIVER: [0.8] * N})


ONE_SEED = "One seed was trained of each run."


def test_a_fair_comparison_has_no_caution(make_run):
    runs = [
        make_run(f"{recipe}-{seed}", {LIVER: [0.8] * N}, recipe=recipe, seed=seed)
        for recipe in ("supervised", "dsd")
        for seed in (0, 1)
    ]
    assert warnings_of(*runs) == ""


def test_one_seed_is_a_caution(control, make_run):
    told = warnings_of(control, make_run("dsd", {LIVER: [0.8] * N}))
    assert told.startswith(f"{ONE_SEED} Interval and p speak of other cases, not of other trainings")
    assert "\n" not in told  # and the only one
    assert warnings_of(control) == ""  # there is nothing to compare
    again = [make_run(f"dsd-{s}", {LIVER: [0.8] * N}, recipe="taught", seed=s) for s in (0, 1)]
    assert warnings_of(control, *again).startswith("One seed was trained of supervised. ")
    other = make_run("other", {LIVER: [0.8] * N})
    assert warnings_of(control, other, *again).startswith("One seed was trained of supervised; other. ")


def test_different_test_cases(control, make_run):
    names = [f"case_{i}" for i in range(3, 3 + N)]
    told = warnings_of(control, make_run("dsd", {LIVER: [0.8] * N}, cases=names))
    assert "dsd and supervised were not tested on the same cases: 4 case(s) of one only" in told
    assert "over the 10 that both have" in told


def test_no_shared_case(control, make_run):
    other = make_run("dsd", {LIVER: [0.8] * 2}, cases=["x", "y"])
    assert "share no test case; their difference cannot be tested" in warnings_of(control, other)
    assert not compare_runs([control, other]).differences


@pytest.mark.parametrize(("n", "said"), [(5, True), (6, False)])
def test_too_few_pairs_for_the_wilcoxon_test(make_run, n, said):
    names = [f"case_{i}" for i in range(n)]
    # All differences of one sign, none equal: as significant as n pairs can be.
    control = make_run("supervised", {LIVER: [0.5] * n}, cases=names)
    student = make_run("dsd", {LIVER: [0.6 + 0.01 * i for i in range(n)]}, cases=names)
    assert ("cannot reach p < 0.05" in warnings_of(control, student)) is said
    assert (compare_runs([control, student]).differences["dsd", "liver", "dice"].p >= 0.05) is said


def test_a_different_plan(control, make_run):
    plan = {"spacing_mm": [1.0, 1.0, 2.0], "patch": [32, 32, 32], "modalities": ["MR"]}
    told = warnings_of(control, make_run("dsd", {LIVER: [0.8] * N}, plan=plan))
    assert "planned differently: spacing_mm ([1.0, 1.0, 1.0] and [1.0, 1.0, 2.0])" in told


def test_different_training_cases_and_test_cases_in_the_training(control, make_run):
    split = {"train": ["t_1", "case_1"], "validation": ["case_2"], "test": []}
    told = warnings_of(control, make_run("dsd", {LIVER: [0.8] * N}, split=split))
    assert "trained on different cases (2 and 2, 1 shared)" in told
    assert "dsd was trained or validated on 2 of its test cases (case_1, case_2)" in told


def test_a_run_still_training(control, make_run):
    told = warnings_of(control, make_run("dsd", {LIVER: [0.8] * N}, finished=False))
    assert "dsd: training is not finished" in told


def test_different_budgets_are_told_unless_time_or_steps_agree(control, make_run):
    less = make_run("less", {LIVER: [0.8] * N}, status={"steps": 500, "seconds": 300.0})
    assert "different budgets: 500 and 1,000 steps, 300 and 600 s" in warnings_of(control, less)
    slower = make_run("slower", {LIVER: [0.8] * N}, status={"steps": 500, "seconds": 600.0})
    assert "budgets" not in warnings_of(control, slower)


def test_a_metric_that_a_run_lacks(control, make_run):
    other = make_run("dsd", {LIVER: [0.8] * N, ("liver", "nsd"): [0.9] * N})
    told = compare_runs([control, other], metrics=("dice", "nsd")).warnings
    one_seed, *others = told
    assert one_seed.startswith(ONE_SEED)
    assert others == ["NSD was not measured for supervised; run `distilseg evaluate` to have it."]


def test_folds_of_one_split_are_no_leak_and_one_contender(make_run):
    names = [f"case_{i}" for i in range(N)]
    runs = []
    for fold, (test, train) in enumerate([(names[:6], names[6:]), (names[6:], names[:6])]):
        split = {"train": train, "validation": [], "test": test}
        for recipe, dice in (("supervised", 0.8), ("dsd", 0.9)):
            values = {LIVER: [dice] * 6}
            runs.append(make_run(f"{recipe}-{fold}", values, recipe=recipe, cases=test, split=split))
    comparison = compare_runs(runs, metrics=("dice",))
    (one_seed,) = comparison.warnings  # folds are no seeds
    assert one_seed.startswith(ONE_SEED)
    assert comparison.differences["dsd", "liver", "dice"].n == N


def test_a_run_given_twice_under_two_names(make_run):
    runs = [make_run(name, {LIVER: [0.8] * N}, recipe="dsd") for name in ("a", "b")]
    assert "a and b are alike, seed included" in warnings_of(*runs)


PLAN = {"spacing_mm": [1.0, 1.0, 1.0], "patch": [32, 32, 32], "modalities": ["CT"]}


def planned(kind="window_zscore", low=-100.0, **more):
    measured = {"kind": kind, "low": low, "high": 200.0}
    return {**PLAN, "normalisation": {"CT": measured}, "reasons": {"spacing_mm": "given"}, **more}


@pytest.mark.parametrize(
    ("other", "called"),
    [
        (planned("range"), "normalisation of CT=range:-100.0:200.0"),
        (planned(tissue_windows={"CT": [[0, 80]]}), "tissue windows of CT=0:80"),
        (planned(spacing_mm=[2.0, 2.0, 2.0]), "spacing_mm=[2.0, 2.0, 2.0]"),
    ],
)
def test_runs_of_scans_prepared_otherwise_are_no_seeds_of_each_other(make_run, other, called):
    runs = [
        make_run(name, {LIVER: [0.8] * N}, recipe="dsd", plan=plan)
        for name, plan in (("a", planned()), ("b", other))
    ]
    comparison = compare_runs(runs)
    assert len(comparison.contenders) == 2
    assert called in comparison.contenders[1].name
    assert "averaged" not in warnings_of(*runs)


def test_tissue_windows_of_one_are_a_caution(control, make_run):
    plain = make_run("plain", {LIVER: [0.8] * N}, plan=planned())
    shown = make_run(
        "shown", {LIVER: [0.9] * N}, plan=planned(tissue_windows={"CT": [[0, 80]]}), control="plain"
    )
    told = compare_runs([plain, shown], control=plain).warnings
    assert any("planned differently: tissue_windows ({} and {'CT': [[0, 80]]})" in line for line in told)


def test_what_is_measured_of_each_fold_is_no_difference(make_run):
    """The window of a CT is of the training cases, which folds and draws do not share."""
    runs = [
        make_run(f"dsd-{n}", {LIVER: [0.8] * N}, recipe="dsd", seed=n, plan=planned(low=low))
        for n, low in enumerate((-100.0, -99.0))
    ]
    assert len(compare_runs(runs).contenders) == 1


def test_runs_judged_differently(make_run):
    way = {"tolerance_mm": 1.0, "empty": "nan", "unit": "mm", "weights": "best"}
    a = make_run("a", {LIVER: [0.8] * N}, evaluation=way)
    b = make_run("b", {LIVER: [0.8] * N}, evaluation=way | {"tolerance_mm": 2.0})
    assert "a and b were judged differently: tolerance_mm (1.0 and 2.0)" in warnings_of(a, b)


TEACHER = {"name": "big", "digest": "1", "warnings": ["needs a licence"], "traps": ["big saw them turned"]}


def taught(make_run, name="distil", **said):
    return make_run(name, {LIVER: [0.8] * N}, teachers_of_others={"teacher": TEACHER | said})


def test_a_teacher_of_whom_nobody_says_what_it_saw(control, make_run):
    told = warnings_of(control, taught(make_run), taught(make_run, "hard"))
    assert told.count("Nobody said which cases the teacher big was trained on") == 1


def test_a_teacher_that_saw_test_cases(control, make_run):
    told = warnings_of(control, taught(make_run, saw=["case_2", "case_10", "elsewhere"]))
    assert "The teacher big was trained on 2 of the test cases (case_10, case_2)" in told
    assert "no evidence" in told
    assert "Nobody said" not in told


def test_a_teacher_that_saw_none_of_them_and_its_own_scores(control, make_run):
    itself = make_run("teacher", {LIVER: [0.9] * N}, teacher_of_others=TEACHER)
    told = warnings_of(control, itself, taught(make_run, saw=["elsewhere"]))
    assert "test cases" not in told


def test_terms_and_traps_of_a_teacher(control, make_run):
    told = warnings_of(control, taught(make_run)).splitlines()
    assert "big: needs a licence." in told
    assert "big saw them turned." in told


def test_scans_without_labels_that_taught_and_test(control, make_run):
    run = make_run("distil", {LIVER: [0.8] * N}, unlabelled=["case_3"])
    assert "distil was trained or validated on 1 of its test cases (case_3)" in warnings_of(control, run)


def test_seconds_of_a_busy_machine_are_flagged(make_run):
    cost = {"seconds_per_case": 0.5}
    runs = [
        make_run("quiet", {LIVER: [0.8] * N}, cost={**cost, "waited": 0.05}),
        make_run("loud", {LIVER: [0.8] * N}, cost={**cost, "waited": 0.23}),
        make_run("old", {LIVER: [0.8] * N}, cost=cost),
    ]
    told = warnings_of(*runs)
    assert "The machine was busy while seconds a case were measured of loud (23%):" in told
    cells = {c.name: words.costs(c)["seconds a case"] for c in compare_runs(runs).contenders}
    assert cells == {"quiet": "0.500 s", "loud": "0.500 s (busy)", "old": "0.500 s"}


def test_seconds_of_different_machines_are_flagged(make_run):
    def timed(name, **where):
        return make_run(name, {LIVER: [0.8] * N}, cost={"seconds_per_case": 0.5, "device": "cpu", **where})

    assert "different machines (threads: 1.0, 4.0): do not compare them" in warnings_of(
        timed("a", threads=1), timed("b", threads=4)
    )
    assert "different machines" not in warnings_of(timed("c", threads=2), timed("d"), timed("e", threads=2))


def test_seconds_that_were_not_measured_in_turns_are_flagged(make_run):
    def timed(name, *others, **more):
        cost = {"seconds_per_case": 0.5, **({} if more else {"in_turns_with": others})}
        return make_run(name, {LIVER: [0.8] * N}, cost=cost)

    told = warnings_of(timed("a", "b"), timed("b", "a"), timed("c"), timed("d", "e"))
    assert "Seconds a case of c, d were not measured in turns with those of others" in told
    assert "in turns" not in warnings_of(timed("f", "g"), timed("g", "f"))
    assert "in turns" not in warnings_of(timed("h", old=True), timed("i", old=True))
    assert "in turns" not in warnings_of(timed("j"))


def test_seconds_of_cases_of_different_sizes_are_flagged(make_run):
    def timed(name, voxels):
        return make_run(name, {LIVER: [0.8] * N}, cost={"seconds_per_case": 0.5, "voxels_per_case": voxels})

    told = warnings_of(timed("a", 1000), timed("b", 1200))
    assert "cases of different sizes (medians: 1,000 voxels for a, 1,200 voxels for b)" in told
    assert "different sizes" not in warnings_of(timed("c", 1000), timed("d", 1050))
