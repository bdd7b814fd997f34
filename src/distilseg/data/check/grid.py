"""Whether a file lies on a usable grid, and on the same one as the case's first image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..scans.plausible import implausible
from ..scans.scan import NIFTI_ENDINGS, Geometry, Scan, ending, numbers
from .report import Findings

EXACT_MM = 1e-6  # grids that differ by less are called equal


@dataclass(frozen=True)
class Placed:
    """A grid and the file that has it."""

    geometry: Geometry
    path: Path


def check_grid(scan: Scan, found: Findings) -> bool:
    """Whether the grid can be compared; reports why not."""
    geometry, path = scan.geometry, scan.path
    refusal = implausible(geometry, path)
    if refusal is not None:
        found.add(refusal.kind, refusal.cause, refusal.fix, path)
        return False
    found.grids += 1
    if min(geometry.shape) == 1:
        found.single.append((path, geometry.shape))
    return True


def compare_grids(scan: Scan, reference: Placed, what: str, tolerance_mm: float, found: Findings) -> None:
    """Reports where `scan` lies off the case's reference image."""
    path = scan.path
    expected, came = reference.geometry, scan.geometry
    if came.shape != expected.shape:
        found.add(
            "shape",
            f"the {what} {path} has the shape {list(came.shape)},"
            f" {reference.path.name} has {list(expected.shape)}",
            "resample it onto the image's grid",
            path,
        )
        return
    off_mm = displacement_mm(came, expected)
    if off_mm > tolerance_mm:
        named = _difference(came, expected)
        found.add(
            "affine",
            f"the {what} {path} lies {off_mm:.3g} mm off {reference.path.name}"
            f" (tolerance {tolerance_mm:g} mm){named}",
            "if they were drawn on each other, copy the image's geometry to it; otherwise resample it",
            path,
        )
    elif off_mm > EXACT_MM:
        exact = _is_nifti(reference.path) or not _is_nifti(path)  # NIfTI-1 rounds to 32 bits
        found.add(
            "affine",
            f"the {what} {path} lies {off_mm:.2g} mm off {reference.path.name}, within the tolerance",
            "harmless; `--fix` gives it the image's affine" if exact else "harmless",
            path,
            severity="warning",
            fixable=exact,
        )


def displacement_mm(a: Geometry, b: Geometry) -> float:
    """How far apart, at most, the two grids put one voxel: the largest distance over the grid's corners."""
    corners = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in a.shape), [1.0], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm(((a.affine - b.affine) @ corners)[:3], axis=0).max())


def _difference(a: Geometry, b: Geometry) -> str:
    """The part of the geometry that differs most plainly, in words."""
    if not np.allclose(a.spacing_mm, b.spacing_mm, rtol=1e-3):
        return f": spacing {numbers(a.spacing_mm)} instead of {numbers(b.spacing_mm)} mm"
    if a.orientation != b.orientation:
        return f": orientation {a.orientation} instead of {b.orientation}"
    return ""


def _is_nifti(path: Path) -> bool:
    return ending(path).lower() in NIFTI_ENDINGS
