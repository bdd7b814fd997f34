"""What voxels and classes must be to be learned from: the one list, for `check` and training alike.

    voxels     finite, and not beyond a quarter of what 32-bit floats hold: networks see nothing
               wider, and scaling takes differences
    classes    the background and at least one structure; at most 255 in all, since a class index is one byte
               and 255 is UNKNOWN

`plausible.py` has the rules for grids, `limits.py` those for sizes. `check` asks about every file whole;
training about the part of a scan that it uses, when it uses it, and about classes when it plans.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...types import UNKNOWN

MOST = float(np.finfo(np.float32).max) / 4
MOST_CLASSES = UNKNOWN
_TOLD = {
    "non_finite": "that are NaN or infinite",
    "beyond_float": f"beyond ±{MOST:.2g}, which is all that 32-bit floats can be scaled from",
}


def unlearnable(array: NDArray[Any], what: str) -> tuple[str, UserError] | None:
    """Why voxels cannot be learned from, with the kind of problem that `check` calls it; None where they can.

    `what` names the file, or the modality of a case.
    """
    if array.dtype.kind != "f":
        return None
    with np.errstate(invalid="ignore"):
        low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(array.size - np.isfinite(array).sum())
        return "non_finite", UserError(
            f"{what} has {bad} NaN or infinite {voxels(bad)} of {array.size}",
            "fill them, with the value of air for instance",
        )
    if max(-low, high) > MOST:
        bad = int(np.count_nonzero(np.abs(array) > MOST))
        return "beyond_float", UserError(
            f"{what} has {bad} {voxels(bad)} {_TOLD['beyond_float']} (up to {max(-low, high):.3g})",
            "does it mean no value, or is the header's scaling wrong? fill them, or scale the scan",
        )
    return None


def check_learnable(array: NDArray[Any], what: str) -> None:
    """Raises `UserError` for voxels that cannot be learned from."""
    found = unlearnable(array, what)
    if found is not None:
        kind, _ = found
        raise UserError(
            f"{what} holds voxels {_TOLD[kind]}", "`distilseg check` shows where; repair the scan"
        )


def check_classes(values: Collection[int]) -> None:
    """Raises `UserError` for label values, the background's among them, that are too few or too many."""
    if 0 not in values or len(values) < 2:
        raise UserError(
            f"the labels {', '.join(map(str, sorted(values)))} need the background 0 and a structure",
            "name both",
        )
    if len(values) > MOST_CLASSES:
        raise UserError(
            f"{len(values)} classes are named, at most {MOST_CLASSES} fit, the background among them",
            "leave some out, or give several the same value",
        )


def voxels(count: int) -> str:
    """The noun for a count."""
    return "voxel" if count == 1 else "voxels"
