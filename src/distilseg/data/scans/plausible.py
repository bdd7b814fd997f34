"""Which grids can be a scan of a body: the one answer for readers, `check`, resampling and metrics alike.

Lengths, volumes and distances are computed from the spacing of a grid whose axes stand upright on each other.
That is right only where

    the affine is finite and has an inverse
    a voxel is 0.1 µm to 10 cm long along every axis of more than one voxel
    the lengths that a file states beside its affine agree with it: NIfTI's pixdim (which goes with the qform)
        with the sform, ElementSpacing with direction cosines that are unit vectors
    no two axes lean towards each other: |cos| <= 0.01, half a degree, as a gantry tilt makes them do

Anything else is refused where a scan is read for training, prediction or evaluation, and told by `check`:
which of two statements is true, only the scan's makers know.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .scan import Geometry, UnreadableImage

SPACING_MM = (1e-4, 100.0)  # least and greatest
SAME = 0.01  # two statements of one length differ by less, as a share of it: headers are rounded
UPRIGHT = 0.01  # greatest cosine between two axes
_TRUE_SIZE = "write the true voxel size into the header"


def implausible(geometry: Geometry, path: Path) -> UnreadableImage | None:
    """Why the grid of the file at `path` cannot be that of a body; None where it can."""
    affine, spacing_mm = geometry.affine, geometry.spacing_mm
    if not np.isfinite(affine).all():
        return UnreadableImage("geometry", f"the affine of {path} holds NaN or infinite numbers", _TRUE_SIZE)
    # Across a single slice nothing is measured but volumes: how thick it is may be anything.
    least, most = SPACING_MM
    measured = [mm for mm, n in zip(spacing_mm, geometry.shape, strict=True) if n > 1]
    if min(spacing_mm) <= 0 or any(not least <= mm <= most for mm in measured):
        return UnreadableImage(
            "spacing",
            f"{path} has the spacing {_numbers(spacing_mm)} mm, {least:g} to {most:g} mm were expected",
            _TRUE_SIZE,
        )
    stated_mm = geometry.stated_mm
    if any(not 0 < mm < np.inf for mm in stated_mm):
        return UnreadableImage(
            "spacing", f"{path} has the voxel size (pixdim) {_numbers(stated_mm)}", _TRUE_SIZE
        )
    placed_mm = spacing_mm[: len(stated_mm)]
    if not np.allclose(stated_mm, placed_mm, rtol=SAME, atol=0):
        return UnreadableImage(
            "spacing",
            f"{path} states two voxel sizes: {_numbers(stated_mm)} mm as spacing (pixdim, ElementSpacing)"
            f" and {_numbers(placed_mm)} mm by its affine (sform, direction cosines)",
            "find out which is true and correct the other",
        )
    cosine = largest_cosine(geometry)
    if cosine > 1 - 1e-6:
        return UnreadableImage("geometry", f"two axes of {path} point the same way", "correct its affine")
    if cosine > UPRIGHT:
        return UnreadableImage(
            "geometry",
            f"the affine of {path} is sheared: two of its axes meet at {np.degrees(np.arccos(cosine)):.1f}"
            " degrees (a gantry tilt?), so that distances in mm are wrong",
            "resample it to a grid with right angles, its label map too",
        )
    if abs(np.linalg.det(affine[:3, :3])) < 1e-6 * np.prod(spacing_mm):
        return UnreadableImage("geometry", f"the axes of {path} lie in one plane", "correct its affine")
    return None


def check_plausible(geometry: Geometry, path: Path) -> None:
    """Raises `UnreadableImage` for a grid that cannot be that of a body."""
    refusal = implausible(geometry, path)
    if refusal is not None:
        raise refusal


def largest_cosine(geometry: Geometry) -> float:
    """Of the angle between two axes of the grid: 0 where they stand upright on each other."""
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing_mm)
    between = directions.T @ directions
    return float(np.abs(between[np.triu_indices(3, 1)]).max())


def _numbers(values: object) -> str:
    return ", ".join(f"{float(value):g}" for value in np.atleast_1d(np.asarray(values)))
