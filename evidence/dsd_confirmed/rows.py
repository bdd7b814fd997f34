"""Deep supervision, self-distillation and a tenth of it, each less plain training, in each regime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import REGIMES, WAYS

CALLED = {
    "hippocampus": "Hippocampus MR, DynUNet 8…128",
    "headneck": "Head and neck CT, `student_small`",
}
LABELS = {
    "plain": "plain",
    "ds": "deep supervision",
    "dsd": "DSD as published",
    "tenth": "DSD, a tenth of the divergences",
}
QUESTIONS = {
    "control": [(way, "plain") for way in WAYS if way != "plain"],
    "tenth": [("tenth", "dsd")],
}


def row_of(about: Mapping[str, Any]) -> str:
    way = {"supervised": "plain", "dsd_ds": "ds"}.get(about["recipe"], "dsd")
    return "tenth" if way == "dsd" and about["options"]["alpha"] < 1 else way


def read(results: Path) -> dict[str, Evidence]:
    """By regime."""
    return {name: read_rows(results / name, row_of, LABELS, QUESTIONS) for name in REGIMES}


def names(found: Mapping[str, Evidence]) -> dict[str, Any]:
    """What each way gained over plain training, by regime."""
    ways = [way for way, _ in QUESTIONS["control"]]
    return {
        "found": found,
        "gains": {name: {way: one.less("control", way) for way in ways} for name, one in found.items()},
        "tenths": {name: one.less("tenth", "tenth") for name, one in found.items()},
    }
