"""The rows of the students' evidence: a network, how it was trained, and the numbers it is shipped in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from evidence_rows import Evidence, Pair

from distilseg.report import compare_runs
from distilseg.runs import find_runs

METRICS = ("dice", "hd95", "nsd")
NETWORKS = {
    "dynunet": "DynUNet 32…320",
    "student_base": "base",
    "student_small": "small",
    "student_tiny": "tiny",
}
WAYS = {
    "supervised": "plain",
    "dsd_ds": "deep supervision",
    "teach_former_control": "focal, plain",
    "teach_former_pwd": "focal, soft labels of the DynUNet",
}
NUMBERS = {"openvino": "float", "openvino-int8": "int8"}
LARGE = "dynunet supervised openvino"
STUDENTS = tuple(name for name in NETWORKS if name != "dynunet")
CONTROLS = {"dsd_ds": "supervised", "teach_former_pwd": "teach_former_control"}


class Row(NamedTuple):
    """A line of the table."""

    network: str
    way: str
    numbers: str

    @property
    def key(self) -> str:
        return " ".join(self)

    @property
    def label(self) -> str:
        return f"{NETWORKS[self.network]}, {WAYS[self.way]}, {NUMBERS[self.numbers]}"


ROWS = tuple(
    Row(network, way, numbers)
    for network in NETWORKS
    for way in (WAYS if network != "dynunet" else ("supervised",))
    for numbers in NUMBERS
)
OF_KEY = {row.key: row for row in ROWS}


def _questions() -> Mapping[str, tuple[Pair, ...]]:
    """First less second; int8 is only compared with float, everything else in float."""
    float_, int8 = NUMBERS
    return {
        "taught": tuple(
            (Row(student, way, float_).key, Row(student, control, float_).key)
            for student in STUDENTS
            for way, control in CONTROLS.items()
        ),
        "large": tuple(
            (Row(student, way, float_).key, LARGE)
            for student in STUDENTS
            for way in ("supervised", *CONTROLS)
        ),
        "int8": tuple((row.key, row._replace(numbers=float_).key) for row in ROWS if row.numbers == int8),
    }


def row_of(about: Mapping[str, Any]) -> Row | None:
    """By experiment.json; None of a run in torch, whose artefacts are rows."""
    shipped = about["options"].get("shipped")
    return shipped and Row(about["networks"]["student"]["name"], about["recipe"], shipped)


def read(results: Path) -> Evidence | None:
    """None where nothing shipped is there."""
    of_run = {run: row for run in find_runs(results) if (row := row_of(run.read(run.experiment)))}
    if not of_run:
        return None
    runs = sorted(of_run, key=lambda run: (ROWS.index(of_run[run]), run.read(run.experiment)["seed"]))
    comparison = compare_runs(runs, metrics=METRICS)
    rows = {of_run[contender.runs[0]].key: contender for contender in comparison.contenders}
    if len(rows) < len(comparison.contenders):
        raise SystemExit("some rows hold runs of several kinds")
    return Evidence(comparison, rows, _questions())
