"""A volume of a DICOM folder as a scan is read: behind `data/scans/reading.py`, like a file type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..limits import check_size
from ..scan import Header, Stored, UnreadableImage
from .series import found_again, found_in
from .stack import Volume
from .tilt import Tilt, tilt_of
from .voxels import VALUE_BYTES, voxels_of


@dataclass(frozen=True, eq=False)
class Origin:
    """The planes that a scan comes from, and how it was straightened, if it was."""

    volume: Volume
    tilt: Tilt | None = None


def read(path: Path, series: str = "", *, straight: bool = False) -> Stored:
    """The volume of key `series` in the folder at `path`, or the only one there is.

    A stack that leans is refused, unless `straight`: then it is resampled to a grid with right angles.
    """
    volume = _volume(path, series)
    degrees = volume.lean_degrees
    if degrees and not straight:
        raise UnreadableImage(
            "geometry",
            f"{path}: {volume.series.told()} has planes that lean by {degrees:.1f} degrees (a gantry tilt)",
            "predict with --dicom-tilt resample, or resample it to a grid with right angles",
        )
    check_size(path, _header(volume))
    array, geometry = voxels_of(volume, path), volume.geometry
    if not degrees:
        return Stored(array, geometry.affine, origin=Origin(volume))
    tilt = tilt_of(geometry)
    check_size(path, Header(tilt.straight.shape, tilt.straight.affine, VALUE_BYTES))
    return Stored(tilt.straightened(array), tilt.straight.affine, origin=Origin(volume, tilt))


def read_header(path: Path) -> Header:
    """Shape and grid of the only volume in the folder at `path`."""
    return _header(_volume(path, ""))


def files_of_volume(path: Path, series: str = "") -> tuple[Path, ...]:
    """The files of the volume of key `series`, or of the only one, at `path`, in the order of its planes."""
    return _volume(path, series).files


def _volume(path: Path, series: str) -> Volume:
    return (found_again(path, series) if series else found_in(path)).volume(series)


def _header(volume: Volume) -> Header:
    return Header(volume.geometry.shape, volume.geometry.affine, VALUE_BYTES)
