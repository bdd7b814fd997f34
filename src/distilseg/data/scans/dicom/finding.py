"""What each DICOM file in a folder says about its planes, and their pixels: asked of `process.py`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..apart import ReaderFailed, asked_apart
from ..scan import UnreadableImage
from .looking import walked
from .plane import Plane, Unplaced, planes_in, series_of
from .segments import Segmentation, segmentation_in

PROCESS = "distilseg.data.scans.dicom.process"
_DIRECTORY = "DICOMDIR"
_READERS, _ENOUGH = 4, 500  # processes that read headers, and so many files for each
_KEY = os.urandom(
    16
).hex()  # of digests of patients: they compare in this process, and mean nothing elsewhere


@dataclass
class Files:
    """What lies in a folder."""

    planes: list[Plane] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    broken: dict[Path, str] = field(default_factory=dict)  # DICOM whose header cannot be read, and why
    others: dict[Path, str] = field(default_factory=dict)  # no scans: what they are, "" where no DICOM
    segmentations: list[Segmentation] = field(default_factory=list)  # which are among the others


def read_headers(path: Path) -> Files:
    """All planes in the folder, or the file, at `path`. Raises `UserError` where pydicom is not installed."""
    check_installed()
    found, files = Files(), list(walked(path))
    with ThreadPoolExecutor(min(_READERS, 1 + len(files) // _ENOUGH)) as pool:
        all_said = list(pool.map(_said, files))
    for file, said in zip(files, all_said, strict=True):
        if "error" in said:
            found.broken[file] = said["error"]
        elif "kind" in said:
            if said["kind"] != _DIRECTORY:
                found.others[file] = said["kind"]
            if "segmentation" in said:
                found.segmentations.append(segmentation_in(file, said["segmentation"]))
        elif "unplaced" in said:
            found.unplaced.append(Unplaced(file, series_of(said), said["unplaced"]))
        else:
            found.planes += planes_in(file, said)
    return found


def _said(file: Path) -> dict[str, Any]:
    """What a file says of itself, or {"error": why it does not}."""
    try:
        return asked_apart(PROCESS, {"path": str(file.absolute()), "key": _KEY}, size=_size(file))[0]
    except ReaderFailed as error:
        return {"error": str(error)}


def read_pixels(plane: Plane) -> np.ndarray:
    """The stored pixels of all frames of the plane's file, [frames rows columns]; raises `ReaderFailed`."""
    asked = {"path": str(plane.path.absolute()), "instance": plane.instance, "pixels_too": True}
    said, array = asked_apart(PROCESS, asked, size=_size(plane.path))
    if array is None or plane.frame >= len(array) or array.shape[1:] != (plane.rows, plane.columns):
        raise ReaderFailed(said.get("error", "its pixels are not what its header said"))
    return array


def read_labels(one: Segmentation, labels_on: Mapping[str, Any]) -> np.ndarray:
    """The labels of a SEG on a grid, as `labels_process` has them; raises `ReaderFailed`."""
    asked = {"path": str(one.path.absolute()), "instance": one.instance, "labels_on": labels_on}
    said, array = asked_apart(PROCESS, asked, size=_size(one.path))
    if array is None:
        raise ReaderFailed(said.get("error", "it holds no labels"))
    return array


Stamp = tuple[int, int, int]  # size, time, inode


def stamps(path: Path) -> dict[Path, Stamp | None]:
    """What changes where a file in the folder at `path` comes, goes or is written again."""
    return {file: stamp(file) for file in walked(path)}


def stamp(file: Path) -> Stamp | None:
    """What changes where a file is written again; None where there is none."""
    try:
        told = file.stat()
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns, told.st_ino


def check_installed() -> None:
    """Raises `UserError` where DICOM cannot be read."""
    if find_spec("pydicom") is None:
        raise UnreadableImage(
            "unreadable", "DICOM needs pydicom, which is not installed", "pip install 'distilseg[dicom]'"
        )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
