"""The teacher; and for each student its control, single terms, and the full method."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilseg.runs import read_rows as read_table

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import STUDENTS

TEACHER = "teacher"
WAYS = {
    "control": "control",
    "gt_kd": "GT+KD",
    "gt_kl": "GT+KL",
    "full": "full method",
    "alpha1": "full method, alpha 1",
}
LABELS = {TEACHER: "teacher, all three scans"} | {
    f"{student} {way}": f"{STUDENTS[student]}, {said}"
    for student in STUDENTS
    for way, said in WAYS.items()
    if way != "alpha1" or student == "CT"
}
STUDENT_ROWS = [row for row in LABELS if row != TEACHER]
QUESTIONS = {
    "control": [(row, f"{row.split()[0]} control") for row in STUDENT_ROWS if not row.endswith("control")],
    "teacher": [(row, TEACHER) for row in STUDENT_ROWS],
}


def row_of(about: Mapping[str, Any]) -> str:
    way = about["recipe"].removeprefix("kd_net_")
    if way == TEACHER:
        return TEACHER
    if way == "kd_net":
        way = "alpha1" if about["options"]["alpha"] == 1 else "full"
    return f"{about['options']['student_sees'][0]} {way}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """What the page calls the full method; volumes; the students below their control; both weights of the bottleneck; the folds of the full method."""
    gains = {row: found.less("control", row).difference.mean for row, _ in QUESTIONS["control"]}
    folds = [found.by_fold(f"{student} full", f"{student} control") for student in STUDENTS]
    return {
        "full": {f"{student} full": f"the student of {STUDENTS[student]}" for student in STUDENTS},
        "volumes": [(found.label(row), *_volumes(found, row)) for row in found.rows],
        "worse": [row for row, gain in gains.items() if gain < 0],
        "alpha1": gains["CT alpha1"],
        "alpha10": gains["CT full"],
        "folds_below": all(gain < 0 for fold in folds for gain in fold),
    }


def _volumes(found: Evidence, row: str) -> tuple[float, float, float]:
    """Mean error, mean error without its sign, both in ml; median error relative to the reference."""
    rows = [one for run in found.rows[row].runs for one in read_table(run.metrics)]
    ml, relative = (
        [float(one["value"]) for one in rows if one["metric"] == f"volume_difference_{kind}"]
        for kind in ("ml", "relative")
    )
    known = [abs(value) for value in relative if math.isfinite(value)]
    return statistics.fmean(ml), statistics.fmean(map(abs, ml)), statistics.median(known)
