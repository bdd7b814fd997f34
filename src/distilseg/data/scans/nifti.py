"""NIfTI-1 and NIfTI-2 files, compressed or not, behind `data/scans/reading.py`.

A plain header is read by `nifti_header.py`, nibabel explains any other; the voxels are decompressed in one
piece, several times faster than through a file object, and without holding Python's lock, so that threads
read in parallel.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .nifti_header import GEOMETRY_FIELDS, SIZE_1, SIZE_2, SIZES, PlainHeader, file_of, plain_header
from .scan import Header, Scan, Stored, UnreadableImage

_GZIP = b"\x1f\x8b"
_BEHIND = 2**20  # bytes that may follow the voxels
_MOST_BEFORE = 2**26  # bytes of header and extensions
_UNIT_MM = {1: 1000.0, 3: 0.001}  # metres, microns; anything else is taken as mm
_QUATERNION = ("quatern_b", "quatern_c", "quatern_d")
_ROUNDED = 1e-3  # what rounding may add to the length of a quaternion


def read(path: Path) -> Stored:
    """The whole file, in one read."""
    content = path.read_bytes()
    if content[:2] == _GZIP:
        content = _inflated(path, content)
    header = _header(path, content)
    affine, stated_mm = _affine(path, header), _stated_mm(header)
    shape, stored_type, offset = _layout(path, header)
    count = int(np.prod(shape, dtype=np.int64))
    promised, held = count * stored_type.itemsize, max(0, len(content) - offset)
    if held < promised:
        kind, what = ("truncated", f"{held} of {promised} bytes of voxels")
        if held == 0:
            kind, what = ("header_only", "a header and no voxels")
        raise UnreadableImage(kind, f"{path} holds {what}", _AGAIN)
    flat = np.frombuffer(content, stored_type, count, offset)
    array = flat.reshape(shape, order="F")
    slope, inter = _scaling(path, header)
    if (slope, inter) == (1.0, 0.0):
        return Stored(array.astype(stored_type.newbyteorder("="), order="F"), affine, header, stated_mm)
    small = stored_type.itemsize <= 2 or stored_type == np.float32
    scaled: np.ndarray = array.astype(np.float32 if small else np.float64, order="F")
    scaled *= slope
    scaled += inter
    return Stored(scaled, affine, header, stated_mm)


def read_header(path: Path) -> Header:
    """What the file says it holds, without the voxels."""
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP
        with gzip.open(path) if compressed else path.open("rb") as file:
            content = file.read(SIZE_2)
    except EOFError:
        raise UnreadableImage("truncated", f"{path} ends too early (cut short)", _AGAIN) from None
    except (OSError, zlib.error) as error:
        raise UnreadableImage("unreadable", f"{path} is damaged ({error})", _AGAIN) from None
    header = _header(path, content)
    shape, stored_type, _ = _layout(path, header)
    return Header(shape, _affine(path, header), stored_type.itemsize, _stated_mm(header))


def write(path: Path, array_IJK: np.ndarray, like: Scan) -> None:
    """An array in the space of `like`; its header's geometry, if it has a NIfTI header, bit by bit."""
    old = like.header
    if old is not None and len(old.get_data_shape()) == 2:
        array_IJK = array_IJK[..., 0]  # as the scan is stored
    carried = old is not None and np.array_equal(_affine(like.path, old), like.geometry.affine)
    content = file_of(array_IJK, old) if carried and isinstance(old, PlainHeader) else None
    if content is None:
        content = _explained(array_IJK, like, carried)
    path.write_bytes(
        gzip.compress(content, compresslevel=1, mtime=0) if path.name.lower().endswith(".gz") else content
    )


def _explained(array_IJK: np.ndarray, like: Scan, carried: bool) -> bytes:
    """The file as nibabel makes it."""
    from nibabel.nifti1 import Nifti1Header, Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    old = like.header
    two = (old is not None and old.sizeof_hdr == SIZE_2) or max(array_IJK.shape) > 32767
    header: Any = (Nifti2Header if two else Nifti1Header)()
    header.set_data_dtype(array_IJK.dtype)
    header.set_data_shape(array_IJK.shape)
    if not carried:
        header.set_sform(like.geometry.affine, code=1)
        header.set_qform(like.geometry.affine, code=1, strip_shears=True)
        header.set_xyzt_units("mm")
    content: bytes = (Nifti2Image if two else Nifti1Image)(array_IJK, None, header).to_bytes()
    return _with_geometry_of(old, content, type(header)) if carried else content


def _with_geometry_of(old: Any, content: bytes, kind: Any) -> bytes:
    """A file's content with another header's geometry, which nibabel may find fault with."""
    header = kind(content[: kind.sizeof_hdr], check=False)
    for name in GEOMETRY_FIELDS:
        header[name] = old[name]
    header["pixdim"][4:] = 1
    header["xyzt_units"] = int(old["xyzt_units"]) & 7  # the spatial unit; no time axis here
    block: bytes = header.binaryblock
    return block + content[kind.sizeof_hdr :]


_AGAIN = "copy or export the file again"


