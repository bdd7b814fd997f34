"""Slices compared: over cases, each the mean over its slices, and said so."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from distilseg.errors import UserError
from distilseg.files import write_json
from distilseg.report import compare_runs, print_comparison
from distilseg.runs import Run, write_rows

from .conftest import CASES

DICE = ("lesion", "dice")


def sliced(run: Run, dice: list[list[float]], empty: str = "one") -> Run:
    """The run with the Dice of each slice of each case."""
    rows = [
        {"case": f"{case}#{n:03d}", "label": "lesion", "metric": "dice", "value": value}
        for case, values in zip(CASES, dice, strict=True)
        for n, value in enumerate(values)
    ]
    write_rows(run.slices / "metrics.csv", rows)
    write_json(run.slices / "evaluation.json", {"empty": empty, "slice_axis": None})
    return run


@pytest.fixture
def runs(make_run):
    control = make_run("supervised", {DICE: [0.2] * 12})
    student = make_run("dsd", {DICE: [0.3] * 12})
    sliced(control, [[1.0, 1.0, 0.25, 0.0]] * 12)
    sliced(student, [[1.0, 1.0, 0.5 + 0.01 * n, float("nan")] for n in range(12)])
    return [control, student]


def test_a_case_of_many_slices_is_one_pair(runs):
    comparison = compare_runs(runs, metrics=["dice"], by="slice")
    assert comparison.scores["supervised", *DICE].values["case_1"] == pytest.approx(2.25 / 4)
    assert comparison.scores["dsd", *DICE].values["case_3"] == pytest.approx(2.52 / 3)
    difference = comparison.differences["dsd", *DICE]
    assert difference.n == 12  # cases; the slices are four times as many
    assert difference.p == pytest.approx(2 / 2**12)
    # The results by case are others, and stay what they are.
    assert compare_runs(runs, metrics=["dice"]).scores["dsd", *DICE].mean == pytest.approx(0.3)


def test_the_table_says_what_a_value_is(runs):
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    print_comparison(compare_runs(runs, metrics=["dice"], by="slice"), console)
    text = console.file.getvalue()
    assert "a case's value: the mean over its slices" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100


def test_slices_judged_differently_are_told(runs):
    sliced(runs[1], [[0.5]] * 12, empty="nan")
    assert any(
        "judged differently: empty (one and nan)" in warning
        for warning in compare_runs(runs, metrics=["dice"], by="slice").warnings
    )


def test_a_run_whose_slices_were_not_judged_asks_for_it(make_run):
    run = make_run("supervised", {DICE: [0.2] * 12})
    with pytest.raises(UserError, match=r"no rows in by-slice/metrics\.csv.* --by slice`"):
        compare_runs([run], by="slice")
