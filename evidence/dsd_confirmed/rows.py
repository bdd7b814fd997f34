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
    "headneck-longer": "The same, twice as many steps",
}
LABELS = {
    "plain": "plain",
    "ds": "deep supervision",
    "dsd": "DSD as published",
    "tenth": "DSD, a tenth of the divergences",
    "growing": "DSD, a tenth, all growing",
}
QUESTIONS = {
    "control": [(way, "plain") for way in WAYS if way != "plain"],
    "published": [("tenth", "dsd"), ("growing", "dsd")],
}


def row_of(about: Mapping[str, Any]) -> str:
    way = {"supervised": "plain", "dsd_ds": "ds"}.get(about["recipe"], "dsd")
    if way != "dsd" or about["options"]["alpha"] == 1:
        return way
    return "growing" if "over_time" in about["options"] else "tenth"


def read(results: Path) -> dict[str, Evidence]:
    """By regime."""
    return {name: read_rows(results / name, row_of, LABELS, QUESTIONS) for name in REGIMES}


def names(found: Mapping[str, Evidence]) -> dict[str, Any]:
    """What each way gained over plain training, by regime."""
    ways = [way for way, _ in QUESTIONS["control"]]
    neck = found["headneck"]
    return {
        "below": sum(
            neck.by_seed(way)[seed] < plain - 0.1
            for way in ways
            for seed, plain in neck.by_seed("plain").items()
        ),
        "still_lacking": {way: _lacking(found["headneck-longer"], way) for way in WAYS},
        "lacking": {way: _lacking(neck, way) for way in WAYS},
        "found": found,
        "gains": {name: {way: one.less("control", way) for way in ways} for name, one in found.items()},
        "published": {
            name: {way: one.less("published", way) for way, _ in QUESTIONS["published"]}
            for name, one in found.items()
        },
    }


def _lacking(found: Evidence, way: str) -> list[str]:
    """Structures that a run of it had not found, once for each."""
    organs = found.comparison.structures[:-1]
    return [organ for organ in organs for dice in found.by_seed(way, organ).values() if dice < 0.05]
