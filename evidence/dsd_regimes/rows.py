"""Ways of a regime less its plain training, by validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..by_validation import Row
from ..by_validation import read as read_rows
from .jobs import PLAIN, REGIMES, named

CALLED = {named("hippocampus", 8, 1): "Hippocampus MR, DynUNet 8…128"}


def row_of(about: Mapping[str, Any]) -> str:
    asked = about["asked"]
    return f"{named(*asked['regime'])}: {asked['way']}"


def read(results: Path) -> dict[str, Row]:
    rows = [f"{named(*regime)}: {way}" for regime, ways in REGIMES.items() for way in ways]
    return read_rows(results, row_of, rows)


def names(found: Mapping[str, Row]) -> dict[str, Any]:
    """Rows by regime and way; what each gains over plain training, by seed."""
    regimes: dict[str, dict[str, Row]] = {regime: {} for regime in CALLED}
    for key, row in found.items():
        regime, _, way = key.partition(": ")
        regimes[regime][way] = row
    gains = {
        regime: {way: row.less(rows[PLAIN]) for way, row in rows.items() if way != PLAIN}
        for regime, rows in regimes.items()
    }
    return {"regimes": regimes, "gains": gains, "called": CALLED, "plain": PLAIN}
