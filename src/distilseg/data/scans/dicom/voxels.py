"""The voxels of a volume: pixels of every plane, each rescaled as its own header says.

    value = slope · stored + intercept

In the smallest integer type that holds them where all slopes and intercepts are whole, as
Hounsfield units are; in 32-bit floats else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..apart import ReaderFailed
from ..scan import UnreadableImage
from .finding import read_pixels
from .plane import Plane
from .stack import Volume

VALUE_BYTES = 4  # of a voxel while it is read
_INT32 = np.iinfo(np.int32)
_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32)


def voxels_of(volume: Volume, folder: Path) -> NDArray[np.generic]:
    """[I J K], I along rows; raises `UnreadableImage` naming the file that cannot be read."""
    planes = volume.planes
    whole = all(plane.slope.is_integer() and plane.intercept.is_integer() for plane in planes)
    array_KJI = np.empty((len(planes), planes[0].rows, planes[0].columns), np.int32 if whole else np.float32)
    for k, plane, stored in _stored(planes, folder):
        if not whole:
            array_KJI[k] = stored * np.float64(plane.slope) + plane.intercept
            continue
        values = stored.astype(np.int64) * int(plane.slope) + int(plane.intercept)
        if values.min() < _INT32.min or values.max() > _INT32.max:
            raise _unreadable(folder, plane, "its values do not fit into 32 bits")
        array_KJI[k] = values
    if whole:
        low, high = array_KJI.min(), array_KJI.max()
        fitting = next(t for t in _INTEGERS if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
        array_KJI = array_KJI.astype(fitting, copy=False)
    return array_KJI.transpose(2, 1, 0)


def _stored(planes: Sequence[Plane], folder: Path) -> Iterator[tuple[int, Plane, NDArray[np.integer]]]:
    """The planes with their stored pixels; a file is read once."""
    by_file = sorted(enumerate(planes), key=lambda numbered: str(numbered[1].path))
    for _, inside in groupby(by_file, key=lambda numbered: numbered[1].path):
        numbered = list(inside)
        try:
            frames = read_pixels(numbered[0][1])
        except ReaderFailed as error:
            raise _unreadable(folder, numbered[0][1], str(error)) from None
        for k, plane in numbered:
            yield k, plane, frames[plane.frame]


def _unreadable(folder: Path, plane: Plane, why: str) -> UnreadableImage:
    return UnreadableImage(
        "unreadable", f"{folder}: {plane.path.name} cannot be read ({why})", "copy it again"
    )
