"""The files that a scan consists of: its own, and those beside it that MetaImage's and NRRD's headers name.

    ElementDataFile = ct.raw                MetaImage; LOCAL: none, LIST: a name a line, until the file ends
    data file: ct.raw                       NRRD; LIST: a name a line, until the file ends
    data file: slice%03d.raw 1 40 1         both: a pattern, the first and the last number, the step

They lie in the folder of the header, not below it, and are regular files, links followed. A header that
leads anywhere else is refused: it came with the scan, from whoever made that, and is not to say which file,
folder or device of this machine is read. Where header and voxels are links into one folder, that is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from ...names import component, quoted
from .headers import Said, check_held, read_header
from .scan import UnreadableImage, ending

_MOST_FILES = 100_000
_PATTERN = re.compile(r"([^%]*)(%0?\d{0,2}d)([^%\s]*)((?:\s+\d{1,9}){0,4})")


def files_of(path: Path, series: str = "") -> tuple[Path, ...]:
    """The files whose bytes decide what a scan's voxels are, its own first.

    Of a folder of DICOM, the files of the volume in it, or of that of key `series`. Raises `UnreadableImage`
    where `path` is no regular file, for a header that is none, and for one that names what does not lie
    beside it, or is no file.
    """
    if series or path.is_dir():
        from .dicom.looking import holds_dicom

        if series or holds_dicom(path):
            from .dicom.reading import files_of_volume

            return files_of_volume(path, series)
    _check_regular(path)
    if ending(path).lower() not in (".mha", ".mhd", ".nrrd"):
        return (path,)
    header = read_header(path)
    named = [_beside(path, name) for name in _names(path, header)]
    present = [file for file in named if file.exists()]
    if len(present) == len(named):
        check_held(path, header, named or [path])
    return (path, *present)


def _check_regular(path: Path) -> None:
    if not path.is_file():
        reason = "no such file"
        if path.exists():
            reason = "it is a folder" if path.is_dir() else "it is no regular file"
        raise UnreadableImage(
            "missing", f"{path} cannot be read: {reason}", "restore the file or correct its path"
        )


def _names(path: Path, header: Said) -> Sequence[str]:
    """The names that a header gives to the files of its voxels."""
    if header.voxels.startswith("LIST"):
        return header.listed
    if "%" not in header.voxels:
        return [header.voxels] if header.voxels else []
    match = _PATTERN.fullmatch(header.voxels)
    told = [int(number) for number in match[4].split()[:3]] if match else []
    first, last, step = (*told, *(1, header.last, 1)[len(told) :])
    numbers = range(first, last + 1, max(1, step))
    if match is None or len(numbers) > _MOST_FILES:
        raise UnreadableImage(
            "unreadable",
            f"{path} keeps its voxels in {quoted(header.voxels)}: that is no pattern",
            "list them",
        )
    return [match[1] + match[2] % number + match[3] for number in numbers]


def _beside(path: Path, name: str) -> Path:
    try:
        file = path.parent / component(name.removeprefix("./"), kind="file")
    except UserError as error:
        raise _elsewhere(path, name, error.cause) from None
    if file.exists() and not file.is_file():
        raise UnreadableImage(
            "unreadable", f"{path} keeps its voxels in {file}, which is no file", "restore it"
        )
    if file.is_symlink() and file.resolve().parent not in (path.parent.resolve(), path.resolve().parent):
        raise _elsewhere(path, name, f"it is a link into the folder {file.resolve().parent}")
    return file


def _elsewhere(path: Path, name: str, why: str) -> UnreadableImage:
    return UnreadableImage(
        "unreadable", f"{path} keeps its voxels in {quoted(name)}: {why}", "put both into one folder"
    )
