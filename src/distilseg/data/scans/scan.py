"""What every reader of scans shares: a grid's place in the patient, one scan on it, how files are named,
and how numbers are told.

Arrays have the voxel axes as stored, [I J K]; an affine maps voxel indices to RAS+ millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from .axes import axes_along

NIFTI_ENDINGS = (".nii.gz", ".nii")
ENDINGS = (*NIFTI_ENDINGS, ".nrrd", ".mha", ".mhd", ".png")


class UnreadableImage(UserError):
    """A file that cannot be used as a scan; `kind` says why in one word, for `distilseg check`."""

    def __init__(self, kind: str, cause: str, fix: str = "") -> None:
        super().__init__(cause, fix)
        self.kind = kind


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where a voxel grid lies in the patient."""

    shape: tuple[int, ...]  # voxels along I J K
    affine: np.ndarray  # [4 4] voxel index -> RAS+ mm
    stated_mm: tuple[float, ...] = ()  # the spacing as the file states it beside its affine, if it does

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, |det A|: also where its edges are not upright on each other."""
        return abs(float(np.linalg.det(self.affine[:3, :3])))

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between voxel centres along I J K."""
        return tuple(float(mm) for mm in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """Which way I J K run, such as "RAS" (towards right, anterior, superior) or "LPS"."""
        found = axes_along(self.affine)
        return "".join("?" if np.isnan(ras) else ("RAS" if to > 0 else "LPI")[int(ras)] for ras, to in found)


@dataclass(frozen=True, eq=False)
class Scan:
    """One modality, or one label map, as stored."""

    array: np.ndarray  # [I J K] in the stored type
    geometry: Geometry
    path: Path
    header: Any = field(default=None, repr=False)  # NIfTI: the header, whose codes a label map keeps
    origin: Any = field(default=None, repr=False)  # DICOM: its planes, see `dicom.reading.Origin`


@dataclass(frozen=True, eq=False)
class Stored:
    """All that one file holds: the array may be [I J] or, with several modalities, [I J K M]."""

    array: np.ndarray
    affine: np.ndarray  # [4 4] voxel index -> RAS+ mm
    header: Any = None
    stated_mm: tuple[float, ...] = ()  # as of `Geometry`
    origin: Any = None  # as of `Scan`


@dataclass(frozen=True, eq=False)
class Header:
    """What a file says it holds."""

    shape: tuple[int, ...]  # of the array as stored, components of a voxel last
    affine: np.ndarray  # [4 4] voxel index -> RAS+ mm
    value_bytes: int  # of one number
    stated_mm: tuple[float, ...] = ()  # as of `Geometry`

    @property
    def geometry(self) -> Geometry:
        """Of the first three axes; a slice is one voxel thick."""
        return Geometry((*self.shape, 1, 1)[:3], self.affine, self.stated_mm)


def stem(path: Path | str) -> str:
    """The file's name without its image ending: `case_1` for `somewhere/case_1.nii.gz`."""
    name = _name(path)
    return name[: len(name) - len(ending(name))]


def ending(path: Path | str) -> str:
    """The image ending of `path` as written, or "" if it has none of ours."""
    name = _name(path)
    lower = name.lower()
    return next((name[-len(known) :] for known in ENDINGS if lower.endswith(known)), "")


def _name(path: Path | str) -> str:
    """Of a path its last part; a name is one, and of a hundred thousand names no paths are made."""
    if isinstance(path, str):
        return Path(path).name if "/" in path or "\\" in path else path
    return path.name


def axis_order(orientation: str) -> tuple[int, ...]:
    """For each axis of `orientation`, such as "LPS" or "SAR", which of R A S (0, 1, 2) it runs along."""
    found = ["RASLPI".find(letter) for letter in orientation]
    order = tuple(index % 3 for index in found)
    if min(found, default=-1) < 0 or sorted(order) != [0, 1, 2]:
        raise UserError(
            f"orientation {orientation!r} names no three axes",
            "use one letter each of R/L, A/P, S/I, such as RAS",
        )
    return order


def numbers(values: object) -> str:
    """A list for a message."""
    return ", ".join(f"{float(value):g}" for value in np.atleast_1d(np.asarray(values)))
