"""Headers of NIfTI-1 and NIfTI-2 as nearly all files have them, read and written without nibabel.

nibabel's import takes longer than NumPy's, and several times that where it finds pydicom. So a header that
leaves nothing to explain is read here, by the standard: little-endian, of numbers, with a sound sform or
qform. `plain_header` gives None for any other, which `nifti.py` takes to nibabel. Methods are called as
nibabel's are, and tests hold their answers to be the same, bit by bit.

    https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h     https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_QUATERNION_AND_ROWS = [
    *[(f"quatern_{axis}", 1) for axis in "bcd"],
    *[(f"qoffset_{axis}", 1) for axis in "xyz"],
    *[(f"srow_{axis}", 4) for axis in "xyz"],
]
# Names as in the standard; what is not needed is passed over by its bytes.
_FIELDS_1: list[Any] = [
    ("sizeof_hdr", "<i4"),
    ("unused", "V36"),
    ("dim", "<i2", 8),
    ("intent", "V14"),
    ("datatype", "<i2"),
    ("bitpix", "<i2"),
    ("slice_start", "<i2"),
    ("pixdim", "<f4", 8),
    ("vox_offset", "<f4"),
    ("scl_slope", "<f4"),
    ("scl_inter", "<f4"),
    ("slices", "V3"),
    ("xyzt_units", "u1"),
    ("told", "V128"),
    ("qform_code", "<i2"),
    ("sform_code", "<i2"),
    *[(name, "<f4", n) if n > 1 else (name, "<f4") for name, n in _QUATERNION_AND_ROWS],
    ("intent_name", "V16"),
    ("magic", "S4"),
]
_FIELDS_2: list[Any] = [
    ("sizeof_hdr", "<i4"),
    ("magic", "S4"),
    ("eol_check", "i1", 4),
    ("datatype", "<i2"),
    ("bitpix", "<i2"),
    ("dim", "<i8", 8),
    ("intent", "V24"),
    ("pixdim", "<f8", 8),
    ("vox_offset", "<i8"),
    ("scl_slope", "<f8"),
    ("scl_inter", "<f8"),
    ("told", "V152"),
    ("qform_code", "<i4"),
    ("sform_code", "<i4"),
    *[(name, "<f8", n) if n > 1 else (name, "<f8") for name, n in _QUATERNION_AND_ROWS],
    ("slice_code", "<i4"),
    ("xyzt_units", "<i4"),
    ("more", "V36"),
]
_LAYOUTS = {np.dtype(fields).itemsize: np.dtype(fields) for fields in (_FIELDS_1, _FIELDS_2)}
SIZES = SIZE_1, SIZE_2 = 348, 540  # bytes
_CODES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_ICOSAHEDRON = (27307, 1, 6)  # how FreeSurfer stores a surface that is too long for NIfTI-1
_ROUNDED = 3 * float(
    np.finfo(np.float32).eps
)  # of a quaternion's length, as nibabel allows; NIfTI-2: of float64
GEOMETRY_FIELDS = ("pixdim", "qform_code", "sform_code", *(name for name, _ in _QUATERNION_AND_ROWS))


class PlainHeader:
    """A header that leaves nothing to explain."""

    def __init__(self, fields: np.ndarray) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    @property
    def sizeof_hdr(self) -> int:
        """Its bytes: 348 of NIfTI-1, 540 of NIfTI-2."""
        return self._fields.dtype.itemsize

    @property
    def single_vox_offset(self) -> int:
        """Where voxels begin that follow it in its own file."""
        return self.sizeof_hdr + 4

    def get_data_shape(self) -> tuple[int, ...]:
        """Voxels along each axis that the file has."""
        dim = self._fields["dim"].tolist()
        return tuple(dim[1 : 1 + dim[0]])

    def get_data_dtype(self) -> np.dtype[Any]:
        """The type that voxels are stored in."""
        return np.dtype(_CODES[int(self._fields["datatype"])]).newbyteorder("<")

    def get_data_offset(self) -> int:
        """Where the voxels begin, as it says."""
        return int(self._fields["vox_offset"])

    def get_zooms(self) -> tuple[float, ...]:
        """The voxel size along each axis that the file has."""
        return tuple(self._fields["pixdim"][1 : 1 + len(self.get_data_shape())])

    def get_slope_inter(self) -> tuple[float | None, float | None]:
        """What intensities are multiplied with, and what is then added; None where nothing is."""
        slope, inter = float(self._fields["scl_slope"]), float(self._fields["scl_inter"])
        return (None, None) if slope == 0 or not math.isfinite(slope) else (slope, inter)

    def get_best_affine(self) -> np.ndarray:
        """[4 4] voxel index -> position in the header's unit: the sform, else the qform."""
        affine = np.eye(4)
        if self._fields["sform_code"]:
            for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
                affine[row] = self._fields[name]
            return affine
        sizes = self._fields["pixdim"][1:4].copy()
        sizes[2] *= self._fields["pixdim"][0]
        affine[:3, :3] = _rotation(self._quaternion()) @ np.diag(sizes)
        affine[:3, 3] = [self._fields[f"qoffset_{axis}"] for axis in "xyz"]
        return affine

    def _quaternion(self) -> np.ndarray:
        """(a, b, c, d) with a = sqrt(1 - b² - c² - d²); NaN where that is no number."""
        bcd = np.asarray([self._fields[f"quatern_{axis}"] for axis in "bcd"], np.longdouble)
        squared: Any = 1.0 - bcd @ bcd
        rounded = _ROUNDED if self.sizeof_hdr == SIZE_1 else 3 * float(np.finfo(np.float64).eps)
        if abs(squared) < rounded:
            squared = np.longdouble(0)
        a = np.sqrt(squared) if squared >= 0 else np.longdouble(math.nan)
        return np.asarray([a, *bcd])

    def _sound(self) -> bool:
        """Whether nothing is left to explain."""
        dim = self._fields["dim"].tolist()
        slope, inter = float(self._fields["scl_slope"]), float(self._fields["scl_inter"])
        return (
            1 <= dim[0] <= 7
            and min(dim[1 : 1 + dim[0]]) >= 1
            and tuple(dim[1:4]) != _ICOSAHEDRON
            and int(self._fields["datatype"]) in _CODES
            and 0 <= float(self._fields["vox_offset"]) < 2**31
            and (slope == 0 or not math.isfinite(slope) or math.isfinite(inter))
            and (bool(self._fields["sform_code"]) or self._sound_qform())
        )

    def _sound_qform(self) -> bool:
        handedness, *sizes = self._fields["pixdim"][:4].tolist()
        return (
            bool(self._fields["qform_code"])
            and handedness in (-1, 1)
            and all(size >= 0 for size in sizes)
            and bool(np.isfinite(self._quaternion()).all())
        )


