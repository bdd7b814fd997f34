"""The rows of the thickened evidence: which run is which, what it is compared with, and paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evidence_rows import Evidence
from evidence_thickened import STRIDES, THICKNESS, THICKNESSES, row_of

from distilseg.report import compare_runs
from distilseg.report.contenders import METRICS
from distilseg.runs import find_runs

SHOWN = ("dice", "hd95", "slice_similarity")
SLICES = METRICS["slice_similarity"]
SSA = f"k{THICKNESS}"
SWEEP = tuple(f"k{thickness}" for thickness in THICKNESSES)
VIEWS = (SSA, "coronal", "sagittal")
STRIDED = tuple(f"stride{stride}" for stride in STRIDES)
RIVALS = ("dynunet_steps", "dynunet_time", "dynunet_fused")
LABELS = {
    **{f"k{k}": f"axial, {k} slice{'s' * (k > 1)}" for k in THICKNESSES},
    **{f"groupk{k}": f"axial, {k} slices, queries of each group" for k in THICKNESSES[1:]},
    "groupcoronal": f"coronal, {THICKNESS} slices, queries of each group",
    "groupsagittal": f"sagittal, {THICKNESS} slices, queries of each group",
    **{f"stride{s}": f"axial, {THICKNESS} slices, windows {s} apart" for s in STRIDES},
    "plain": f"axial, {THICKNESS} slices as channels",
    "esm": "axial, multiplexing alone",
    "concat": "axial, multiplexing and concatenation",
    "dot": "axial, multiplexing and product",
    "coronal": f"coronal, {THICKNESS} slices",
    "sagittal": f"sagittal, {THICKNESS} slices",
    "fused": "three views, by vote",
    "dynunet_steps": "3D DynUNet: cost of a view, as many steps",
    "dynunet_time": "3D DynUNet: cost of a view, time of a view",
    "dynunet_fused": "3D DynUNet: cost and time of three views",
}
# Question -> the pairs that it asks about, first less second; p is corrected within a question.
QUESTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "thickness": tuple((row, "k1") for row in SWEEP[1:]),
    "wiring": tuple((row, f"group{row}") for row in (*SWEEP[1:], *VIEWS[1:])),
    "strides": tuple((row, SSA) for row in STRIDED),
    "parts": (("esm", "plain"), (SSA, "esm"), (SSA, "plain"), (SSA, "concat"), (SSA, "dot")),
    "views": tuple(("fused", view) for view in VIEWS),
    "3D": ((SSA, "dynunet_steps"), (SSA, "dynunet_time"), ("fused", "dynunet_fused")),
}
# Dice of the superior mesenteric artery in percent, three views fused.
PAPER_SWEEP = {3: 72.61, 6: 73.21, 9: 74.05, 12: 74.17, 15: 74.55, 18: 73.61, 21: 74.17, 24: 73.78}
PAPER_PARTS = {"plain": 71.07, "esm": 73.63, "concat": 73.07, "dot": 73.74, SSA: 74.17}


def read(results: Path) -> Evidence | None:
    """None where fewer than two rows are there."""
    runs = find_runs(results)
    steps = max((int(run.read(run.experiment)["budget"]["steps"]) for run in runs), default=0)
    of_run = {run: row_of(run.read(run.experiment), steps) for run in runs}
    if len(set(of_run.values())) < 2:
        return None
    order: Sequence[str] = list(LABELS)
    runs = sorted(runs, key=lambda run: (order.index(of_run[run]), run.read(run.experiment)["seed"]))
    comparison = compare_runs(runs, metrics=SHOWN)
    rows = {of_run[contender.runs[0]]: contender for contender in comparison.contenders}
    if len(rows) < len(comparison.contenders):
        raise SystemExit(
            "some rows hold runs of several kinds: " + ", ".join(c.name for c in comparison.contenders)
        )
    return Evidence(comparison, rows, QUESTIONS)


def waiting(found: Evidence) -> list[str]:
    """Labels of rows that are not there, or of which a seed is not."""
    return [
        label
        for row, label in LABELS.items()
        if row not in found.rows
        or (len(found.rows[row].seeds) < len(found.seeds) and not row.startswith("group"))
    ]
