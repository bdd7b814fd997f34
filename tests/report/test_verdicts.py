"""What may be said, and what not: a case each, with numbers worked by hand."""

from __future__ import annotations

import math

import pytest

from distilseg.cli import main
from distilseg.errors import UserError
from distilseg.report import RELEVANT, compare_runs, csv_rows, render, verdict, verdicts
from distilseg.report.comparison import MEAN
from distilseg.report.contenders import METRICS
from distilseg.report.learned import rise
from distilseg.report.verdicts import in_short
from distilseg.runs import Run, write_rows

LIVER, TUMOUR = ("liver", "dice"), ("tumour", "dice")
N = 8
CASES = [f"case_{i}" for i in range(N)]
CONTROL = [0.70, 0.72, 0.74, 0.76, 0.78, 0.80, 0.82, 0.84]  # mean 0.77
STEADY = [0.0001 * i for i in range(N)]  # makes every difference another, by 0.00035 on average


def pair(make_run, changes, base=CONTROL):
    """A control and a student whose Dice of each structure lies above it by `changes`, all cases alike."""
    control = dict.fromkeys(changes, base)
    student = {
        structure: [c + change + s * math.copysign(1, change) for c, s in zip(base, STEADY, strict=True)]
        for structure, change in changes.items()
    }
    return [
        make_run("supervised", control, cases=CASES),
        make_run("dsd", student, cases=CASES, control="supervised"),
    ]


def validated(run: Run, means) -> Run:
    """Validation Dice at equal distances."""
    write_rows(run.validation, [{"step": 10 * n, "mean": mean} for n, mean in enumerate(means, start=1)])
    return run


def test_shown_and_relevant(make_run):
    comparison = compare_runs(pair(make_run, {LIVER: 0.02}))
    difference = comparison.differences["dsd", "liver", "dice"]
    assert (difference.own, difference.other) == pytest.approx((0.79035, 0.77))
    assert difference.outcome == "helped"
    (told,) = verdicts(comparison)
    assert told.startswith(
        "dsd helped at this budget: Dice (liver) 0.790 against 0.770 of supervised, +0.020 ("
    )


def test_shown_but_small(make_run):
    runs = pair(make_run, {LIVER: 0.002})
    comparison = compare_runs(runs)
    difference = comparison.differences["dsd", "liver", "dice"]
    assert difference.p_holm == 2 / 2**N  # all of one sign: as sure as eight cases can be
    assert difference.interval[0] > 0
    assert difference.outcome == "small"
    (told,) = verdicts(comparison)
    assert told.startswith(
        "dsd made no relevant difference at this budget:"
        " Dice (liver) 0.772 against 0.770 of supervised, +0.002 ("
    )
    assert told.endswith(
        " That is statistically shown, and smaller than 0.005, the smallest that counts here."
    )
    assert "helped" not in told
    assert "shown, but too small to matter" in render(comparison)
    (row,) = (row for row in csv_rows(comparison) if row["run"] == "dsd")
    assert row["verdict"] == "small"
    # What is small is the reader's to say.
    assert compare_runs(runs, relevant=0.002).differences["dsd", "liver", "dice"].outcome == "helped"
    assert compare_runs(runs, relevant=0).differences["dsd", "liver", "dice"].outcome == "helped"


@pytest.mark.parametrize(("change", "outcome"), [(0.0042, "helped"), (0.004, "small"), (-0.004, "small")])
def test_small_is_what_the_table_writes(make_run, change, outcome):
    """With the 0.00035 of the cases: 0.00455 is written 0.005, and 0.00435 0.004."""
    comparison = compare_runs(pair(make_run, {LIVER: change}))
    assert comparison.differences["dsd", "liver", "dice"].outcome == outcome


def test_distances_have_no_smallest_relevant_difference(make_run):
    worse, better = [3.0 + s for s in STEADY], [3.0 - 0.004 - s for s in STEADY]
    runs = [
        make_run(name, {("liver", "hd95"): values}, cases=CASES)
        for name, values in (("supervised", worse), ("dsd", better))
    ]
    assert compare_runs(runs).differences["dsd", "liver", "hd95"].outcome == "helped"


@pytest.mark.parametrize("relevant", [-0.1, 1, math.nan])
def test_a_smallest_relevant_difference_that_is_none(make_run, relevant):
    with pytest.raises(UserError, match="is no smallest relevant difference of a Dice"):
        compare_runs(pair(make_run, {LIVER: 0.02}), relevant=relevant)


