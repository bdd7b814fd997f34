"""Teachers, and students of ten labels and of all, alone and taught."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import CONTROL, STUDENT

TAUGHT = {
    "few soft": "few control",
    "few full": "few control",
    "few published": "few control",
    "few soft unlabelled": "few control",
    "many full": "many control",
}
TEACHERS = {
    "teacher student_base": "teacher `student_base`",
    "teacher dynunet": "teacher DynUNet 8…128",
    "teacher h_denseformer": "H-DenseFormer, teaches nobody",
}
LABELS = {
    **TEACHERS,
    "few control": "ten labels alone",
    "few soft": "ten labels, soft labels",
    "few full": "ten labels, soft labels and attention maps",
    "few published": "the same, KL(student, teacher) as published",
    "few soft unlabelled": "ten labels, soft labels, also on scans without labels",
    "many control": "all labels alone",
    "many full": "all labels, soft labels and attention maps",
}
QUESTIONS = {"control": list(TAUGHT.items())}


def row_of(about: Mapping[str, Any]) -> str:
    options = about["options"]
    if about["recipe"] == CONTROL and options["student"] != STUDENT["student"]:
        return f"teacher {options['student']}"
    labels = "few" if about["subjects"]["drawn"] else "many"
    if about["recipe"] == CONTROL:
        return f"{labels} control"
    if options["order"] == "paper":
        return f"{labels} published"
    way = "full" if options["attention"] else "soft"
    return f"{labels} {way}{' unlabelled' if about.get('unlabelled') else ''}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """How far the best teacher is ahead of students that were not taught, and what the taught ones gained."""
    best = found.score("teacher student_base").mean
    lead = {row: best - found.score(row).mean for row in ("few control", "many control")}
    return {"found": found, "lead": lead, "gains": {row: found.less("control", row) for row in TAUGHT}}
