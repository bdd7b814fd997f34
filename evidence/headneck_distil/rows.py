"""`distil` and its control `supervised`, of ten labels; the larger network is `large`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answers import covered
from ..rows import Evidence
from ..rows import read as read_rows

CONTROLS = {"distil": "supervised"}
CALLED = {
    "large": "the larger network, all labels",
    "supervised": "student, ten labels alone",
    "distil": "student, ten labels and the answers",
}
QUESTIONS = {"control": list(CONTROLS.items()), "large": [("distil", "large")]}


def row_of(about: Mapping[str, Any]) -> str:
    return "large" if about["networks"]["student"]["name"] == "student_base" else about["recipe"]


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, CALLED, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """What part of the distance to the larger network is covered, and from how many scans."""
    return {
        "covered": covered(found, "distil", CONTROLS),
        "unlabelled": len(found.about("distil")["unlabelled"]),
    }