def test_the_command_line_sets_it(make_run, tmp_path, capsys):
    runs, page = [str(run.folder) for run in pair(make_run, {LIVER: 0.02})], tmp_path / "report.html"
    for command in ("compare", "report"):
        assert main([command, "--help"]) == 0
        assert f"[default: {RELEVANT:g}]" in capsys.readouterr().out
    assert main(["compare", *runs, "--relevant", "0.1"]) == 0
    assert "dsd made no relevant difference" in " ".join(capsys.readouterr().out.split())
    assert main(["report", *runs, "--relevant", "0.1", "--out", str(page)]) == 0
    assert "no smaller than 0.1 (" in page.read_text(encoding="utf-8")
    assert main(["compare", *runs, "--relevant", "2"]) == 2


def test_not_shown(make_run):
    control = make_run("supervised", {LIVER: CONTROL}, cases=CASES)
    mixed = [c + d for c, d in zip(CONTROL, [0.03, -0.03, 0.02, -0.02, 0.01, -0.01, 0.04, 0.0], strict=True)]
    comparison = compare_runs([control, make_run("dsd", {LIVER: mixed}, cases=CASES)])
    assert comparison.differences["dsd", "liver", "dice"].outcome == "none"
    (told,) = verdicts(comparison)
    assert told.startswith(
        "dsd was not shown to differ from supervised at this budget:"
        " Dice (liver) 0.775 against 0.770, +0.005 ("
    )


def test_hardly_learned(make_run):
    """Both near nothing: a difference as sure as can be is no verdict, of no structure and no metric."""
    low = [0.02 + 0.001 * n for n in range(N)]
    runs = pair(make_run, {LIVER: 0.03, TUMOUR: -0.01}, low)
    comparison = compare_runs(runs)
    assert comparison.differences["dsd", "liver", "dice"].p_holm < 0.05
    assert {one.outcome for one in comparison.differences.values()} == {"early"}
    (told,) = verdicts(comparison)
    assert told == (
        "Too early to say at this budget whether dsd helps: Dice 0.034 against 0.024 of supervised, and"
        " neither has learned much yet (Dice below 0.1). Train both longer; if that does not lift them, look"
        " for the reason in labels and plan (distilseg check)."
    )
    page = render(comparison)
    assert "too early to say" in page
    assert "95 % interval +" not in page[: page.index("Before you trust this")]
    assert 'class="n helped"' not in page
    assert {row["verdict"] for row in csv_rows(comparison)} == {"", "early"}


def test_one_that_has_learned_beside_one_that_has_not_is_a_verdict(make_run):
    control = make_run("supervised", {LIVER: [0.02 + 0.001 * n for n in range(N)]}, cases=CASES)
    student = make_run("dsd", {LIVER: CONTROL}, cases=CASES)
    assert compare_runs([control, student]).differences["dsd", "liver", "dice"].outcome == "helped"


def test_rising_steeply(make_run):
    control, student = pair(make_run, {LIVER: 0.02})
    validated(control, [0.1, 0.2, 0.3, 0.4])  # 0.3 at three quarters, 0.4 at the end
    validated(student, [0.5, 0.7, 0.72, 0.75])
    comparison = compare_runs([control, student])
    assert rise(comparison.contender("supervised")) == pytest.approx(0.1)
    assert rise(comparison.contender("dsd")) == pytest.approx(0.03)
    assert verdicts(comparison) == [
        "Too early to say at this budget whether dsd helps: Dice (liver) 0.790 against 0.770 of supervised,"
        " and validation was still rising steeply (by 0.10 for supervised in the last quarter of the steps)."
        " Train both longer, until it levels off, and compare again."
    ]
    validated(control, [0.1, 0.3, 0.37, 0.4])
    assert compare_runs([control, student]).differences["dsd", "liver", "dice"].outcome == "helped"


def test_a_rise_is_the_mean_over_seeds_and_unknown_where_nothing_was_validated(make_run):
    first, second, third = (make_run(f"s{n}", {LIVER: [0.8] * 12}, recipe="dsd", seed=n) for n in range(3))
    validated(first, [0.5, 0.5, 0.5, 0.62])
    validated(second, [0.5, 0.5, 0.5, 0.46])
    validated(third, [0.9])  # a single one says nothing
    assert rise(compare_runs([first, second, third]).contender("dsd")) == pytest.approx((0.12 - 0.04) / 2)
    assert rise(compare_runs([make_run("bare", {LIVER: [0.8] * 12})]).contender("bare")) == 0