def _inflated(path: Path, content: bytes) -> bytes:
    """A gzip file's content. A few kilobytes can hold many gigabytes: those beyond the header's promise are
    never unpacked."""
    try:
        header = _header(path, _unpacked(content, SIZE_2))
        shape, stored_type, offset = _layout(path, header)
        most = offset + math.prod(shape) * stored_type.itemsize + _BEHIND
        unpacked = _unpacked(content, most + 1)
    except EOFError:
        raise UnreadableImage("truncated", f"{path} ends too early (cut short)", _AGAIN) from None
    except zlib.error as error:
        raise UnreadableImage("unreadable", f"{path} is damaged ({error})", _AGAIN) from None
    if len(unpacked) > most:
        raise UnreadableImage(
            "unreadable",
            f"{path} holds far more than the {math.prod(shape)} voxels of its header",
            "correct the header, or export the file again",
        )
    return unpacked


def _unpacked(content: bytes, most: int) -> bytes:
    """The first `most` bytes in a gzip file's members; EOFError where it is cut short before."""
    parts = []
    while content and most:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(content, most))
        most -= len(parts[-1])
        if most and not member.eof:
            raise EOFError
        content = member.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _header(path: Path, content: bytes) -> Any:
    """The header at the start of `content`, of either version and byte order."""
    if not content:
        raise UnreadableImage("truncated", f"{path} is empty", _AGAIN)
    first = content[:4]
    size = {int.from_bytes(first, "little"), int.from_bytes(first, "big")}
    for length in SIZES:
        if length in size:
            if len(content) < length:
                raise UnreadableImage("truncated", f"{path} ends within its header", _AGAIN)
            return plain_header(content[:length]) or _any_header(content[:length])
    raise UnreadableImage("unreadable", f"{path} is not a NIfTI file", "convert it to NIfTI, NRRD or MHA")


def _any_header(content: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    return (Nifti1Header if len(content) == SIZE_1 else Nifti2Header)(content, check=False)


def _refusals() -> tuple[type[Exception], ...]:
    """What nibabel raises about a header; asked for where something was raised."""
    from nibabel.spatialimages import HeaderDataError

    return HeaderDataError, ValueError, OverflowError


def _layout(path: Path, header: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape (without trailing axes of one), stored type and offset of the voxels in bytes."""
    try:
        shape, stored_type = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
        offset = int(header.get_data_offset())
    except KeyError as error:
        raise UnreadableImage("unreadable", f"{path} has the unknown datatype {error}", _AGAIN) from None
    except _refusals() as error:
        raise UnreadableImage("unreadable", f"{path} has a damaged header ({error})", _AGAIN) from None
    if offset < header.sizeof_hdr:  # 0 says that they follow the header, and the four bytes behind it
        offset = int(header.single_vox_offset)
    if not shape or len(shape) > 7 or min(shape) < 1:
        raise UnreadableImage("unreadable", f"{path} says its shape is {list(shape)}", _AGAIN)
    if offset > _MOST_BEFORE:
        raise UnreadableImage("unreadable", f"{path} says its voxels begin at byte {offset}", _AGAIN)
    if stored_type.kind not in "uif":
        raise UnreadableImage(
            "unreadable",
            f"{path} holds {stored_type} voxels (colour or complex)",
            "store one number per voxel",
        )
    return (*shape[:3], *(n for n in shape[3:] if n != 1)), stored_type, offset


def _affine(path: Path, header: Any) -> np.ndarray:
    """sform, else qform, else the voxel sizes, as nibabel chooses; in mm."""
    try:
        affine: np.ndarray = _best_affine(header)
    except _refusals() as error:
        raise UnreadableImage(
            "geometry", f"{path} has an unusable qform ({error})", "correct its header"
        ) from None
    affine[:3] *= _UNIT_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    if len(header.get_data_shape()) == 2 and not affine[:3, 2].any():  # no thickness is known: 1 mm
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    return affine


def _best_affine(header: Any) -> np.ndarray:
    """As nibabel explains it; a qform that it refuses and the standard allows, as the standard says.

        a = sqrt(max(0, 1 - b² - c² - d²)),    qfac 0 is 1

    A quaternion (a, b, c, d) may be longer than 1 by rounding.
    """
    try:
        affine: np.ndarray = header.get_best_affine()
    except _refusals():
        mended = header.copy()
        mended["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
        length = math.hypot(*(float(header[name]) for name in _QUATERNION))
        if 1 < length < 1 + _ROUNDED:
            for name in _QUATERNION:
                mended[name] = header[name] / length
        affine = mended.get_best_affine()
    return affine.astype(np.float64)


def _stated_mm(header: Any) -> tuple[float, ...]:
    """The voxel size in pixdim, along the axes that the file has, at most three."""
    axes = min(3, len(header.get_data_shape()))
    unit_mm = _UNIT_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return tuple(float(size) * unit_mm for size in header["pixdim"][1 : 1 + axes])


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    """Slope and intercept of the intensities; (1, 0) where the header asks for none."""
    try:
        slope, inter = header.get_slope_inter()
    except _refusals() as error:
        raise UnreadableImage("unreadable", f"{path} has an unusable scl_inter ({error})", _AGAIN) from None
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))
