"""What each DICOM file in a folder says about its planes, and their pixels: asked of `process.py`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ....errors import UserError
from ..apart import ReaderFailed, asked_apart
from .looking import walked
from .plane import Plane, Unplaced, planes_in, series_of

PROCESS = "distilseg.data.scans.dicom.process"
_DIRECTORY = "DICOMDIR"


@dataclass
class Files:
    """What lies in a folder."""

    planes: list[Plane] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)  # DICOM whose header cannot be read, and why
    others: dict[Path, str] = field(default_factory=dict)  # no scans: what they are, "" where no DICOM


def read_headers(path: Path) -> Files:
    """All planes in the folder, or the file, at `path`. Raises `UserError` where pydicom is not installed."""
    check_installed()
    found = Files()
    for file in walked(path):
        try:
            said, _ = asked_apart(PROCESS, {"path": str(file.absolute())}, size=_size(file))
        except ReaderFailed as error:
            found.broken[file] = str(error)
            continue
        if "error" in said:
            found.broken[file] = said["error"]
        elif "kind" in said:
            if said["kind"] != _DIRECTORY:
                found.others[file] = said["kind"]
        elif "unplaced" in said:
            found.unplaced.append(Unplaced(file, series_of(said), said["unplaced"]))
        else:
            found.planes += planes_in(file, said)
    return found


def read_pixels(plane: Plane) -> np.ndarray:
    """The stored pixels of all frames of the plane's file, [frames rows columns]; raises `ReaderFailed`."""
    asked = {"path": str(plane.path.absolute()), "instance": plane.instance, "pixels_too": True}
    said, array = asked_apart(PROCESS, asked, size=_size(plane.path))
    if array is None or plane.frame >= len(array) or array.shape[1:] != (plane.rows, plane.columns):
        raise ReaderFailed(said.get("error", "its pixels are not what its header said"))
    return array


def stamps(path: Path) -> tuple[object, ...]:
    """What changes where a file in the folder at `path` comes, goes or is written again."""
    found = []
    for file in walked(path):
        with suppress(OSError):
            told = file.stat()
            found.append((str(file), told.st_size, told.st_mtime_ns, told.st_ino))
    return tuple(found)


def check_installed() -> None:
    """Raises `UserError` where DICOM cannot be read."""
    if find_spec("pydicom") is None:
        raise UserError("DICOM needs pydicom, which is not installed", "pip install 'distilseg[dicom]'")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
