"""Dice against parameters."""

from __future__ import annotations

from distilseg.report.bubbles import bubbles

from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    names = {contender.name: found.labels[row] for row, contender in found.rows.items()}
    return {"-bubbles": bubbles(found.comparison, names)}
