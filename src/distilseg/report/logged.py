"""The tables that a training leaves behind, column by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ..runs import read_rows

Curve = tuple[list[float], list[float]]  # steps, values


def curves(table: Path) -> Mapping[str, Curve]:
    """Column -> curve; a row cut short by a kill and values that are no numbers are left out."""
    found: dict[str, Curve] = {}
    for row in read_rows(table):
        step = _number(row.get("step"))
        for name, text in row.items():
            value = _number(text)
            if name and math.isfinite(step) and math.isfinite(value):
                steps, values = found.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except (TypeError, ValueError):
        return math.nan
