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

STUDENTS = {"CT": "CT", "MR_T1": "MR"}  # what it sees -> what the page calls it
WAYS = {"control": "control", "gt_kd": "GT+KD", "gt_kl": "GT+KL", "full": "full method"}
LABELS = {"teacher": "teacher, all three scans"}
LABELS |= {f"CT {way}": f"CT, {said}" for way, said in WAYS.items()}
LABELS |= {"CT alpha1": "CT, full method, alpha 1"}
LABELS |= {f"MR_T1 {way}": f"MR, {said}" for way, said in WAYS.items()}
PUPILS = [row for row in LABELS if row != "teacher"]
QUESTIONS = {
    "control": [(row, f"{row.split()[0]} control") for row in PUPILS if not row.endswith("control")],
    "teacher": [(row, "teacher") for row in PUPILS],
}
FULL = {f"{student} full": f"the student of {called}" for student, called in STUDENTS.items()}


def row_of(about: Mapping[str, Any]) -> str:
    way = str(about["recipe"]).removeprefix("kd_net_")
    if way == "teacher":
        return way
    if way == "kd_net":
        way = "alpha1" if about["options"]["alpha"] == 1 else "full"
    return f"{about['options']['student_sees'][0]} {way}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """Volumes, what each student gained, and the full method fold by fold."""
    return {
        "volumes": {label: _volumes(found, row) for row, label in LABELS.items()},
        "gains": {row: found.less("control", row).difference.mean for row, _ in QUESTIONS["control"]},
        "gains_by_fold": [gain for row in FULL for gain in found.by_fold(row, f"{row.split()[0]} control")],
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
