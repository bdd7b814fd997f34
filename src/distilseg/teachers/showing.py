"""Scans by modality, in the order that a teacher is shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..data.preparing.preprocess import same_grid
from ..data.scans.scan import Scan
from ..errors import UserError


def in_order(scans: Mapping[str, Scan], modalities: Sequence[str], *, case: str) -> list[Scan]:
    """The scans of `modalities`; of a single one the name does not matter.

    Raises `UserError`, naming the case, where one is missing, or they do not share one grid of three axes.
    """
    if len(modalities) == len(scans) == 1:
        scans = {modalities[0]: next(iter(scans.values()))}
    if missing := [name for name in modalities if name not in scans]:
        raise UserError(
            f"case {case}: modality {', '.join(missing)} is missing; it has {', '.join(scans) or 'none'}",
            f"the teacher needs {', '.join(modalities)}",
        )
    shown = {name: scans[name] for name in modalities}
    same_grid(shown, case)
    first = next(iter(shown.values()))
    if len(first.geometry.shape) != 3 or 0 in first.geometry.shape:
        raise UserError(
            f"case {case}: {first.path.name} has shape {first.geometry.shape}",
            "a scan needs three axes of voxels",
        )
    return list(shown.values())


def any_scan(scans: Mapping[str, Scan], *, case: str) -> Scan:
    """One of the scans of a case, for its grid."""
    if not scans:
        raise UserError(f"case {case} has no scan", "a teacher's answer needs the grid of one")
    return next(iter(scans.values()))