def plain_header(content: bytes) -> PlainHeader | None:
    """The header that `content` is; None where it is none, or leaves something to explain."""
    layout = _LAYOUTS.get(len(content))
    if layout is None:
        return None
    header = PlainHeader(np.frombuffer(content, layout)[0])
    return header if int(header["sizeof_hdr"]) == len(content) and header._sound() else None


def file_of(array: np.ndarray, like: PlainHeader) -> bytes | None:
    """A file of these voxels with the geometry of `like` bit by bit, in its version; None for types that
    NIfTI lacks, or more voxels than its version counts."""
    codes = {np.dtype(name): code for code, name in _CODES.items()}
    layout = like._fields.dtype
    if array.dtype not in codes or max(array.shape) > np.iinfo(layout["dim"].base).max:
        return None
    fields = np.zeros((), layout)
    fields["sizeof_hdr"] = layout.itemsize
    fields["magic"] = b"n+1" if layout.itemsize == SIZE_1 else b"n+2"
    if layout.itemsize == SIZE_2:
        fields["eol_check"] = (13, 10, 26, 10)
    fields["dim"] = (array.ndim, *array.shape, *[1] * (7 - array.ndim))
    fields["datatype"], fields["bitpix"] = codes[array.dtype], 8 * array.dtype.itemsize
    fields["vox_offset"], fields["scl_slope"] = layout.itemsize + 4, 1
    for name in GEOMETRY_FIELDS:
        fields[name] = like[name]
    fields["pixdim"][4:] = 1
    fields["xyzt_units"] = int(like["xyzt_units"]) & 7  # the spatial unit; no time axis here
    return fields.tobytes() + bytes(4) + array.tobytes(order="F")


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """[3 3], of a quaternion (a, b, c, d) of about unit length."""
    a, b, c, d = quaternion
    length = a * a + b * b + c * c + d * d
    s = 2.0 / length
    return np.array(
        [
            [1.0 - (c * (c * s) + d * (d * s)), b * (c * s) - a * (d * s), b * (d * s) + a * (c * s)],
            [b * (c * s) + a * (d * s), 1.0 - (b * (b * s) + d * (d * s)), c * (d * s) - a * (b * s)],
            [b * (d * s) - a * (c * s), c * (d * s) + a * (b * s), 1.0 - (b * (b * s) + c * (c * s))],
        ]
    )
