"""Voxels in other files than their header: MetaImage's .mhd and .raw, NRRD's detached data.

    ElementDataFile = ct.raw        MetaImage; LOCAL: none, LIST: a name a line, until the file ends
    data file: ct.raw               NRRD; LIST: a name a line, until the file ends

They lie beside the header. A header that names anything else is refused: it came with the scan, from whoever
made that, and is not to say which file or device of this machine is read.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...errors import UserError
from ...names import component, quoted
from .scan import UnreadableImage, ending

_LARGEST_HEADER = 2**20  # bytes; one of a list of slices is long
_META = re.compile(rb"^ElementDataFile *= *(.*?)[ \r]*$", re.MULTILINE)
_NRRD = re.compile(rb"^data ?file: *(.*?)[ \r]*$", re.MULTILINE)
_BLANK = re.compile(rb"^\r?$", re.MULTILINE)


def voxel_files(path: Path) -> tuple[Path, ...]:
    """The files beside `path` that hold its voxels; () where it holds them, and for other kinds of scan.

    Raises `UnreadableImage` for a header that names what does not lie beside it, or is no file. A pattern
    (slice%03d.raw) names no file and is left to the reader.
    """
    kind = ending(path).lower()
    if kind not in (".mha", ".mhd", ".nrrd"):
        return ()
    with path.open("rb") as file:
        header = file.read(_LARGEST_HEADER)
    if kind == ".nrrd":
        blank = _BLANK.search(header)
        header = header[: blank.start()] if blank else header
    found = (_NRRD if kind == ".nrrd" else _META).search(header)
    if found is None or found[1].upper() == b"LOCAL":
        return ()
    names = [found[1]]
    if found[1].startswith(b"LIST"):
        names = [line.strip() for line in header[found.end() :].splitlines() if line.strip()]
    beside = [_beside(path, os.fsdecode(name)) for name in names]
    return tuple(voxels for voxels in beside if voxels.exists())


def _beside(path: Path, name: str) -> Path:
    try:
        file = path.parent / component(name, kind="file")
    except UserError as error:
        raise UnreadableImage(
            "unreadable",
            f"{path} keeps its voxels in {quoted(name)}: {error.cause}",
            "put both into one folder",
        ) from None
    if file.exists() and not file.is_file():
        raise UnreadableImage(
            "unreadable", f"{path} keeps its voxels in {file}, which is no file", "restore it"
        )
    return file
