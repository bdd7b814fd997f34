"""The teacher, and students of CT: untaught, of its soft labels, of its bottleneck as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..rows import Evidence, status_of
from ..rows import read as read_rows
from .jobs import CONTROL, FULL, TAUGHT, TEACHER

LABELS = {
    "teacher": "teacher, all three scans",
    "control": "CT, labels alone",
    "taught": "CT, the teacher's soft labels",
    "full": "CT, its bottleneck as well",
}
ROWS = {TEACHER: "teacher", CONTROL: "control", TAUGHT: "taught", FULL: "full"}
QUESTIONS = {
    "control": [("taught", "control"), ("full", "control")],
    "teacher": [(row, "teacher") for row in ("control", "taught", "full")],
}


def read(results: Path) -> Evidence:
    return read_rows(results, lambda about: ROWS[about["recipe"]], LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """The evidence, what each student gained, also by fold, the teacher's lead, and when runs were best."""
    return {
        "found": found,
        "gains": found.all_less("control"),
        "by_fold": found.all_by_fold("control"),
        "gap": found.less("teacher", "control"),
        "best_steps": [status_of(run)["best_step"] for one in found.rows.values() for run in one.runs],
        "lead": found.by_fold("teacher", "control"),
    }
