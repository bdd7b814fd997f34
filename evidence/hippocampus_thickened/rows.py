"""Slabs beside 3D."""

from __future__ import annotations

from typing import Any

from ..rows import Evidence
from ..slabs import LABELS, QUESTIONS
from .jobs import SLABS

__all__ = ["LABELS", "QUESTIONS", "names", "read"]

read = SLABS.read


def names(found: Evidence) -> dict[str, Any]:
    """The evidence itself, whose tables stand on the page."""
    return {"found": found}
