"""The wording of verdicts, numbers and commands."""

from __future__ import annotations

import math
import shlex

import pytest

from distilseg.report import compare_runs, verdict, verdicts, words
from distilseg.report.comparison import Comparison
from distilseg.report.contenders import METRICS

LIVER = ("liver", "dice")
CONTROL = [0.70, 0.72, 0.74, 0.76, 0.78, 0.80, 0.82, 0.84]


def compared(make_run, change) -> Comparison:
    cases = [f"case_{i}" for i in range(len(CONTROL))]
    control = make_run("supervised", {LIVER: CONTROL}, cases=cases)
    student = make_run("dsd", {LIVER: [c + d for c, d in zip(CONTROL, change, strict=True)]}, cases=cases)
    return compare_runs([control, student])


def test_helped(make_run):
    comparison = compared(make_run, [0.02, 0.03, 0.02, 0.03, 0.021, 0.031, 0.022, 0.032])
    low, high = comparison.differences["dsd", "liver", "dice"].interval
    # Eight differences of one sign; two equal pairs of ranks do not change the smallest p: 2 / 2^8.
    assert verdicts(comparison) == [
        "dsd helped at this budget: Dice (liver) 0.796 against 0.770 of supervised, +0.026"
        f" (95 % interval +{low:.3f} to +{high:.3f}, p = 0.008, 8 cases)."
    ]


def test_hurt(make_run):
    comparison = compared(make_run, [-0.02, -0.03, -0.024, -0.035, -0.021, -0.031, -0.022, -0.032])
    (sentence,) = verdicts(comparison)
    assert sentence.startswith(
        "dsd hurt at this budget: Dice (liver) 0.743 against 0.770 of supervised, −0.027 (95 % interval −0.0"
    )
    assert sentence.endswith("p = 0.008, 8 cases).")


def test_no_difference_shown(make_run):
    comparison = compared(make_run, [0.01, -0.011, 0.02, -0.018, 0.003, -0.002, 0.007, 0.001])
    (sentence,) = verdicts(comparison)
    assert sentence.startswith(
        "dsd was not shown to differ from supervised at this budget:"
        " Dice (liver) 0.771 against 0.770, +0.001 (95 % interval −0."
    )
    assert "helped" not in sentence


def test_equal_runs(make_run):
    (sentence,) = verdicts(compared(make_run, [0.0] * 8))
    assert (
        "Dice (liver) 0.770 against 0.770, 0.000 (95 % interval 0.000 to 0.000, p = 1.00, 8 cases)"
        in sentence
    )


def test_one_case_cannot_be_tested(make_run):
    control = make_run("supervised", {LIVER: [0.7]}, cases=["only"])
    student = make_run("dsd", {LIVER: [0.8]}, cases=["only"])
    (sentence,) = verdicts(compare_runs([control, student]))
    assert "was not shown to differ" in sentence
    assert (
        "Dice (liver) 0.800 against 0.700, +0.100 (95 % interval – to –, p not testable, 1 cases)" in sentence
    )


def test_the_corrected_p_is_told_where_it_differs(make_run):
    change = [0.02, 0.03, 0.02, 0.03, 0.021, 0.031, 0.022, 0.032]
    cases = [f"case_{i}" for i in range(8)]
    control = make_run("supervised", {LIVER: CONTROL}, cases=cases)
    students = [
        make_run(name, {LIVER: [c + d for c, d in zip(CONTROL, change, strict=True)]}, cases=cases)
        for name in ("a", "b")
    ]
    comparison = compare_runs([control, *students])
    assert "p = 0.008, corrected 0.016, 8 cases" in verdict(comparison, "a", METRICS["dice"])


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "text"),
    [
        (0.1234, 3, False, "0.123"),
        (0.1234, 3, True, "+0.123"),
        (-0.5, 2, True, "−0.50"),
        (-0.0001, 3, True, "0.000"),
        (math.nan, 3, False, "–"),
        (None, 3, False, "–"),
    ],
)
def test_number(value, decimals, sign, text):
    assert words.number(value, decimals, sign=sign) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.049, "= 0.049"), (0.414, "= 0.41"), (math.nan, "not testable")]
)
def test_p_value(p, text):
    assert words.p_value(p) == text


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (words.count, 2_512_000, "2.51 M"),
        (words.count, 999, "999"),
        (words.count, None, "–"),
        (words.giga, 12_340_000_000, "12.3"),
        (words.giga, 1_234_000_000_000, "1,234"),
        (words.seconds, 0.0123, "0.0123 s"),
        (words.memory, 3 * 2**30, "3.00 GiB"),
        (words.memory, 300 * 2**20, "300 MiB"),
        (words.duration, 90, "90 s"),
        (words.duration, 600, "10 min"),
        (words.duration, 9000, "2.5 h"),
        (words.significant, 0, "0"),
    ],
)
def test_costs_are_written_for_people(function, value, text):
    assert function(value) == text


def test_train_command_can_be_pasted(make_run):
    options = {
        "network": "my net; rm -rf /",
        "temperature": 2.0,
        "detach_teacher": True,
        "background": False,
        "patch": [32, 32],
        "shared_heads": None,
        "seed": 3,
    }
    run = make_run("dsd", {LIVER: [0.8] * 12}, options=options, seed=3, budget={"minutes": 4})
    command = words.train_command(compare_runs([run]).contenders[0], run.read(run.experiment))
    assert shlex.split(command) == [
        *("distilseg", "train", "dsd", "--data", "Phantom", "--network", "my net; rm -rf /"),
        *("--temperature", "2.0", "--detach-teacher", "--no-background"),
        *("--patch", "32,32", "--minutes", "4", "--seed", "3"),
    ]
    assert "somebody" not in command


def test_train_command_names_what_was_learned_from_without_labels(make_run):
    run = make_run("distil", {LIVER: [0.8] * 12})
    about = {
        **run.read(run.experiment),
        "unlabelled": ["a"],
        "unlabelled_from": ["rest", "/home/me/more scans"],
    }
    command = words.train_command(compare_runs([run]).contenders[0], about)
    assert "--unlabelled 'rest,more scans'" in command
    assert "/home/me" not in command


def test_train_command_draws_the_same_slices(make_run):
    run = make_run("dsd", {LIVER: [0.8] * 12})
    about = run.read(run.experiment)
    about["dataset"] = {"name": "Phantom", "one_slice_per_subject": {"view": "coronal", "seed": 3}}
    command = words.train_command(compare_runs([run]).contenders[0], about)
    assert "--data Phantom" in command
    assert "--one-slice-per-subject --slice-view coronal --split-seed 3" in command


def test_compare_command_names_the_control_of_all_others(make_run):
    values = {LIVER: [0.8] * 12, ("liver", "hd95"): [2.0] * 12}
    runs = [make_run(name, values, control=None if name == "c" else "c") for name in ("c", "a b")]
    command = words.compare_command(compare_runs(runs, metrics=["dice", "hd95"]))
    assert command == "distilseg compare c 'a b' --control c --metrics dice,hd95 --html report.html"


def test_compare_command_of_one_run_names_no_control(make_run):
    command = words.compare_command(compare_runs([make_run("c", {LIVER: [0.8] * 12})], metrics=["dice"]))
    assert command == "distilseg compare c --metrics dice --html report.html"
