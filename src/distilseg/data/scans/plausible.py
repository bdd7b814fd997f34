"""Which grids can be a scan of a body: the one answer for readers, `check`, resampling and metrics alike.

Lengths, volumes and distances are computed from the spacing of a grid whose axes stand upright on each other.
That is right only where

    the affine is finite and has an inverse
    a voxel is 0.1 µm to 10 cm long along every axis of more than one voxel
    the lengths that a file states beside its affine agree with it: NIfTI's pixdim (which goes with the qform)
        with the sform, ElementSpacing with direction cosines that are unit vectors
    no two axes lean towards each other, as a gantry tilt makes them do (`functional.upright`)

Anything else is refused where a scan is read for training, prediction or evaluation, and told by `check`:
which of two statements is true, only the scan's makers know. Two folders of label maps are compared where
axes lean, too: overlap needs no lengths, and the volume of a voxel is the determinant.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...functional.upright import leans
from .scan import Geometry, UnreadableImage, numbers

SPACING_MM = (1e-4, 100.0)  # least and greatest
SAME = 0.01  # two statements of one length differ by less, as a share of it: headers are rounded
_TRUE_SIZE = "write the true voxel size into the header"


def implausible(geometry: Geometry, path: Path, *, sheared: bool = False) -> UnreadableImage | None:
    """Why the grid of the file at `path` cannot be that of a body; None where it can.

    `sheared`: whether its axes may lean, where no lengths are taken from it.
    """
    affine, spacing_mm = geometry.affine, geometry.spacing_mm
    if not np.isfinite(affine).all():
        return UnreadableImage("geometry", f"the affine of {path} holds NaN or infinite numbers", _TRUE_SIZE)
    # Across a single slice nothing is measured but volumes: how thick it is may be anything.
    least, most = SPACING_MM
    measured = [mm for mm, n in zip(spacing_mm, geometry.shape, strict=True) if n > 1]
    if min(spacing_mm) <= 0 or any(not least <= mm <= most for mm in measured):
        return UnreadableImage(
            "spacing",
            f"{path} has the spacing {numbers(spacing_mm)} mm, {least:g} to {most:g} mm were expected",
            _TRUE_SIZE,
        )
    stated_mm = geometry.stated_mm
    if any(not 0 < mm < np.inf for mm in stated_mm):
        return UnreadableImage(
            "spacing", f"{path} has the voxel size (pixdim) {numbers(stated_mm)}", _TRUE_SIZE
        )
    if geometry.voxel_mm3 < 1e-6 * np.prod(spacing_mm):
        return UnreadableImage("geometry", f"two axes of {path} point the same way", "correct its affine")
    if not sheared and leans(spacing_mm, geometry.voxel_mm3):
        return UnreadableImage(
            "geometry",
            f"the affine of {path} is sheared: its axes lean up to {_lean_degrees(geometry):.1f} degrees"
            " towards each other (a gantry tilt?), so that distances in mm are wrong",
            "resample it to a grid with right angles, its label map too",
        )
    # Where axes lean, a voxel is as long as its edge or as high as its layer: headers state either.
    layers_mm = 1 / np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    axes = len(stated_mm)
    edge, layer = (np.isclose(stated_mm, mm[:axes], rtol=SAME, atol=0) for mm in (spacing_mm, layers_mm))
    if not (edge | layer).all():
        return UnreadableImage(
            "spacing",
            f"{path} states two voxel sizes: {numbers(stated_mm)} mm as spacing (pixdim, ElementSpacing)"
            f" and {numbers(spacing_mm[:axes])} mm by its affine (sform, direction cosines)",
            "find out which is true and correct the other",
        )
    return None


def check_plausible(geometry: Geometry, path: Path, *, sheared: bool = False) -> None:
    """Raises `UnreadableImage` for a grid that cannot be that of a body."""
    refusal = implausible(geometry, path, sheared=sheared)
    if refusal is not None:
        raise refusal


def _lean_degrees(geometry: Geometry) -> float:
    """The most by which the angle between two axes differs from a right one."""
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing_mm)
    cosines = np.abs((directions.T @ directions)[np.triu_indices(3, 1)])
    return float(np.degrees(np.arcsin(min(cosines.max(), 1.0))))
