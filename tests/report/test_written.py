"""Tables for others' documents hold the comparison's numbers."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from distilseg import commands
from distilseg.errors import UserError
from distilseg.report.comparison import Comparison, compare_runs
from distilseg.report.written import write_per_case, write_table

from .conftest import CASES, MakeRun

N = len(CASES)


@pytest.fixture
def comparison(make_run: MakeRun) -> Comparison:
    control = make_run("supervised", {("liver_left", "dice"): [0.8] * N})
    student = make_run("dsd_ds", {("liver_left", "dice"): [0.8261 + 0.001 * i for i in range(N)]})
    return compare_runs([control, student], control=control, metrics=["dice"])


def test_markdown(comparison: Comparison, tmp_path: Path) -> None:
    write_table(comparison, tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "| structure | run | Dice ↑ | difference | p |"
    assert lines[1] == "|---|---|---:|---:|---:|"
    assert "| liver_left | supervised | 0.800 ± 0.000 | – | – |" in lines
    assert "| liver_left | dsd_ds | 0.832 ± 0.004 | +0.032 | < 0.001 |" in lines  # mean 0.8316
    assert any(line.startswith("12 test cases: mean ± standard deviation") for line in lines)


def test_latex(comparison: Comparison, tmp_path: Path) -> None:
    write_table(comparison, tmp_path / "table.tex")
    text = (tmp_path / "table.tex").read_text()
    assert r"  liver\_left & dsd\_ds & 0.832 $\pm$ 0.004 & +0.032 & $<$ 0.001 \\" in text
    assert text.count(r"\begin{tabular}{llrrr}") == text.count(r"\end{tabular}") == 1


def test_what_is_read_without_the_terminal_says_what_it_says_there(make_run: MakeRun, tmp_path: Path) -> None:
    """Marks with what they mean, cautions, computed scans; what was never defined is no number."""
    values = {("liver", "dice"): [0.8] * N, ("liver", "hd95"): [math.nan] + [2.0] * (N - 1)}
    values |= {("cyst", "dice"): [0.0] * N, ("cyst", "hd95"): [math.nan] * N}
    about = {"name": "Phantom", "reference": "distilseg's own phantom"}
    runs = [make_run(name, values, dataset=about) for name in ("supervised", "dsd")]
    comparison = compare_runs(runs, control=runs[0], metrics=["dice", "hd95"])
    for ending, mark in ((".md", "†"), (".tex", r"\textdagger{}")):
        write_table(comparison, tmp_path / f"table{ending}")
        text = (tmp_path / f"table{ending}").read_text()
        assert f"0.00 {mark}" in text
        assert "†: without undefined values, which are its worst" in text
        assert "Caution: The mean over structures of HD95 is made without" in text
        assert "SYNTHETIC: these scans are computed" in text
        assert "– ±" not in text
        assert "-- $" not in text
        assert "Neither learned cyst (Dice below 0.1)." in text


def test_every_case_in_full(comparison: Comparison, tmp_path: Path) -> None:
    write_per_case(comparison, tmp_path / "cases.csv")
    with (tmp_path / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list(CASES)
    assert [float(row["dsd_ds"]) for row in rows] == [0.8261 + 0.001 * i for i in range(N)]
    assert {row["supervised"] for row in rows} == {"0.8"}
    write_per_case(comparison, tmp_path / "cases.md")
    assert "| case_12 | liver_left | dice | 0.800 | 0.837 |" in (tmp_path / "cases.md").read_text()


def test_another_ending_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"unknown kind of table in .*t\.doc '\.doc'; known: \.csv, \.md, \.tex"
    ):
        commands.compare(tmp_path / "no_run", out=tmp_path / "t.doc")
