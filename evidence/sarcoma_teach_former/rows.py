"""Teachers, the light student without one, with every subset of them, with each term; the paper's table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilseg.report import words

from ..rows import Evidence
from ..rows import read as read_rows

TEACHERS = {"T1": "T1 H-DenseFormer", "T2": "T2 Swin UNETR, truncated", "T3": "T3 UNETR"}
STUDENTS = {
    "t1": "taught by T1",
    "t2": "taught by T2",
    "t3": "taught by T3",
    "t12": "taught by T1+T2",
    "t13": "taught by T1+T3",
    "t23": "taught by T2+T3",
    "t123": "taught by all three",
    "afs": "all three, AFS only",
    "pwd": "all three, PWD only",
}
LABELS = {**TEACHERS, "control": "light control", **STUDENTS}
SUBSETS = [row for row in STUDENTS if row.startswith("t")]
QUESTIONS = {
    "control": [(row, "control") for row in STUDENTS],
    "ablations": [("t123", row) for row in STUDENTS if row != "t123"],
    "teachers": [(row, "control") for row in TEACHERS],
    "T1": [("control", "T1"), ("t123", "T1")],
}
UNDISTILLED = {"h_denseformer": "T1", "swin_unetr": "T2", "unetr": "T3", "h_denseformer_light": "control"}
# Dice in percent on the test cases of HECKTOR21, with the light H-DenseFormer as student.
PAPER = {
    "T1": 75.88, "T2": 71.99, "T3": 64.78, "control": 72.45, "t1": 75.88, "t2": 76.15, "t3": 73.26,
    "t12": 74.72, "t13": 75.37, "t23": 76.75, "t123": 76.58, "afs": 73.27, "pwd": 74.12,
}  # fmt: skip
# Millions of parameters, and "GFLOPs" of a volume of 144³ as thop counts them.
PAPER_COST = {"T1": (11.38, 960.38), "T2": (5.38, 280.91), "T3": (95.76, 282.18), "control": (1.53, 62.73)}


def row_of(about: Mapping[str, Any]) -> str:
    recipe = str(about["recipe"])
    if recipe == "teach_former_control":
        return UNDISTILLED[about["options"]["student"]]
    return recipe.removeprefix("teach_former_") if recipe != "teach_former" else "t123"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """What students gained, also by number of teachers; how teachers and students rank; what was recorded."""
    gains = {row: test.mean for (row, _), test in found.tests("control").items()}
    runs = [run for row in STUDENTS for run in found.rows[row].runs]
    recorded = [run.read(run.experiment)["machine"]["teacher_outputs"] for run in runs]
    tests = found.tests("ablations").items()
    told = ("One seed", "Seconds a case")  # by the page itself
    return {
        "cautions": [caution for caution in found.comparison.warnings if not caution.startswith(told)],
        "points": lambda value: words.number(value, 2, sign=True),
        "gains": gains,
        "by_number": [statistics.fmean(gains[r] for r in SUBSETS if len(r) == n + 1) for n in (1, 2, 3)],
        "ranks": [
            sorted(TEACHERS, key=lambda row: found.score(row).mean),
            sorted(TEACHERS, key=lambda row: gains[row.lower()]),
        ],
        "surpassed": [LABELS[other] for (_, other), test in tests if test.outcome == "helped"],
        "recorded": sum(bool(told["recorded"]) for told in recorded),
        "passes": sorted({told["why"] for told in recorded}),
    }
