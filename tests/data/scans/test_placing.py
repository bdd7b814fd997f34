"""Scans brought onto one grid: positions in the patient are kept, boxes are cut where they lie."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.data.case import Case, Source
from distilseg.data.scans.placing import resampled
from distilseg.data.scans.reading import read_label, read_scan, read_scans
from distilseg.data.scans.scan import Geometry, Scan, UnreadableImage

TURNED = nib.affines.from_matvec(
    np.array([[0.0, -1.1, 0.2], [-0.9, 0.0, 0.0], [0.0, 0.3, 2.0]]), [30.0, 20.0, -10.0]
)


def linear(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """R + 2 A - 3 S at each voxel, in mm: linear interpolation must be exact."""
    at_mm = nib.affines.apply_affine(affine, np.stack(np.indices(shape), -1))
    return (at_mm @ [1.0, 2.0, -3.0]).astype(np.float32)


def written(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def test_positions_are_kept_from_any_grid_to_any_other() -> None:
    wide = nib.affines.from_matvec(np.diag([-3.0, -2.5, 4.0]), [60.0, 50.0, -40.0])
    here = Scan(linear((40, 40, 30), wide), Geometry((40, 40, 30), wide), Path("pet.nii"))
    onto = Geometry((12, 14, 9), TURNED)
    moved = resampled(here, onto)
    assert moved.geometry is onto
    assert moved.array.shape == onto.shape
    np.testing.assert_allclose(moved.array, linear(onto.shape, TURNED), atol=1e-3)


def test_where_the_scan_does_not_reach_it_is_0() -> None:
    here = Scan(np.ones((4, 4, 4), np.float32), Geometry((4, 4, 4), np.eye(4)), Path("pet.nii"))
    moved = resampled(here, Geometry((8, 4, 4), nib.affines.from_matvec(np.eye(3), [-2, 0, 0]))).array
    np.testing.assert_array_equal(moved[:, 0, 0], [0, 0, 1, 1, 1, 1, 0, 0])


def test_a_scan_on_its_own_grid_is_left_as_it_was_stored(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    a, b = (written(tmp_path / name, array, np.eye(4)) for name in ("a.nii", "b.nii"))
    scan = read_scan(Source(a, onto=b))
    assert scan.array.dtype == np.int16
    np.testing.assert_array_equal(scan.array, array)


@pytest.mark.parametrize(
    ("signs", "order"), [((1, 1, 1), (0, 1, 2)), ((-1, -1, 1), (0, 1, 2)), ((-1, 1, -1), (2, 0, 1))]
)
def test_a_box_is_cut_where_it_lies_and_the_rest_is_0(
    tmp_path: Path, signs: tuple[int, ...], order: tuple[int, ...]
) -> None:
    spacing_mm = np.array([1.0, 2.0, 4.0])
    axes = np.diag(np.array(signs) * spacing_mm)[:, order]  # stored axis -> R A S
    shape = tuple(np.array([24, 20, 12])[list(order)].tolist())
    corner = -axes @ ((np.array(shape) - 1) / 2)
    affine = nib.affines.from_matvec(axes, corner)
    file = written(tmp_path / "ct.nii", np.ones(shape, np.int16), affine)
    scan = read_scan(Source(file, box_mm=((-6, 4), (-10, 10), (0, 16))))
    at_mm = nib.affines.apply_affine(affine, np.argwhere(scan.array))
    assert len(at_mm) == 10 * 10 * 4
    np.testing.assert_array_equal(np.abs(at_mm.min(0) - [-5.5, -9, 2]) <= spacing_mm / 2, True)
    np.testing.assert_array_equal(np.abs(at_mm.max(0) - [3.5, 9, 14]) <= spacing_mm / 2, True)
    assert scan.geometry.shape == shape


def test_a_box_beyond_the_scan_is_refused_by_name(tmp_path: Path) -> None:
    file = written(tmp_path / "ct.nii", np.ones((5, 5, 5), np.int16), np.eye(4))
    with pytest.raises(UnreadableImage, match=r"ct.nii does not reach its box 90..95 x 0..5 x 0..5 mm"):
        read_scans({"CT": Source(file, box_mm=((90, 95), (0, 5), (0, 5)))})


def test_values_that_count_as_one(tmp_path: Path) -> None:
    file = written(tmp_path / "isup.nii", np.array([[[0, 1, 2, 5]]], np.uint8), np.eye(4))
    case = Case("a", {}, file, merged={2: 1, 5: 1})
    np.testing.assert_array_equal(read_label(case).array, [[[0, 1, 1, 1]]])


def test_a_source_survives_as_plain_values() -> None:
    source = Source(Path("/a.nii"), 2, Path("/b.nii"), ((-1.0, 2.0), (0.0, 1.0), (3.0, 4.0)))
    assert Source.of_plain(*source.plain()) == source
    assert Source.of_plain("/a.nii", None) == Source(Path("/a.nii"))
