"""Plain headers are what nibabel says they are, bit by bit; anything odd is left to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import aff2axcodes, io_orientation

from distilseg.data.scans import nifti
from distilseg.data.scans.axes import axes_along
from distilseg.data.scans.nifti_header import _LAYOUTS, file_of, plain_header
from distilseg.data.scans.scan import Geometry, Scan

HEADERS = (Nifti1Header, Nifti2Header)
TYPES = (np.uint8, np.int16, np.int32, np.float32, np.float64, np.int8, np.uint16, np.uint32, np.uint64)


def rotation(rng: np.random.Generator) -> np.ndarray:
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return turned


def header(kind: Any, n: int) -> Any:
    """The n-th random one: sform, qform or both, oblique, flipped, 2D to 4D."""
    rng = np.random.default_rng(n)
    made = kind()
    made.set_data_dtype(TYPES[n % len(TYPES)])
    made.set_data_shape(rng.integers(1, 99, 2 + n % 3))
    affine = np.eye(4)
    affine[:3, :3] = rotation(rng) @ np.diag(rng.uniform(0.3, 5, 3))
    affine[:3, 3] = rng.normal(0, 100, 3)
    if n % 4 != 1:
        made.set_qform(affine, code=1 + n % 4)
    if n % 4 != 2:
        made.set_sform(affine, code=1 + n % 3)
    made.set_xyzt_units(("mm", "meter", "unknown")[n % 3], "sec")
    made["scl_slope"], made["scl_inter"] = (
        (0, 1, np.nan, 2.5)[n % 4],
        (0, np.inf, 3)[n % 4 % 3 * (n % 4 != 3)],
    )
    if n % 4 in (1, 3):
        made["scl_inter"] = n
    made["vox_offset"] = (0, made.single_vox_offset, 1024)[n % 3]
    return made


@pytest.mark.parametrize("kind", HEADERS)
def test_fields_lie_where_the_standard_has_them(kind: Any) -> None:
    theirs, ours = kind().structarr.dtype, _LAYOUTS[kind.sizeof_hdr]
    shared = set(theirs.names) & set(ours.names)
    assert len(shared) > 20
    for name in shared:
        assert ours.fields[name][1] == theirs.fields[name][1], name
        assert ours[name].itemsize == theirs[name].itemsize, name


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("n", range(60))
def test_it_says_what_nibabel_says(kind: Any, n: int) -> None:
    content = bytes(header(kind, n).binaryblock)
    theirs, ours = kind(content, check=False), plain_header(content)
    assert ours is not None
    assert ours.get_data_shape() == tuple(map(int, theirs.get_data_shape()))
    assert ours.get_data_dtype() == theirs.get_data_dtype()
    assert ours.get_data_offset() == theirs.get_data_offset()
    assert ours.get_slope_inter() == theirs.get_slope_inter()
    assert ours.get_zooms() == theirs.get_zooms()
    assert (ours.sizeof_hdr, ours.single_vox_offset) == (theirs.sizeof_hdr, theirs.single_vox_offset)
    np.testing.assert_array_equal(ours.get_best_affine(), theirs.get_best_affine())
    assert ours.get_best_affine().dtype == np.float64


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize(
    "odd",
    [
        {"sform_code": 0, "qform_code": 0},
        {"sform_code": 0, "qform_code": 1, "quatern_b": 0.9, "quatern_c": 0.9},
        {"sform_code": 0, "qform_code": 1, "quatern_b": np.nan},
        {"sform_code": 0, "qform_code": 1, "pixdim": [0, 1, 1, 1, 1, 1, 1, 1]},
        {"sform_code": 0, "qform_code": 1, "pixdim": [1, 1, -1, 1, 1, 1, 1, 1]},
        {"dim": [0, 4, 4, 4, 1, 1, 1, 1]},
        {"dim": [8, 4, 4, 4, 1, 1, 1, 1]},
        {"dim": [3, 4, 0, 4, 1, 1, 1, 1]},
        {"dim": [3, -1, 1, 1, 1, 1, 1, 1]},
        {"dim": [3, 27307, 1, 6, 1, 1, 1, 1]},
        {"datatype": 128},
        {"datatype": 32},
        {"datatype": 3},
        {"scl_slope": 2, "scl_inter": np.nan},
        {"sizeof_hdr": 347},
    ],
)
def test_what_leaves_something_to_explain_is_left(kind: Any, odd: dict[str, Any]) -> None:
    made = header(kind, 0)
    assert plain_header(bytes(made.binaryblock)) is not None
    for name, value in odd.items():
        made[name] = value
    assert plain_header(bytes(made.binaryblock)) is None


def test_the_other_byte_order_is_left() -> None:
    assert plain_header(bytes(Nifti1Header(endianness=">").binaryblock)) is None
    assert plain_header(b"") is None


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("n", range(12))
def test_a_label_map_is_written_as_nibabel_would(kind: Any, n: int) -> None:
    content = bytes(header(kind, n).binaryblock)
    ours = plain_header(content)
    assert ours is not None
    array = np.random.default_rng(n).integers(0, 200, (4, 5, 6)[: 2 + n % 2]).astype(TYPES[n % len(TYPES)])
    places = [
        Scan(array, Geometry(array.shape, np.eye(4)), Path("a.nii"), one) for one in (ours, kind(content))
    ]
    made = file_of(array, ours)
    assert made == nifti._explained(array, places[1], carried=True)
    assert made == nifti._explained(array, places[0], carried=True)


@pytest.mark.parametrize("ending", [".nii.gz", ".NII.GZ"])
def test_a_packed_scans_label_map_is_packed_however_its_ending_is_written(
    ending: str, tmp_path: Path
) -> None:
    scan = Scan(np.zeros((4, 5, 6)), Geometry((4, 5, 6), np.eye(4)), tmp_path / f"a{ending}")
    nifti.write(scan.path, np.zeros((4, 5, 6), np.uint8), scan)
    assert scan.path.read_bytes()[:2] == b"\x1f\x8b"


def test_more_voxels_than_nifti_1_counts_are_left() -> None:
    ours = plain_header(bytes(header(Nifti1Header, 0).binaryblock))
    assert ours is not None
    assert file_of(np.zeros((40000, 1, 1), np.uint8), ours) is None
    assert file_of(np.zeros((4, 1, 1), bool), ours) is None


@pytest.mark.parametrize("n", range(40))
def test_axes_run_as_nibabel_says(n: int) -> None:
    rng = np.random.default_rng(n)
    affine = np.eye(4)
    affine[:3, :3] = rotation(rng) @ np.diag(rng.uniform(0.3, 5, 3)) + (n % 3) * rng.normal(0, 0.2, (3, 3))
    if n % 5 == 0:
        affine[:3, n % 3] = 0
    if n % 7 == 0:  # axes half way between two
        affine[:3, :3] = [[1, 1, 0], [1, -1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(axes_along(affine), io_orientation(affine))
    letters = "".join(letter or "?" for letter in aff2axcodes(affine))
    assert Geometry((2, 2, 2), affine).orientation == letters