def test_a_structure_that_went_the_other_way_is_named(make_run):
    comparison = compare_runs(pair(make_run, {LIVER: 0.06, TUMOUR: -0.02}))
    assert comparison.differences["dsd", MEAN, "dice"].outcome == "helped"
    assert comparison.differences["dsd", "tumour", "dice"].outcome == "hurt"
    (told,) = verdicts(comparison)
    assert told.startswith("dsd helped at this budget: Dice 0.790 against 0.770 of supervised, +0.020 (")
    # p of two structures: 2 / 2^8, doubled.
    assert told.endswith("The other way went tumour (−0.020, p = 0.016).")
    (same,) = verdicts(compare_runs(pair(make_run, {LIVER: 0.06, TUMOUR: 0.02})))
    assert "other way" not in same


def test_structures_that_neither_learned_are_named(make_run):
    """In the mean they are two zeros, whatever the networks do elsewhere."""
    control, other = [0.0] * 8, [0.05] * 8
    runs = [
        make_run("supervised", {LIVER: CONTROL, TUMOUR: control}, cases=CASES),
        make_run(
            "dsd", {LIVER: [c + 0.06 for c in CONTROL], TUMOUR: other}, control="supervised", cases=CASES
        ),
    ]
    (told,) = verdicts(compare_runs(runs))
    assert told.startswith("dsd helped")
    assert told.endswith("Neither learned tumour (Dice below 0.1).")
    (both,) = verdicts(compare_runs(pair(make_run, {LIVER: 0.06, TUMOUR: 0.02})))
    assert "Neither" not in both


def test_the_four_largest_are_named(make_run):
    falling = {(f"part {n}", "dice"): -0.01 * n for n in range(1, 7)}
    (told,) = verdicts(compare_runs(pair(make_run, {LIVER: 0.5, **falling})))
    assert "The other way went part 6 (−0.060, " in told
    assert "part 3 (−0.030, p = 0.055) and 2 more." in told


def test_structures_that_cancel_each_other_are_named_where_the_mean_shows_nothing(make_run):
    runs = pair(make_run, {LIVER: 0.03, TUMOUR: -0.03})
    (told,) = verdicts(compare_runs(runs))
    assert told.startswith("dsd was not shown to differ from supervised")
    assert told.endswith("Shown of single structures: liver (+0.030, p = 0.016), tumour (−0.030, p = 0.016).")


def test_undefined_distances_mark_the_mean(make_run):
    """Neither found the tumour of the first two cases; in the third there is none."""
    dice = {LIVER: CONTROL, TUMOUR: [0.0, 0.0, math.nan, *[0.5] * 5]}
    distances = {("liver", "hd95"): [2.0] * N, ("tumour", "hd95"): [math.nan] * 3 + [4.0] * 5}
    runs = [make_run(name, dice | distances, cases=CASES) for name in ("supervised", "dsd")]
    comparison = compare_runs(runs)
    score = comparison.scores["dsd", MEAN, "hd95"]
    assert (score.mean, score.excluded, score.lacking) == ((3 * 2 + 5 * 3) / 8, 0, 2)
    assert not comparison.scores["dsd", MEAN, "dice"].incomplete
    from .test_table import printed

    shown = printed(comparison)
    assert "HD95 2.62 against 2.62 mm †, 0.00 mm (" in in_short(
        comparison, "dsd", METRICS["hd95"], comparison.differences["dsd", MEAN, "hd95"]
    )
    assert "2.62 ± 0.52 †" in shown
    assert "lacks 2" in shown
    assert "† without undefined values" in " ".join(shown.split())
    page = render(comparison)
    assert "<b>2.62 ± 0.52 †</b><small>2 structures undefined</small>" in page
    assert "<b>4.00 ± 0.00 †</b><small>3 of 8 undefined</small>" in page
    rows = {(row["run"], row["structure"], row["metric"]): row for row in csv_rows(comparison)}
    assert [
        rows["dsd", MEAN, "hd95"][name] for name in ("incomplete", "excluded", "structures_undefined")
    ] == [
        "yes",
        0,
        2,
    ]
    assert rows["dsd", "liver", "hd95"]["incomplete"] == ""
    assert any(
        "The mean over structures of HD95 is made without structures that nobody found" in caution
        and "2 of supervised, 2 of dsd" in caution
        for caution in comparison.warnings
    )


def test_a_control_and_a_pair_without_a_case_have_no_verdict(make_run):
    control, student = pair(make_run, {LIVER: 0.02})
    assert (
        verdict(compare_runs([control, student]), "supervised", METRICS["dice"])
        == "supervised is the control."
    )
