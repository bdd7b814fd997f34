"""Slabs by part and view, single slices, the vote of three views, and 3D of equal training time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..jobs import ROOT
from ..rows import Evidence
from ..rows import read as read_rows
from ..training_defaults import rows as training_defaults
from ..training_defaults.changes import CHOSEN

SSA = "axial"
VIEW_ROWS = (SSA, "coronal", "sagittal")
LABELS = {
    "single": "single axial slices",
    "plain": "axial slabs, slices as channels",
    "esm": "axial slabs, multiplexing alone",
    SSA: "axial slabs, the full method",
    "coronal": "coronal slabs, the full method",
    "sagittal": "sagittal slabs, the full method",
    "fused": "three views, by vote",
    "volume": "3D DynUNet, time of a view",
    "volumes": "3D DynUNet, time of three views",
}
QUESTIONS = {
    "slabs": [(SSA, "single"), ("esm", "plain"), (SSA, "esm"), ("fused", SSA)],
    "3D": [(SSA, "volume"), ("esm", "volume"), ("fused", "volumes")],
}


def row_of(about: Mapping[str, Any]) -> str:
    recipe, options = str(about["recipe"]), about["options"]
    if "fusion" in about:
        return "fused"
    if recipe == "supervised":
        return "volume" if about["budget"]["steps"] < 1000 else "volumes"
    if recipe != "thickened":
        return recipe.removeprefix("thickened_")
    return "single" if options["thickness"] == 1 else str(options["view"])


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELS, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """The evidence itself, whose tables stand on the page, and a 3D student of the time of a view."""
    confirmed = training_defaults.read(ROOT / "results" / "training-defaults").confirmed["headneck"]
    return {"found": found, "student_small": confirmed.score(CHOSEN).mean}
