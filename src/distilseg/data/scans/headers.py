"""Headers of MetaImage and NRRD, looked at before a library sees them.

The libraries believe a header: a negative number of dimensions ends the process, and voxels that nobody
stored are memory that is asked for. So a header must say, as the formats allow it, how many voxels there are,
and be followed by about as many bytes.

    https://itk.org/Wiki/ITK/MetaIO/Documentation     https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ...names import quoted
from .scan import UnreadableImage, ending

LARGEST = 2**20  # bytes; one of a list of slices is long
MOST_AXES = 16
PACKED = 1032  # bytes that deflate makes of one, at most
_MOST = 1e9  # of a length in mm, or a part of a direction: ITK turns matrices of larger ones for ever
_AGAIN = "copy or export the file again"

_META_FIELD = re.compile(r"[ \t]*([^=:]{1,400}?)[ \t]*[=:](.*)")  # a name of 500 holds MetaIO up for ever
_META_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_LONG", "MET_ULONG", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
_PER_AXIS = ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation")
_PER_TWO_AXES = ("TransformMatrix", "Rotation", "Orientation")

_NRRD_MAGIC = re.compile(r"NRRD000[1-6]")
_NRRD_FIELD = re.compile(r"[ \t]*([a-z][a-z0-9 ]*): (.*)", re.IGNORECASE)
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(
        ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4
    ),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), 8),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), 8),
    **dict.fromkeys(("signed long long int", "double"), 8),
    "float": 4,
}
# Bytes of voxels in one on the disk, at most; of other encodings PACKED.
_NRRD_PACKED = {"raw": 1.0, "txt": 4.0, "text": 4.0, "ascii": 4.0, "hex": 0.5}


@dataclass(frozen=True)
class Said:
    """What a header says of its voxels."""

    voxels: str  # where they are: a file's name, LIST, a pattern; "" behind the header itself
    listed: tuple[str, ...]  # the names behind LIST
    last: int  # the length of the last axis
    size: int  # bytes that the voxels have in memory
    least: int  # bytes that they have on disk, at least
    end: int  # bytes of the header


def read_header(path: Path) -> Said:
    """The header of a MetaImage or an NRRD file. Raises `UnreadableImage` for one that is no such header."""
    with path.open("rb") as file:
        content = file.read(LARGEST)
    return _nrrd(path, content) if ending(path).lower() == ".nrrd" else _meta(path, content)


def check_held(path: Path, header: Said, files: Sequence[Path]) -> None:
    """Raises `UnreadableImage` where the files (the voxels', or the scan's own) cannot hold what it says."""
    held = sum(file.stat().st_size for file in files) - (0 if header.voxels else header.end)
    if held < header.least:
        what = f"{held} of {header.size}" if header.least == header.size else f"{held} for {header.size}"
        raise UnreadableImage("truncated", f"{path} holds {what} bytes of voxels", _AGAIN)


def _meta(path: Path, content: bytes) -> Said:
    fields: dict[str, str] = {}
    lines = content.split(b"\n")
    end = 0
    for number, line in enumerate(lines):
        end += len(line) + 1
        text = line.decode("latin-1").removesuffix("\r")
        if not text.strip():
            continue
        match = _META_FIELD.fullmatch(text)
        if match is None or {"\0", "\r"} & set(text):
            _no_header(path, f"its line {number + 1} is no NAME = VALUE")
        fields[match[1]] = match[2].strip()
        if match[1] == "ElementDataFile":
            break
    else:
        _no_header(path, "it names no ElementDataFile")
    axes = _whole(path, fields, "NDims", 1, most=MOST_AXES)[0]
    sizes = _whole(path, fields, "DimSize", axes)
    channels = _whole(path, {"ElementNumberOfChannels": "1", **fields}, "ElementNumberOfChannels", 1)[0]
    for names, expected in ((_PER_AXIS, axes), (_PER_TWO_AXES, axes * axes)):
        for name in names:
            if name in fields:
                _numbers(path, fields[name], name, expected)
    size = math.prod(sizes) * channels * _bytes(path, fields.get("ElementType", ""), _META_BYTES)
    factor = PACKED if fields.get("CompressedData", "").lower() in ("true", "1", "t") else 1
    if fields.get("BinaryData", "true").lower() in ("false", "0", "f"):
        factor = 8
    where = _text(fields["ElementDataFile"])
    listed = [_text(line.decode("latin-1")).strip() for line in lines[number + 1 :]] if _lists(where) else []
    where = "" if where in ("LOCAL", "Local", "local") else where
    return Said(where, tuple(filter(None, listed)), sizes[-1], size, math.ceil(size / factor), end)


def _nrrd(path: Path, content: bytes) -> Said:
    fields: dict[str, str] = {}
    listed: list[str] = []
    end = 0
    for number, line in enumerate(content.split(b"\n")):
        end += len(line) + 1
        text = line.decode("latin-1").removesuffix("\r")
        if "\r" in text:
            _no_header(path, f"its line {number + 1} holds the end of another")
        if number == 0 and not _NRRD_MAGIC.fullmatch(text):
            _no_header(path, "it does not begin with NRRD000 and a version")
        if number and not text:
            break
        if _lists(fields.get("data file", "")):
            listed.append(_text(text).strip())
        elif match := _NRRD_FIELD.fullmatch(text):
            name = match[1].lower()
            fields.setdefault("data file" if name == "datafile" else name, match[2].strip())
    axes = _whole(path, fields, "dimension", 1, most=MOST_AXES)[0]
    sizes = _whole(path, fields, "sizes", axes)
    size = math.prod(sizes) * _bytes(path, fields.get("type", "").lower(), _NRRD_BYTES)
    factor = _NRRD_PACKED.get(fields.get("encoding", "").lower(), float(PACKED))
    where = _text(fields.get("data file", ""))
    return Said(where, tuple(filter(None, listed)), sizes[-1], size, math.ceil(size / factor), end)


def _lists(where: str) -> bool:
    return where.startswith("LIST")


def _text(latin: str) -> str:
    """A name as the file system spells it."""
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")


def _whole(path: Path, fields: dict[str, str], name: str, expected: int, *, most: int = 2**40) -> list[int]:
    """A field's positive whole numbers, as many as are expected."""
    words = fields.get(name, "").split()
    if len(words) != expected or not all(
        w.isascii() and w.isdigit() and 0 < int(w[:20]) <= most for w in words
    ):
        _no_header(path, f"its {name} is {quoted(fields.get(name, ''))}")
    return [int(word) for word in words]


def _numbers(path: Path, text: str, name: str, expected: int) -> None:
    try:
        sound = [abs(float(word)) < _MOST for word in text.split()] == [True] * expected
    except ValueError:
        sound = False
    if not sound:
        kind = "spacing" if name in ("ElementSpacing", "ElementSize") else "geometry"
        _no_header(path, f"its {name} is {quoted(text)}, {expected} numbers were expected", kind)


def _bytes(path: Path, name: str, known: dict[str, int]) -> int:
    if name not in known:
        _no_header(path, f"its voxels are of the unknown type {quoted(name)}")
    return known[name]


def _no_header(path: Path, why: str, kind: str = "unreadable") -> NoReturn:
    raise UnreadableImage(kind, f"{path} cannot be read (its header is damaged: {why})", _AGAIN)
