"""Teachers that lead, students of ten labels and of all, taught and not; by dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import BENCHES, CONTROL, STUDENT

TAUGHT = {
    "few soft": "few control",
    "few full": "few control",
    "few full published": "few control",
    "few soft unlabelled": "few control",
    "many full": "many control",
}
STUDENTS = {
    "few control": "ten labels alone",
    "few soft": "ten labels, soft labels",
    "few full": "ten labels, soft labels and attention maps",
    "few full published": "the same, KL(student, teacher) as published",
    "few soft unlabelled": "ten labels, soft labels, also on scans without labels",
    "many control": "all labels alone",
    "many full": "all labels, soft labels and attention maps",
}
NETWORKS = {"h_denseformer": "H-DenseFormer", "student_base": "`student_base`", "dynunet": "DynUNet 8…128"}
DATASETS = {"headneck": "Head and neck CT"}
QUESTIONS = {"control": list(TAUGHT.items())}


def row_of(about: Mapping[str, Any]) -> str:
    if about["recipe"] == CONTROL and about["options"]["student"] != STUDENT["student"]:
        return f"teacher {about['options']['student']}"
    way = "control" if about["recipe"] == CONTROL else "full" if about["options"]["attention"] else "soft"
    labels = "few" if about["subjects"]["drawn"] else "many"
    published = " published" if about["options"].get("order") == "paper" else ""
    return f"{labels} {way}{published}{' unlabelled' if about.get('unlabelled') else ''}"


def read(results: Path) -> dict[str, Evidence]:
    found = {}
    for name, bench in BENCHES.items():
        teachers = {f"teacher {one.network}": f"teacher {NETWORKS[one.network]}" for one in bench.teachers}
        found[name] = read_rows(results / name, row_of, teachers | STUDENTS, QUESTIONS)
    return found


def names(found: Mapping[str, Evidence]) -> dict[str, Any]:
    """By dataset what the best teacher leads the students by, and what they gained."""
    teachers = {name: [row for row in one.labels if row.startswith("teacher")] for name, one in found.items()}
    best = {name: max(one.score(row).mean for row in teachers[name]) for name, one in found.items()}
    return {
        "found": found,
        "leads": {
            name: {row: best[name] - one.score(row).mean for row in ("few control", "many control")}
            for name, one in found.items()
        },
        "gains": {name: {row: one.less("control", row) for row in TAUGHT} for name, one in found.items()},
    }
