"""The terminal table and the CSV show the comparison's numbers."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from distilseg.report import compare_runs, csv_rows, print_comparison, write_csv
from distilseg.report.comparison import MEAN

N = 12
LIVER, TUMOUR = ("liver", "dice"), ("tumour", "dice")


@pytest.fixture
def comparison(make_run):
    control = make_run("supervised", {LIVER: [0.8] * N, TUMOUR: [0.5] * N, ("liver", "hd95"): [3.0] * N})
    student = make_run(
        "dual_self_distillation",
        {LIVER: [0.8301 + 0.001 * i for i in range(N)], TUMOUR: [0.5] * N, ("liver", "hd95"): [2.0] * N},
        cost={"parameters": 2_500_000, "seconds_per_case": 0.25, "peak_memory_bytes": 2**28},
    )
    return compare_runs([control, student])


def printed(comparison, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_comparison(comparison, console)
    return console.file.getvalue()


def test_terminal_table(comparison):
    text = printed(comparison)
    for shown in (
        "Dice ↑",
        "HD95 [mm] ↓",
        "0.836 ± 0.004",
        "+0.036",
        "p < 0.001",
        "2.50 M",
        "0.250 s",
        "256 MiB",
    ):
        assert shown in text
    assert "dual_self_distillation helped at this budget" in text
    assert text.rstrip().endswith("12 cases).")


def test_terminal_table_fits_100_columns(comparison):
    lines = printed(comparison).splitlines()
    assert max(map(len, lines)) <= 100
    assert any("  dual_self_distillation " in line for line in lines)  # the name in one piece


def test_names_are_not_read_as_markup(make_run):
    runs = [
        make_run(name, {("[red]liver[/]", "dice"): [0.8] * N}, recipe=f"[bold]{name}[/x]") for name in "ab"
    ]
    text = printed(compare_runs(runs))
    assert "[bold]a[/x]" in text
    assert "[red]liver[/]" in text


def test_csv_holds_every_number_in_full(comparison, tmp_path):
    write_csv(comparison, tmp_path / "comparison.csv")
    with (tmp_path / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = {(r["run"], r["structure"], r["metric"]): r for r in csv.DictReader(file)}
    assert len(rows) == 2 * (2 + 1) + 2 * (1 + 1)  # Dice and HD95 with their means over structures
    student = rows["dual_self_distillation", "liver", "dice"]
    difference = comparison.differences["dual_self_distillation", "liver", "dice"]
    assert float(student["difference"]) == difference.mean
    assert float(student["p_holm"]) == difference.p_holm
    assert float(student["t_test_p"]) == difference.p_t
    assert float(student["t_test_p_holm"]) == difference.p_t_holm == 2 * difference.p_t
    assert (student["n"], student["pairs"], student["verdict"]) == ("12", "12", "helped")
    assert (student["parameters"], student["seconds_per_case"], student["steps"]) == (
        "2500000.0",
        "0.25",
        "1000.0",
    )
    assert rows["supervised", MEAN, "dice"]["difference"] == ""


def test_csv_of_a_single_run(make_run):
    rows = csv_rows(compare_runs([make_run("supervised", {LIVER: [0.8] * N})]))
    assert [(row["run"], row["mean"], row["control"]) for row in rows] == [
        ("supervised", pytest.approx(0.8), "")
    ]
