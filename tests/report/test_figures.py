"""Figures are drawn for what there is, and are valid XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from distilseg.report import compare_runs, curves, figures, overlays
from distilseg.report.stages import stage_bars

N = 12


def texts(svg: str) -> list[str]:
    """The words in a figure, which are text and not outlines."""
    return [
        (element.text or "").strip() for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")
    ]


def pair(make_run, structures=("liver",), **options):
    values = {(s, "dice"): [0.5 + 0.01 * i for i in range(N)] for s in structures}
    better = {key: [v + 0.02 for v in column] for key, column in values.items()}
    return compare_runs([make_run("supervised", values, **options), make_run("dsd", better, **options)])


def test_paired_differences_tell_mean_and_p(make_run):
    told = texts(figures.paired_differences(pair(make_run), "dsd"))
    assert "mean +0.020" in told
    assert "p < 0.001" in told
    assert "Δ Dice" in told


def test_a_control_has_no_differences_to_draw(make_run):
    assert figures.paired_differences(pair(make_run), "supervised") == ""


def test_many_structures_wrap_into_rows(make_run):
    names = [f"organ {i}" for i in range(9)]
    told = texts(figures.distributions(pair(make_run, names)))
    assert [text for text in told if text in names] == names


def test_a_dollar_in_a_name_is_a_dollar(make_run):
    told = texts(figures.distributions(pair(make_run, ["$x_1$", r"\\frac{"])))
    assert "$x_1$" in told


def test_cost_bars_need_two_runs_and_a_measure(make_run):
    comparison = pair(make_run, cost={"parameters": 2_500_000, "peak_memory_bytes": None})
    assert texts(figures.cost_bars(comparison)).count("2.50 M") == 2
    assert "peak memory" not in texts(figures.cost_bars(comparison))
    assert figures.cost_bars(pair(make_run, cost={"device": "cpu"})) == ""


def test_curves_have_a_panel_per_column_without_the_learning_rate(make_run):
    comparison = pair(make_run, curves=True)
    told = texts(curves.loss_curves(comparison))
    assert {"total", "seg", "step"} <= set(told)
    assert "learning_rate" not in told
    assert {"mean", "liver", "Dice"} <= set(texts(curves.validation_curves(comparison)))


def test_a_log_cut_short_by_a_kill_is_drawn(make_run):
    comparison = pair(make_run, curves=True)
    log = comparison.contenders[0].runs[0].losses
    log.write_text(log.read_text() + "40,0.001,1.")
    assert "total" in texts(curves.loss_curves(comparison))


def test_long_curves_are_thinned_and_keep_their_mean():
    steps, values = [float(i) for i in range(10_000)], [float(i % 2) for i in range(10_000)]
    thin_steps, thin_values = curves._thinned((steps, values))
    assert len(thin_steps) == len(thin_values) == curves.POINTS
    assert sum(thin_values) / curves.POINTS == pytest.approx(0.5, abs=0.01)


def test_slices_show_best_median_and_worst_of_the_student(make_run):
    told = texts(overlays.overlays(pair(make_run, overlays=True)))
    # Slices of case_1 to case_3 are kept; Dice rises with the number.
    assert {"best: case_3", "median: case_2", "worst: case_1"} <= set(told)
    assert {"Dice 0.500", "Dice 0.520", "predicted liver"} <= set(told)


def test_no_slices_no_figure(make_run):
    assert overlays.overlays(pair(make_run)) == ""


def test_every_figure_has_a_name_and_says_its_numbers(make_run):
    told = {"parameters": 2_500_000, "stages_s": {"reading": 0.1, "network": 0.75}}
    comparison = pair(make_run, curves=True, overlays=True, cost=told)
    shown = {
        figures.paired_differences(comparison, "dsd"): "dsd minus supervised, case by case. Dice, liver: mean"
        " +0.020, p < 0.001, 12 cases.",
        figures.distributions(comparison): "Dice of every case, by structure and run. Dice, liver,"
        " supervised: 0.555 ± 0.036; Dice, liver, dsd: 0.575 ± 0.036.",
        figures.cost_bars(comparison): "What a prediction costs. supervised: parameters 2.50 M; dsd:"
        " parameters 2.50 M.",
        stage_bars(comparison): "Seconds of a case, stage by stage. supervised: reading 0.100 s, network"
        " 0.750 s; dsd: reading 0.100 s, network 0.750 s.",
        curves.validation_curves(comparison): "Dice of the validation cases over training steps. supervised:"
        " mean ends at 0.975 after 40 steps; dsd: mean ends at 0.975 after 40 steps.",
    }
    for svg, label in shown.items():
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == label
        assert root[0].tag.endswith("}title")
        assert label.startswith(f"{root[0].text}. ")
    slices = ET.fromstring(overlays.overlays(comparison)).get("aria-label")
    assert "best case case_3: supervised Dice 0.520, dsd Dice 0.540" in slices
