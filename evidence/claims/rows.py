"""Each machine's claims, and the parts of a step of dual self-distillation, as `make bench` left them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilseg.runs import read_rows

from ..jobs import ROOT


def read(results: Path) -> Mapping[str, Any]:
    """results: a folder with such tables; the page's own are those of all of `results/`."""
    folder = results if results.is_dir() else ROOT / "results"
    parts: dict[str, dict[str, float]] = {}
    for row in read_rows(folder / "profile-dsd-step.csv"):
        parts.setdefault(row["part"], {})[row["network"]] = float(row["of_plain_step"])
    return {"machines": [read_rows(path) for path in sorted(folder.glob("benchmarks-*.csv"))], "parts": parts}


def names(found: Mapping[str, Any]) -> Mapping[str, Any]:
    rows = [row for machine in found["machines"] for row in machine]
    return {**found, "missed": [row for row in rows if row["met"] != "yes"], "rows": rows}
