"""What each way of training gains over the plain one; and DSD case by case."""

from __future__ import annotations

from distilseg.report.figures import paired_differences

from ..figures import gains
from ..rows import Evidence


def draw(found: Evidence) -> dict[str, str]:
    dsd = found.rows["dynunet-8 dsd"].name
    return {"-gains": gains(found, "control"), "": paired_differences(found.comparison, dsd)}
