"""Regions painted over one another, as one expression in a bundle's postprocessing; it is read, never run.

    $lambda regions: torch.where(regions[1:2] > 0.5, 3, torch.where(regions[0:1] > 0.5, 1, 0))

paints region 0 with the value 1, and over it region 1 with 3. MONAI has no transform for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_REGION = re.compile(r"torch\.where\(regions\[(\d+):(\d+)\] > 0\.5, (\d+), ")
_WHOLE = re.compile(rf"\$lambda regions: ((?:{_REGION.pattern})+)0(\)+)")


def painting(values: Sequence[int]) -> str:
    """The expression that paints region k of probabilities [K *S] with `values[k]`, later over earlier."""
    parts = [f"torch.where(regions[{k}:{k + 1}] > 0.5, {value}, " for k, value in enumerate(values)]
    return f"$lambda regions: {''.join(reversed(parts))}0{')' * len(parts)}"


def painted_values(expression: object) -> tuple[int, ...] | None:
    """The values in such an expression; None where it is another one."""
    if not isinstance(expression, str) or not _WHOLE.fullmatch(expression):
        return None
    values = tuple(int(found[3]) for found in reversed(list(_REGION.finditer(expression))))
    return values if expression == painting(values) else None
