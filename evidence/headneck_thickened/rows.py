"""Slabs beside 3D, and what a 3D student reaches in the time of a view."""

from __future__ import annotations

from typing import Any

from ..jobs import ROOT
from ..rows import Evidence
from ..slabs import LABELS, QUESTIONS
from ..training_defaults import rows as training_defaults
from ..training_defaults.changes import CHOSEN
from .jobs import SLABS

__all__ = ["LABELS", "QUESTIONS", "names", "read"]

read = SLABS.read


def names(found: Evidence) -> dict[str, Any]:
    """The evidence itself, whose tables stand on the page, and a 3D student of the time of a view."""
    confirmed = training_defaults.read(ROOT / "results" / "training-defaults").confirmed["headneck"]
    return {"found": found, "student_small": confirmed.score(CHOSEN).mean}
