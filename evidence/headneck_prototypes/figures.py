"""Dice against training patients, control and distilled."""

from __future__ import annotations

from distilseg.report import compare_runs
from distilseg.report.sizes import size_curves

from .rows import Prototypes


def draw(found: Prototypes) -> dict[str, str]:
    runs = [run for row, one in found.rows.items() if not row.endswith("alone") for run in one.runs]
    return {"": size_curves(compare_runs(runs, metrics=["dice"]))}
