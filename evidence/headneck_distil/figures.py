"""What the answers gain, case by case."""

from __future__ import annotations

from distilseg.report.figures import paired_differences

from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    return {"": paired_differences(found.comparison, found.rows["distil"].name)}
