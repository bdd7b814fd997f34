"""Whether DICOM lies in a folder, at any depth and of any name, told by what files begin with.

"DICM" stands at byte 128. Some old files leave that out, and begin with an element of the groups 0002 or
0008, in either order of bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_LOOKED_AT = 132  # bytes
_MAGIC = b"DICM"
_SEGMENTATION = b"1.2.840.10008.5.1.4.1.1.66."  # 4 is SEG, 7 its label maps
_BEGINNING = 2048  # bytes, in which a file says what it is


def holds_dicom(path: Path, *, passing_over: Callable[[Path], object] | None = None) -> bool:
    """Whether the file at `path`, or one in the folder there, begins as DICOM does.

    What is to be passed over by its name is not asked for: in a folder of scans that may be thousands.
    """
    return any(looks_like_dicom(file) is not False for file in walked(path, passing_over=passing_over))


def holds_segmentations(path: Path) -> bool:
    """Whether a file in the folder at `path` says where DICOM begins that it is a segmentation (SEG)."""
    return any(looks_like_dicom(file) is not False and _is_segmentation(file) for file in walked(path))


def _is_segmentation(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _SEGMENTATION in opened.read(_BEGINNING)
    except OSError:
        return False


def walked(path: Path, *, passing_over: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """The files at and below `path` in a fixed order, but for hidden ones; links to folders are left."""
    if path.is_file():
        yield path
        return
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith(".") or (passing_over is not None and passing_over(file)):
                continue
            if file.is_file():
                yield file


def looks_like_dicom(file: Path) -> bool | None:
    """True: it has DICOM's magic word; None: it may be DICOM without one; False: it is none."""
    try:
        with file.open("rb") as opened:
            first = opened.read(_LOOKED_AT)
    except OSError:
        return False
    if first[128:] == _MAGIC:
        return True
    group, element = first[:2], first[2:4]
    little = group in (b"\x02\x00", b"\x08\x00") and element[1:] == b"\x00"
    big = group in (b"\x00\x02", b"\x00\x08") and element[:1] == b"\x00"
    return None if len(first) == _LOOKED_AT and (little or big) else False
