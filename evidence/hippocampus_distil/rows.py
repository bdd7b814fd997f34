"""How many labels, and what was learned beside them: `distil 10`; the large network is `large`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answers import covered
from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import LABELS

SAID = {"supervised": "labels alone", "distil": "labels and the answers"}
CONTROLS = {f"distil {n}": f"supervised {n}" for n in LABELS}
ROWS = ("large", *(row for pair in zip(CONTROLS.values(), CONTROLS, strict=True) for row in pair))
QUESTIONS = {"control": list(CONTROLS.items()), "large": [(row, "large") for row in CONTROLS]}


def row_of(about: Mapping[str, Any]) -> str:
    if about["networks"]["student"]["name"] == "dynunet":
        return "large"
    return f"{about['recipe']} {about['subjects']['training']}"


def _called(row: str) -> str:
    if row == "large":
        return "the large network, 140 labels"
    way, n = row.split()
    return f"student, {n} labels: {SAID[way]}" if way == "supervised" else f"student, {n} {SAID[way]}"


LABELLED = {row: _called(row) for row in ROWS}


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELLED, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """Of the distance from control to teacher, the part that the student covers; Dice and gain by row."""
    return {
        "covered": lambda row: covered(found, row, CONTROLS),
        "taught": [found.score(row).mean for row in CONTROLS],
        "gained": [found.less("control", row).difference.mean for row in CONTROLS],
        "numbers_of_labels": {row: int(row.split()[1]) for row in CONTROLS},
    }
