"""A network, how it was trained, the numbers it is shipped in: `student_base supervised openvino-int8`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilseg.report import words
from distilseg.runs import find_runs

from ..rows import Evidence, budget_of
from ..rows import read as read_rows

NETWORKS = {
    "dynunet": "DynUNet 32…320",
    "student_base": "base",
    "student_small": "small",
    "student_tiny": "tiny",
}
STUDENTS = tuple(network for network in NETWORKS if network != "dynunet")
WAYS = {
    "supervised": "plain",
    "teach_former_control": "focal, plain",
    "teach_former": "focal, soft labels of the DynUNet",
}
TAUGHT, CONTROL = "teach_former", "teach_former_control"
FLOAT, INT8 = "openvino", "openvino-int8"
NUMBERS = {FLOAT: "float", INT8: "int8"}
LARGE = f"dynunet supervised {FLOAT}"
LABELS = {
    f"{network} {way} {numbers}": f"{NETWORKS[network]}, {WAYS[way]}, {NUMBERS[numbers]}"
    for network in NETWORKS
    for way in (WAYS if network in STUDENTS else ("supervised",))
    for numbers in NUMBERS
}
PLAIN, SOFT = (
    {f"{student} {way} {FLOAT}": NETWORKS[student] for student in STUDENTS} for way in ("supervised", TAUGHT)
)
COSTS = (  # name, unit, decimals
    ("bytes_on_disk", 2**20, 1),
    ("end_to_end_s", 1, 2),
    ("seconds_per_case", 1e-3, 1),
    ("peak_memory_bytes", 2**20, 0),
)
QUESTIONS = {  # int8 is only compared with float, everything else in float
    "taught": [(f"{student} {TAUGHT} {FLOAT}", f"{student} {CONTROL} {FLOAT}") for student in STUDENTS],
    "large": [(row, LARGE) for row in (*PLAIN, *SOFT)],
    "int8": [(row, row.removesuffix("-int8")) for row in LABELS if row.endswith(INT8)],
}


def row_of(about: Mapping[str, Any]) -> str | None:
    """None of a run in torch, whose artefacts are rows."""
    shipped = about["options"].get("shipped")
    return shipped and f"{about['networks']['student']['name']} {about['recipe']} {shipped}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """Parts of a row's name, what artefacts cost, parity and int8, and what was trained."""
    costs = {row: [run.read(run.cost) for run in c.runs] for row, c in found.rows.items()}
    every = find_runs(found.rows[LARGE].runs[0].folder.parent)
    pairs = QUESTIONS["int8"]
    return {
        "parts": lambda row: [
            of[part] for of, part in zip((NETWORKS, WAYS, NUMBERS), row.split(), strict=True)
        ],
        "cost": lambda row: [words.number(found.rows[row].cost[n] / unit, d) for n, unit, d in COSTS],
        "floats": [row for row in LABELS if row.endswith(FLOAT)],
        "parities": [cost["parity"] for of_row in costs.values() for cost in of_row],
        "quantised": {row: [cost["quantisation"] for cost in costs[row]] for row, _ in pairs},
        "int8_changes": [abs(found.less("int8", row).difference.mean) for row, _ in pairs],
        "int8_sizes": [found.times(b, a, "bytes_on_disk") for a, b in pairs],
        "int8_times": [found.times(b, a, "seconds_per_case") for a, b in pairs],
        "trained": budget_of(run for run in every if "shipped" not in run.read(run.experiment)["options"]),
    }
