"""Each machine's claims as `make bench` left them; int8 by instructions; a step of dual self-distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
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
    return {
        "machines": [read_rows(path) for path in sorted(folder.glob("benchmarks-*.csv"))],
        "parts": parts,
        "int8": read_rows(folder / "int8-instructions.csv"),
        "ways": read_rows(folder / "dsd-step-options.csv"),
        "losses": read_rows(folder / "compiled-losses.csv"),
        "trained": read_rows(folder / "dsd-own-resolution.csv"),
    }


def names(found: Mapping[str, Any]) -> Mapping[str, Any]:
    rows = [row for machine in found["machines"] for row in machine]
    slowest_int8 = max(float(row["int8_of_float"]) for row in found["int8"])
    ways: dict[str, dict[str, float]] = {}
    for row in found["ways"]:
        ways.setdefault(row["way"], {})[row["network"]] = float(row["of_plain_step"])
    dice: dict[str, dict[str, float]] = {}
    for row in found["trained"]:
        dice.setdefault(row["seed"], {})[row["recipe"]] = float(row["dice"])
    changes = [one["dsd_own_resolution"] - one["dual_self_distillation"] for one in dice.values()]
    missed = [row for row in rows if row["met"] != "yes"]
    made = {"missed": missed, "rows": rows, "features": features, "slowest_int8": slowest_int8}
    return {
        **found,
        **made,
        "ways": ways,
        "dice": dice,
        "worst_change": min(changes),
        "ratio_of": partial(_ratio_of, found["losses"]),
    }


def _ratio_of(losses: Sequence[Mapping[str, str]], loss: str, way: str) -> float:
    return next(float(row["of_operators"]) for row in losses if (row["loss"], row["way"]) == (loss, way))


def features(rows: Sequence[Mapping[str, str]]) -> str:
    """What a heading adds to the processor's name; nothing where no row tells, as older ones do not."""
    told = {row["features"] for row in rows if row.get("features")}
    return f" with {min(told)}" if len(told) == 1 else ""
