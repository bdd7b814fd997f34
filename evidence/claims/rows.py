"""Each machine's claims as `make bench` left them; int8 by instructions; a step of dual self-distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distilseg.runs import read_rows

from ..jobs import ROOT

TITLES = {
    "students_and_nnunet": "Students as they are shipped beside nnU-Net as it is run",
    "nnunet_artefacts": "nnU-Net's models as artefacts beside nnU-Net",
    "shipping": "From the command to the label map; engines, int8, memory",
    "cold_start": "One scan, from a cold start",
    "large_scan": "A scan of 512x512x600 voxels",
    "windows": "Windows fitted to the scan",
    "web_page": "A student as a page",
    "many": "Many scans, shared out",
    "latency": "Thickened 2D networks beside 3D networks",
    "plan_budget": "What a plan for a budget foretells",
    "label_export": "Label maps of logits",
    "surface_metrics": "Distances between surfaces",
    "training": "Training, and a step of dual self-distillation",
    "teachers": "A step with a teacher of more modalities",
    "teach_former": "Several teachers",
    "answers": "Recorded answers of a model of others",
    "command_line": "The command line",
    "student_design": "What the students' design was chosen by",
}


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
    made = {"missed": missed, "rows": rows, "slowest_int8": slowest_int8}
    told = {"titles": TITLES, "grouped": grouped, "said": said, "features": features}
    return {
        **found,
        **made,
        **told,
        "ways": ways,
        "dice": dice,
        "worst_change": min(changes),
        "ratio_of": partial(_ratio_of, found["losses"]),
    }


def grouped(machine: Sequence[Mapping[str, str]]) -> list[tuple[str, list[Mapping[str, str]]]]:
    """The rows by the benchmark that made them, in the order of `TITLES`."""
    return [(name, rows) for name in TITLES if (rows := [row for row in machine if row["benchmark"] == name])]


def said(row: Mapping[str, str], beside: Sequence[Mapping[str, str]]) -> str:
    """What a row is about; with its claim where those beside it have another."""
    return row["what"] if len({one["claim"] for one in beside}) == 1 else f"{row['claim']}: {row['what']}"


def _ratio_of(losses: Sequence[Mapping[str, str]], loss: str, way: str) -> float:
    return next(float(row["of_operators"]) for row in losses if (row["loss"], row["way"]) == (loss, way))


def features(rows: Sequence[Mapping[str, str]]) -> str:
    """What a heading adds to the processor's name; nothing where no row tells, as older ones do not."""
    told = {row["features"] for row in rows if row.get("features")}
    return f" with {min(told)}" if len(told) == 1 else ""
