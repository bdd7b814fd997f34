"""The low-data regime: each number of subjects a contender, with its own control; table and curve."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from distilseg.report import compare_runs, csv_rows, print_comparison, render, write_pictures
from distilseg.report.comparison import Comparison
from distilseg.report.drawing import PALETTE
from distilseg.report.figures import colours
from distilseg.report.sizes import families, numbers, size_curves

from .conftest import CASES, MakeRun
from .test_figures import texts

SIZES = (2, 4, 16)
GAIN = {2: 0.09, 4: 0.05, 16: 0.0}
LIVER = ("liver", "dice")


def dice(n: int) -> list[float]:
    """Of the control that was trained on `n`: 0.60, 0.65 and 0.80 on average."""
    return [{2: 0.60, 4: 0.65, 16: 0.80}[n] + 0.01 * (i - 5.5) for i in range(len(CASES))]


def told(n: int, most: int = SIZES[-1], **experiment: Any) -> dict[str, Any]:
    train = [f"t_{i}" for i in range(n)]
    split = {"train": train, "validation": ["v_1"], "test": list(CASES)}
    return {"split": split, "subjects": {"training": n, "drawn": n < most}, **experiment}


def low_data(make_run: MakeRun) -> Comparison:
    runs = []
    for n in reversed(SIZES):
        runs.append(make_run(f"supervised-{n}", {LIVER: dice(n)}, recipe="supervised", **told(n)))
        better = [value + GAIN[n] + 0.001 * (i % 2) for i, value in enumerate(dice(n))]
        named = told(n, control=f"supervised-{n}")
        runs.append(make_run(f"dsd-{n}", {LIVER: better}, recipe="dsd", **named))
    return compare_runs(runs)


def test_each_number_is_a_contender_beside_its_own_control(make_run: MakeRun) -> None:
    comparison = low_data(make_run)
    assert comparison.controls == {
        f"{name}, {n} subjects": control and f"{control}, {n} subjects"
        for n in SIZES
        for name, control in (("supervised", None), ("dsd", "supervised"))
    }
    for n in SIZES:
        difference = comparison.differences[f"dsd, {n} subjects", "liver", "dice"]
        assert difference.mean == pytest.approx(GAIN[n] + 0.0005)
        assert difference.n == len(CASES)
    assert not [warning for warning in comparison.warnings if "different cases" in warning]


def test_families_in_ascending_numbers_controls_first(make_run: MakeRun) -> None:
    found = families(low_data(make_run))
    assert list(found) == ["supervised", "dsd"]
    assert [[c.subjects for c in members] for members in found.values()] == [list(SIZES)] * 2
    assert numbers(found) == list(SIZES)


def test_seeds_and_unequal_folds_of_a_number_are_one_contender(make_run: MakeRun) -> None:
    """Beside so many drawn to train on, folds of unequal size leave unequal numbers of other cases."""
    runs = []
    for fold, cases in enumerate((CASES[:7], CASES[7:])):
        split = {"train": ["t_1", "t_2"], "validation": ["v_1"], "test": list(cases)}
        for seed in (0, 1):
            about = told(2, seed=seed) | {"split": split, "cases": cases}
            runs.append(make_run(f"a-{fold}{seed}", {LIVER: dice(2)[: len(cases)]}, recipe="a", **about))
    (contender,) = compare_runs(runs).contenders
    assert len(contender.runs) == 4
    assert contender.subjects == 2
    assert contender.cases == set(CASES)


def test_what_is_not_recorded_is_counted_by_case(make_run: MakeRun) -> None:
    """Patients of several cases count once where the run says so; older runs do not."""
    old, new = told(4), told(2, subjects={"training": 1, "drawn": True})
    del old["subjects"]
    comparison = compare_runs(
        [make_run(name, {LIVER: dice(2)}, recipe="a", **about) for name, about in (("x", old), ("y", new))]
    )
    assert [c.name for c in comparison.contenders] == ["a, 1 subject", "a, 4 subjects"]


def test_options_tell_families_apart_and_numbers_their_members(make_run: MakeRun) -> None:
    runs = [
        make_run(f"a-{t}-{n}", {LIVER: dice(n)}, recipe="a", options={"t": t}, **told(n))
        for t in (1, 2)
        for n in (2, 4)
    ]
    comparison = compare_runs(runs)
    assert list(families(comparison)) == ["a (t=1)", "a (t=2)"]
    # None names a control: the first of each number is that of the others of this number.
    assert comparison.controls == {
        "a (t=1), 2 subjects": None,
        "a (t=1), 4 subjects": None,
        "a (t=2), 2 subjects": "a (t=1), 2 subjects",
        "a (t=2), 4 subjects": "a (t=1), 4 subjects",
    }
    # A control that is asked for is that of all.
    against = compare_runs(runs[1:], control=runs[0])
    assert set(against.controls.values()) == {None, "a (t=1), 2 subjects"}


def test_one_recipe_alone_is_measured_against_its_first_number(make_run: MakeRun) -> None:
    runs = [make_run(f"a-{n}", {LIVER: dice(n)}, recipe="a", **told(n)) for n in SIZES]
    controls = compare_runs(runs).controls
    assert set(controls.values()) == {None, "a, 2 subjects"}
    assert controls["a, 2 subjects"] is None


def test_other_cases_are_still_a_caution(make_run: MakeRun) -> None:
    """Subjects that are not among the others, and a control trained on more than its student."""
    apart = told(4)
    apart["split"]["train"] = ["u_1", "u_2", "u_3", "u_4"]
    one, other = (
        make_run(f"a-{n}", {LIVER: dice(2)}, recipe="a", **t) for n, t in ((2, told(2)), (4, apart))
    )
    assert any("different cases (2 and 4, 0 shared)" in w for w in compare_runs([one, other]).warnings)
    control = make_run("control", {LIVER: dice(4)}, **told(4))
    student = make_run("student", {LIVER: dice(2)}, **told(2, control="control"))
    assert any("different cases (4 and 2, 2 shared)" in w for w in compare_runs([control, student]).warnings)


def test_told_in_the_terminal_in_csv_and_on_the_page(make_run: MakeRun, tmp_path: Any) -> None:
    comparison = low_data(make_run)
    console = Console(file=io.StringIO(), width=100)
    print_comparison(comparison, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    table = text[text.index("Dice by number of training subjects, liver") :]
    firsts = [line.split("│")[1].strip() for line in table[: table.index("└")].splitlines() if "│" in line]
    assert [first for first in firsts if first] == [str(n) for n in SIZES]
    low, high = comparison.scores["supervised, 2 subjects", "liver", "dice"].interval
    assert f"0.600 [{low:.3f} to {high:.3f}]" in table
    assert "+0.090" in table
    subjects = {row["run"]: row["training_subjects"] for row in csv_rows(comparison)}
    assert subjects["dsd, 16 subjects"] == 16

    page = render(comparison)
    assert "dsd with 2, 4 or 16 subjects, on Phantom" in page
    assert "trained on 2, 4 or 16 subjects" in page
    assert 'id="subjects"' in page
    assert "--subjects 4" in page
    assert "--subjects 16" not in page  # those are all that there are
    assert tmp_path / "subjects.svg" in write_pictures(comparison, tmp_path)


def test_the_curve_has_a_tick_per_number_and_a_line_per_family(make_run: MakeRun) -> None:
    svg = size_curves(low_data(make_run))
    found = texts(svg)
    assert [text for text in found if text in ("2", "4", "16")] == ["2", "4", "16"]
    assert {"supervised", "dsd", "training subjects", "Dice, liver"} <= set(found)


def test_nothing_is_drawn_where_the_number_is_one(make_run: MakeRun) -> None:
    comparison = compare_runs([make_run("a", {LIVER: dice(2)}), make_run("b", {LIVER: dice(4)})])
    assert families(comparison) == {}
    assert size_curves(comparison) == ""
    assert 'id="subjects"' not in render(comparison)
    assert [c.name for c in comparison.contenders] == ["a", "b"]


def test_colours_are_of_families_paler_for_fewer(make_run: MakeRun) -> None:
    tints = colours(low_data(make_run))
    assert tints["supervised, 16 subjects"] == PALETTE[0]
    assert tints["dsd, 16 subjects"] == PALETTE[1]
    reds = [int(tints[f"dsd, {n} subjects"][1:3], 16) for n in SIZES]
    assert reds == sorted(reds, reverse=True)
    assert len(set(tints.values())) == 2 * len(SIZES)


def test_the_control_of_the_same_number_is_told_without_it(make_run: MakeRun) -> None:
    comparison = low_data(make_run)
    assert comparison.control_told("dsd, 4 subjects") == "supervised"
    assert comparison.control_told("supervised, 4 subjects") is None
    assert [c.subjects for c in comparison.contenders] == [2, 2, 4, 4, 16, 16]
    runs = [run for c in comparison.contenders for run in c.runs]
    against = compare_runs(runs, control=runs[0])
    assert against.control_told("dsd, 4 subjects") == "supervised, 2 subjects"
