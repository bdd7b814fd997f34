"""Runs judged and shown: compared with their control, as tables, as CSV, as one page of HTML.

    comparison = compare_runs(runs)          pure data
    print_comparison(comparison)             terminal
    write_csv(comparison, path)              CSV
    write_report(runs, path)                 HTML
    write_pictures(comparison, folder)       SVG

Reads run folders only and never imports torch; Matplotlib is imported where something is drawn.
"""

from __future__ import annotations

from .comparison import RELEVANT, Comparison, Difference, compare_runs, differences
from .html import render, write_report
from .pictures import write_pictures
from .score import Score
from .table import csv_rows, print_comparison, write_csv
from .verdicts import verdict, verdicts

__all__ = [
    "RELEVANT",
    "Comparison",
    "Difference",
    "Score",
    "compare_runs",
    "csv_rows",
    "differences",
    "print_comparison",
    "render",
    "verdict",
    "verdicts",
    "write_csv",
    "write_pictures",
    "write_report",
]
