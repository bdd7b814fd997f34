"""What a plan's classes are in SNOMED CT, told by a file that somebody looked through."""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from ..scans.dicom.codes import read_codes, suggest
from .plan import Plan


def with_codes(plan: Plan, codes: Path) -> Plan:
    """The plan with the codes of a file, as of `scans/dicom/codes.py`, in place of its own.

    Where there is none yet it is written, with the plan's codes and suggestions for other classes, and
    `UserError` asks to look through it.
    """
    names = list(plan.classes[1:])
    if codes.exists():
        return plan.model_copy(update={"codes": read_codes(codes, names)})
    count = suggest(codes, names, plan.codes)
    raise UserError(
        f"{codes} was written: it suggests codes for {count} of {len(names)} classes",
        "look through it, and run this again",
    )
