"""PNG images, one slice each, behind `data/scans/reading.py`: grey, of 8 or 16 bit.

    I   column, from the left        J   row, from the top        [I J 1]

A PNG knows neither spacing nor orientation. A pixel is taken as 1 mm wide, high and thick, so that distances
in mm are distances in pixels; columns are said to run to R and rows to P, which shows the image upright and
unmirrored wherever a scan is shown. Convert to NIfTI where the true spacing matters.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .apart import ReaderFailed, read_apart
from .headers import PACKED
from .scan import Header, Scan, Stored, UnreadableImage

AFFINE = np.diag([1.0, -1.0, 1.0, 1.0])  # voxel index -> RAS+ mm
_MAGIC = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">16sIIBB")  # what it begins with; width, height, bits a sample, kind of colour
_SAMPLES = {2: 3, 4: 2, 6: 4}  # kind of colour -> samples a pixel, where it is not one


def read(path: Path) -> Stored:
    """The whole file, in one read; colour whose channels are equal is grey."""
    _, array = _said(path, voxels=True)  # [J I], then channels
    if array.ndim == 3:
        array = _grey(path, array)
    return Stored(array.T[..., np.newaxis], AFFINE.copy())


def read_header(path: Path) -> Header:
    """What the file says it holds, without the pixels."""
    said, _ = _said(path, voxels=False)
    components = said["components"]
    return Header((*said["size"], 1, *([components] if components > 1 else [])), AFFINE.copy(), 2)


def write(path: Path, array_IJK: np.ndarray, like: Scan) -> None:
    """One slice of whole numbers up to 65535; what it lies like is lost."""
    if array_IJK.shape[2] != 1 or array_IJK.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(
            "dimension",
            f"{path.name} would hold {array_IJK.dtype} of shape {list(array_IJK.shape)}, a PNG holds one"
            " slice of 8 or 16 bit",
            "write NIfTI: name it .nii.gz",
        )
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(array_IJK[..., 0].T)), str(path))


def _grey(path: Path, array_JIC: np.ndarray) -> np.ndarray:
    """The grey values [J I] of red, green, blue and perhaps an opacity, which must be the same everywhere."""
    colours, opacity = array_JIC[..., :3], array_JIC[..., 3:]
    if (colours != colours[..., :1]).any() or (opacity != opacity[:1, :1]).any():
        raise UnreadableImage(
            "modality",
            f"{path} is a colour PNG ({array_JIC.shape[2]} channels that differ), a grey one was expected",
            "save it as 8 or 16 bit greyscale; several modalities belong in several files",
        )
    grey: np.ndarray = colours[..., 0]
    return grey


def _said(path: Path, *, voxels: bool) -> tuple[dict[str, Any], Any]:
    """What ITK reads, in a process apart, of a file that may hold as many pixels as it says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    if len(start) < _HEADER.size or not start.startswith(_MAGIC):
        raise _unreadable(path, "it does not begin like one")
    _, width, height, bits, colour = _HEADER.unpack(start)
    if width * height * bits * _SAMPLES.get(colour, 1) / 8 > size * PACKED:
        raise _unreadable(path, f"it says it holds {width} x {height} pixels, in {size} bytes")
    try:
        return read_apart(path, "PNGImageIO", size=size, voxels=voxels)
    except ReaderFailed as error:
        raise _unreadable(path, str(error).splitlines()[-1].strip()) from None


def _unreadable(path: Path, reason: str) -> UnreadableImage:
    return UnreadableImage(
        "unreadable", f"{path} is no PNG that can be read ({reason})", "save it as 8 or 16 bit greyscale"
    )
