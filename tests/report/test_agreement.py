"""Where a teacher's answers judged, every score is called agreement, and what that does not show is said."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from distilseg.errors import UserError
from distilseg.report import compare_runs, csv_rows, print_comparison, render, verdicts

LIVER = {("liver", "dice"): [0.8] * 12, ("liver", "hd95"): [2.0] * 12}
BY_TEACHER = {"evaluation": {"labelled_by": "big"}, "curves": True, "overlays": True}
DATASET = {"name": "Clinic", "labelled_by": "big"}


@pytest.fixture
def runs(make_run):
    better = {key: [value + 0.01 * i for i, value in enumerate(column)] for key, column in LIVER.items()}
    return [
        make_run("distil", LIVER, dataset=DATASET, unlabelled=["u_1", "u_2"], **BY_TEACHER),
        make_run("distil_hard", better, dataset=DATASET, **BY_TEACHER),
    ]


def alone(text: str) -> list[str]:
    """Places where a metric is named and not called agreement."""
    return re.findall(r".{20}(?<!greement \()(?:Dice|HD95|NSD)\b.{10}", text)


def test_every_score_is_called_agreement(runs):
    comparison = compare_runs(runs)
    assert [metric.title for metric in comparison.metrics] == ["agreement (Dice)", "agreement (HD95)"]
    assert "agreement (Dice) " in verdicts(comparison)[0]
    assert {row["metric"] for row in csv_rows(comparison)} == {"agreement_dice", "agreement_hd95"}
    assert {row["agreement_with"] for row in csv_rows(comparison)} == {"big"}


def test_the_terminal_names_the_teacher_and_no_metric_alone(runs):
    shown = io.StringIO()
    print_comparison(compare_runs(runs), Console(file=shown, width=140))
    assert "12 test cases, agreement with big" in shown.getvalue()
    assert alone(shown.getvalue()) == []


def test_the_page_says_what_agreement_does_not_show(runs):
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", render(compare_runs(runs))))
    assert "on Clinic, by agreement with big" in page
    assert "Nobody labelled these scans: scores are agreement with big" in page
    assert "cannot show whether the student or the teacher is right" in page
    assert "White: the answer of big." in page
    assert "Agreement (Dice) of the validation cases" in page
    shown = page[page.index("Before you trust this") : page.index("Conventions, and what")]
    assert alone(shown) == []


def test_scores_by_labels_and_by_agreement_are_not_compared(runs, make_run):
    by_labels = make_run("supervised", LIVER, dataset=DATASET, evaluation={"weights": "best"})
    with pytest.raises(UserError, match=r"distil by agreement with big, supervised by labels"):
        compare_runs([runs[0], by_labels])
    other = make_run(
        "b", LIVER, recipe="distil", dataset=DATASET, seed=1, evaluation={"labelled_by": "another"}
    )
    with pytest.raises(UserError, match="judged by different labels"):
        compare_runs([runs[0], other])


def test_a_run_chosen_by_agreement_and_judged_by_labels_has_scores_as_any_other(make_run):
    run = make_run("distil", LIVER, dataset=DATASET, curves=True)
    page = render(compare_runs([run]))
    assert "Agreement (Dice) of the validation cases" in page
    assert compare_runs([run]).metrics[0].title == "Dice"
