"""A stack of planes as a grid, or why it is none. Nothing is guessed: a grid is exact, or refused.

    p_k     position of plane k, in the order along the normal n       v = (p_K-1 - p_0) / (K - 1)
    grid    A = [Δcolumn · row, Δrow · column, v, p_0]            |p_k - (p_0 + k v)| ≤ 5 % of a voxel's edge

Positions alone say where a plane lies; SliceThickness and the like are not asked. Where v leans against n, as
a gantry tilt makes it, the grid is exact and sheared: `lean_degrees`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....functional.upright import leans
from ..scan import Geometry
from .plane import Plane, SeriesName

OFF = 0.05  # how far a plane may lie from its place, as a share of a voxel's edge: positions are rounded
SAME_PLACE = 0.01  # of the distance of two planes, in pixels: nearer, they lie at one place
_UNIT = 1e-3  # what a direction's length, or the angle between two, may lack
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class NoStack(Exception):
    """Why planes are no volume, and what would be right."""

    def __init__(self, cause: str, fix: str = "export the series again, whole") -> None:
        super().__init__(cause)
        self.cause, self.fix = cause, fix


def key_of(series: SeriesName, part: str) -> str:
    """A name for a part of a series that tells nothing: a digest."""
    return sha256(f"{series.uid}\n{part}".encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Volume:
    """Planes in order along the normal, and their grid."""

    planes: tuple[Plane, ...]
    geometry: Geometry  # exact; its axes may lean
    part: str = ""  # which of several volumes of the series: "echo=4.6"
    notes: tuple[str, ...] = field(default=())  # what was left out, or looks as if it were missing

    @property
    def series(self) -> SeriesName:
        """Of all its planes."""
        return self.planes[0].series

    @property
    def files(self) -> tuple[Path, ...]:
        """Of its planes, in their order."""
        return tuple(dict.fromkeys(plane.path for plane in self.planes))

    @property
    def key(self) -> str:
        """A name that tells nothing: a digest of the series and the part of it."""
        return key_of(self.series, self.part)

    @property
    def lean_degrees(self) -> float:
        """How far the stack leans against the normal; 0 where that is no more than rounding."""
        if not leans(self.geometry.spacing_mm, self.geometry.voxel_mm3):
            return 0.0
        along = self.geometry.affine[:3, 2] / np.linalg.norm(self.geometry.affine[:3, 2])
        normal = self.planes[0].normal * (-1, -1, 1)
        return float(np.degrees(np.arccos(min(1.0, abs(float(along @ normal))))))

    def told(self) -> str:
        """For the one who has to choose."""
        size = " x ".join(map(str, self.geometry.shape))
        mm = " x ".join(f"{length:g}" for length in np.round(self.geometry.spacing_mm, 3))
        part = f" {self.part}" if self.part else ""
        return f"{self.series.told()}{part} ({size} voxels, {mm} mm)"


def along_normal(planes: Sequence[Plane]) -> tuple[list[Plane], NDArray[np.float64]]:
    """The planes in order along the normal of the first, and how far along it each lies in mm."""
    normal = planes[0].normal
    heights = np.array([float(np.dot(plane.position_mm, normal)) for plane in planes])
    order = np.argsort(heights, kind="stable")
    return [planes[k] for k in order], heights[order]


def upright_directions(plane: Plane) -> bool:
    """Whether the directions along rows and columns are unit vectors at a right angle."""
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    return max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column))) < _UNIT


def stacked(planes: Sequence[Plane], part: str = "", notes: Sequence[str] = ()) -> Volume:
    """The volume of planes that share size, spacing and orientation, each at a place of its own.

    Raises `NoStack` for fewer than two, for planes that cannot be read, and where no grid goes through all.
    """
    ordered, heights = along_normal(planes)
    first = ordered[0]
    if broken := next((plane for plane in ordered if plane.broken), None):
        raise NoStack(f"{broken.path.name}: {broken.broken}", "copy it again, or convert the series to NIfTI")
    if not upright_directions(first):
        raise NoStack("its directions of rows and columns stand at no right angle", "correct its headers")
    if min(first.spacing_mm) <= 0 or min(first.rows, first.columns) < 1:
        raise NoStack(f"it has pixels of {first.spacing_mm[0]:g} x {first.spacing_mm[1]:g} mm")
    if len(ordered) < 2:
        raise NoStack("it is a single image, no volume", "give the folder with all files of a series")
    _check_even(heights)
    positions = np.array([plane.position_mm for plane in ordered])
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    off = positions - (positions[0] + np.arange(len(ordered))[:, np.newaxis] * step)
    if np.linalg.norm(off, axis=1).max() > OFF * min(*first.spacing_mm, float(np.linalg.norm(step))):
        k = int(np.linalg.norm(off, axis=1).argmax())
        raise NoStack(
            f"its planes do not lie on one line: that at {heights[k]:.2f} mm along the normal is"
            f" {np.linalg.norm(off[k]):.2f} mm beside its place"
        )
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    affine = np.eye(4)
    affine[:3, 0] = row / np.linalg.norm(row) * first.spacing_mm[1]
    affine[:3, 1] = column / np.linalg.norm(column) * first.spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    shape = (first.columns, first.rows, len(ordered))
    return Volume(tuple(ordered), Geometry(shape, LPS_TO_RAS @ affine), part, tuple(notes))


def _check_even(heights: NDArray[np.float64]) -> None:
    """Raises `NoStack` unless planes follow each other at one distance."""
    steps = np.diff(heights)
    step = float(np.median(steps))
    wrong = np.flatnonzero(np.abs(steps - step) > 2 * OFF * step)
    if not wrong.size:
        return
    k = int(wrong[0])
    between = f"between {heights[k]:.2f} and {heights[k + 1]:.2f} mm along the normal"
    missing = steps[k] / step - 1
    if missing > 0.5 and abs(missing - round(missing)) < 2 * OFF:
        plural = "slice is" if round(missing) == 1 else "slices are"
        others = f" ({len(wrong) - 1} more such gaps)" if len(wrong) > 1 else ""
        raise NoStack(f"{round(missing)} {plural} missing {between}, where {step:g} mm are usual{others}")
    raise NoStack(
        f"its slices lie at uneven distances: {steps[k]:.2f} mm {between}, where {step:.2f} mm are usual",
        "export it with even slices, or resample it",
    )
