"""The teacher, and students of CT: untaught, taught, and of either's answers on scans without labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import ANSWERS, CONTROL, TAUGHT, TEACHER

LABELS = {
    "teacher": "teacher, all three scans, ten labels",
    "control": "CT, ten labels alone",
    "taught": "CT, ten labels and the teacher's soft labels",
    "self": "CT, and the untaught student's answers on the others",
    "handed on": "CT, and the taught student's answers on the others",
}
QUESTIONS = {
    "control": [("taught", "control"), ("self", "control"), ("handed on", "control")],
    "answers": [("handed on", "self")],
    "teacher": [("control", "teacher")],
}


def row_of(about: Mapping[str, Any]) -> str:
    rows = {TEACHER: "teacher", CONTROL: "control", TAUGHT: "taught"}
    if about["recipe"] in rows:
        return rows[about["recipe"]]
    (whose,) = about["options"]["teacher"]
    return next(row for row, recipe in ANSWERS.items() if recipe == whose)


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """The evidence itself, what each student gained, fold by fold too, and how many were answered."""
    return {
        "found": found,
        "gains": found.all_less("control"),
        "by_fold": found.all_by_fold("control"),
        "handed_on": found.less("answers", "handed on"),
        "gap": found.less("teacher", "control"),
        "others": len(found.about("self")["unlabelled"]),
    }
