"""Slabs by thickness, stride, part, wiring and view, their vote, and the 3D rivals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from distilseg.report import words
from distilseg.runs import Run, find_runs

from ..rows import Evidence
from ..rows import read as read_rows

THICKNESSES = (1, 3, 6, 9, 12, 15)
THICKNESS = 12  # of all rows that do not vary it, as in the paper's ablations
STRIDES = (3, 6, 12)  # slices from one window to the next, beside 1 of all other rows
VIEWS = ("axial", "coronal", "sagittal")
# DynUNets: filters, and what part of the steps. A step holds as many voxels as one of the thickened networks.
# An axial test case costs 3.8 GMAC at thickness 12, all views 13.3; DynUNets of these widths 3.8 and 13.0.
# Seconds of a step, one thread: axial 0.046, all views 0.160; these DynUNets 0.156 and 0.284.
NARROW, WIDE = [7, 14, 28, 56, 112], [13, 26, 52, 104, 208]
RIVALS = {"dynunet_steps": (NARROW, 1.0), "dynunet_time": (NARROW, 0.30), "dynunet_fused": (WIDE, 0.56)}

SSA = f"k{THICKNESS}"  # slice-sensitive attention on axial slabs: the row that most others are compared with
SWEEP = tuple(f"k{thickness}" for thickness in THICKNESSES)
VIEW_ROWS = (SSA, *VIEWS[1:])
IN_README = ("k1", "plain", "esm", *VIEW_ROWS, "fused", *RIVALS)
STRIDED = tuple(f"stride{stride}" for stride in STRIDES)
LABELS = {
    **{f"k{k}": f"axial, {k} slice{'s' * (k > 1)}" for k in THICKNESSES},
    **{f"groupk{k}": f"axial, {k} slices, queries of each group" for k in THICKNESSES[1:]},
    **{f"group{view}": f"{view}, {THICKNESS} slices, queries of each group" for view in VIEWS[1:]},
    **{f"stride{s}": f"axial, {THICKNESS} slices, windows {s} apart" for s in STRIDES},
    "plain": f"axial, {THICKNESS} slices as channels",
    "esm": "axial, multiplexing alone",
    "concat": "axial, multiplexing and concatenation",
    "dot": "axial, multiplexing and product",
    **{view: f"{view}, {THICKNESS} slices" for view in VIEWS[1:]},
    "fused": "three views, by vote",
    "dynunet_steps": "3D DynUNet: cost of a view, as many steps",
    "dynunet_time": "3D DynUNet: cost of a view, time of a view",
    "dynunet_fused": "3D DynUNet: cost and time of three views",
}
QUESTIONS = {
    "thickness": [(row, "k1") for row in SWEEP[1:]],
    "wiring": [(row, f"group{row}") for row in (*SWEEP[1:], *VIEWS[1:])],
    "strides": [(row, SSA) for row in STRIDED],
    "parts": [("esm", "plain"), (SSA, "esm"), (SSA, "plain"), (SSA, "concat"), (SSA, "dot")],
    "views": [("fused", view) for view in VIEW_ROWS],
    "3D": [(SSA, "dynunet_steps"), (SSA, "dynunet_time"), ("fused", "dynunet_fused")],
}
# Dice of the superior mesenteric artery in percent, three views fused.
PAPER_SWEEP = {3: 72.61, 6: 73.21, 9: 74.05, 12: 74.17, 15: 74.55, 18: 73.61, 21: 74.17, 24: 73.78}
PAPER_PARTS = {"plain": 71.07, "esm": 73.63, "concat": 73.07, "dot": 73.74, SSA: 74.17}


def steps_of(runs: Iterable[Run]) -> int:
    """Of most rows, however long the study was."""
    return max(int(run.read(run.experiment)["budget"]["steps"]) for run in runs)


def row_of(about: Mapping[str, Any], steps: int) -> str:
    recipe, options = str(about["recipe"]), about["options"]
    if "fusion" in about:
        return "fused"
    if recipe == "supervised":
        if options["network_options"]["filters"] == WIDE:
            return "dynunet_fused"
        return "dynunet_steps" if about["budget"]["steps"] == steps else "dynunet_time"
    if recipe != "thickened":
        return recipe.removeprefix("thickened_")
    if (stride := about["inferer"]["stride"]) > 1:
        return f"stride{stride}"
    asks = about["networks"]["student"]["options"].get("query", "group")
    single = options["thickness"] == 1  # of single slices the one group asks
    slab = f"k{options['thickness']}" if options["view"] == "axial" else str(options["view"])
    return f"group{slab}" if asks == "group" and not single else slab


def read(results: Path) -> Evidence:
    steps = steps_of(find_runs(results))
    metrics = ("dice", "hd95", "slice_similarity")
    return read_rows(results, partial(row_of, steps=steps), LABELS, QUESTIONS, metrics=metrics)


def names(found: Evidence) -> dict[str, Any]:
    """The paper's numbers, the rows that were trained, the work of a case, values that means leave out."""
    metrics = [metric.name for metric in found.comparison.metrics]
    return {
        "paper": {f"k{k}": dice for k, dice in PAPER_SWEEP.items() if k in THICKNESSES} | PAPER_PARTS,
        "trained": [
            row for row in LABELS if row != "fused" and row not in STRIDED
        ],  # the others share weights
        "per_case": lambda row: words.giga(found.rows[row].cost["multiply_accumulates_per_case"]),
        "undefined": sum(found.score(row, metric).excluded for row in LABELS for metric in metrics),
    }
