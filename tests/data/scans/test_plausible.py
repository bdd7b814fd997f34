"""Which grids are a body's, and how headers that the standard allows are read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from distilseg.data.check import check_dataset
from distilseg.data.scans.plausible import implausible
from distilseg.data.scans.reading import read_geometry, read_scan, read_stored, write_label_map
from distilseg.data.scans.scan import Geometry, UnreadableImage

from ..small_datasets import OBLIQUE, SHAPE, decathlon, image, label, write

HERE = Path("a scan")


def sheared(degrees: float) -> np.ndarray:
    affine = np.diag([1.5, 1.5, 3.0, 1.0])
    affine[1, 2] = 3 * np.tan(np.radians(degrees))
    return affine


def edited(path: Path, change: Callable[[Any], object]) -> Path:
    """A sound scan whose header fields are changed, whatever nibabel thinks of it."""
    raw = write(path, image(0), OBLIQUE).read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    header = nib.Nifti1Header(raw[:348], check=False)
    change(header)
    content = header.binaryblock + raw[348:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# Geometry


def test_the_volume_of_a_voxel_is_the_determinant() -> None:
    assert Geometry(SHAPE, sheared(25)).voxel_mm3 == pytest.approx(1.5 * 1.5 * 3)
    assert Geometry(SHAPE, OBLIQUE).voxel_mm3 == pytest.approx(0.9 * 1.1 * 2.5, rel=1e-4)


@pytest.mark.parametrize(
    "affine",
    [
        OBLIQUE,
        OBLIQUE.astype(np.float32).astype(float),
        np.diag([-0.7, -0.7, 5.0, 1.0]),
        sheared(0.5),
        np.diag([1e-3, 1e-3, 2e-3, 1]),
    ],
)
def test_ordinary_grids_are_plausible(affine: np.ndarray) -> None:
    assert implausible(Geometry(SHAPE, affine), HERE) is None


@pytest.mark.parametrize(
    ("geometry", "kind", "words"),
    [
        (Geometry(SHAPE, np.diag([1, np.inf, 1, 1])), "geometry", "NaN or infinite"),
        (Geometry(SHAPE, np.diag([1.0, 0, 1, 1])), "spacing", "spacing 1, 0, 1 mm"),
        (Geometry(SHAPE, np.diag([1.0, 3000, 1, 1])), "spacing", "spacing 1, 3000, 1 mm"),
        (Geometry(SHAPE, np.diag([1.0, 1e-7, 1, 1])), "spacing", "1e-07"),
        (
            Geometry(SHAPE, np.eye(4)[:, [0, 0, 2, 3]]),
            "geometry",
            "same",
        ),
        (Geometry(SHAPE, sheared(25)), "geometry", r"sheared: its axes lean up to 25.0 degrees"),
        (Geometry(SHAPE, sheared(-2)), "geometry", r"lean up to 2.0 degrees"),
        (Geometry(SHAPE, np.eye(4), (1.3, 1.3, 10.0)), "spacing", "1.3, 1.3, 10 mm .* and 1, 1, 1 mm"),
        (Geometry(SHAPE, np.eye(4), (1.0, 0.0, 1.0)), "spacing", r"pixdim\) 1, 0, 1"),
        (Geometry(SHAPE, np.eye(4), (1.0, np.nan, 1.0)), "spacing", r"pixdim\) 1, nan, 1"),
    ],
)
def test_what_is_no_grid_of_a_body(geometry: Geometry, kind: str, words: str) -> None:
    refusal = implausible(geometry, HERE)
    assert refusal is not None
    assert refusal.kind == kind
    with pytest.raises(UnreadableImage, match=words):
        raise refusal
    assert refusal.fix


def test_a_single_slice_may_be_as_thick_as_it_is() -> None:
    assert implausible(Geometry((5, 5, 1), np.diag([1.0, 1, 500, 1])), HERE) is None


@pytest.mark.parametrize(
    ("stated_mm", "sound"), [((1.5, 1.5, 3.31), True), ((1.5, 1.5, 3.0), True), ((1.5, 1.5, 2.0), False)]
)
def test_of_a_leaning_axis_headers_state_the_edge_or_the_layer(
    stated_mm: tuple[float, ...], sound: bool
) -> None:
    geometry = Geometry(SHAPE, sheared(25), stated_mm)
    refusal = implausible(geometry, HERE)
    assert refusal is not None
    assert "sheared" in refusal.cause
    refusal = implausible(geometry, HERE, sheared=True)
    assert (refusal is None) == sound
    assert refusal is None or "two voxel sizes: 1.5, 1.5, 2 mm" in refusal.cause


def test_two_voxel_sizes_in_one_header(tmp_path: Path) -> None:
    """Of another scale than the quaternion's: refused where it is read, named with both by check."""

    def acdc(h: Any) -> None:
        h.set_qform(np.diag([1.3, 1.3, 10, 1]), code=1)
        h.set_sform(np.eye(4), code=2)

    folder = decathlon(tmp_path)
    path = edited(folder / "imagesTr/case_0.nii.gz", acdc)
    with pytest.raises(UnreadableImage, match=r"states two voxel sizes: 1.3, 1.3, 10 mm .* 1, 1, 1 mm"):
        read_scan(path)
    assert read_stored(path).stated_mm == pytest.approx((1.3, 1.3, 10))
    problems = [problem for problem in check_dataset(folder).errors if problem.kind == "spacing"]
    assert [problem.path for problem in problems] == [path]
    assert "1.3, 1.3, 10 mm" in problems[0].message
    # The unit counts for both: 1000 µm are 1 mm.
    micro = write(tmp_path / "micro.nii.gz", image(0), np.diag([500.0, 500.0, 2000.0, 1.0]), xyzt_units=3)
    assert read_scan(micro).geometry.stated_mm == pytest.approx((0.5, 0.5, 2))


def test_a_sheared_scan_is_told_by_check_and_read_only_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = decathlon(tmp_path)
    path = write(folder / "imagesTr/case_0.nii.gz", image(0), sheared(25))
    with pytest.raises(UnreadableImage, match="sheared"):
        read_scan(path)
    assert np.array_equal(read_scan(path, sheared=True).array, image(0))
    assert any("sheared" in problem.message for problem in check_dataset(folder).errors)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ("2 0 0 0 1 0 0 0 1", "two voxel sizes: 1, 1, 1 .* 2, 1, 1"),
        ("1 0 0 0 1 0 0 0.5 1", r"sheared: its axes lean up to 26\.6 degrees"),
    ],
)
def test_direction_cosines_that_are_no_unit_vectors(tmp_path: Path, matrix: str, words: str) -> None:
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.GetImageFromArray(image(0).T.copy()), str(path))
    assert read_scan(path).geometry.spacing_mm == (1, 1, 1)
    unit = b"TransformMatrix = 1 0 0 0 1 0 0 0 1"
    path.write_bytes(path.read_bytes().replace(unit, b"TransformMatrix = " + matrix.encode()))
    with pytest.raises(UnreadableImage, match=words):
        read_scan(path)


def test_an_nrrd_s_directions_are_its_spacing_but_may_lean(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(image(0).T.copy()), str(path))
    sound = path.read_bytes()
    unit = b"(1,0,0) (0,1,0) (0,0,1)"
    path.write_bytes(sound.replace(unit, b"(2,0,0) (0,1,0) (0,0,1)"))
    assert read_scan(path).geometry.spacing_mm == (2, 1, 1)
    path.write_bytes(sound.replace(unit, b"(1,0,0) (0,1,0) (0,0.3,1)"))
    with pytest.raises(UnreadableImage, match=r"sheared: its axes lean up to 16\.7 degrees"):
        read_scan(path)


# Headers that the standard allows


def by_quaternion(h: Any) -> None:
    h["sform_code"], h["qform_code"] = 0, 1


@pytest.mark.parametrize("scale", [1 + 1e-6, 1 + 1e-4])
def test_a_quaternion_longer_than_1_by_rounding(tmp_path: Path, scale: float) -> None:
    """Half a turn about the axis between y and z: a is 0, (b, c, d) is as long as its rounding makes it."""

    def rounded(h: Any) -> None:
        by_quaternion(h)
        h["pixdim"][:4] = 1, 1, 2, 3
        h["quatern_b"], h["quatern_c"], h["quatern_d"] = 0, scale * np.sqrt(0.5), scale * np.sqrt(0.5)
        h["qoffset_x"], h["qoffset_y"], h["qoffset_z"] = 4, 5, 6

    path = edited(tmp_path / "a.nii.gz", rounded)
    expected = [[-1, 0, 0, 4], [0, 0, 3, 5], [0, 2, 0, 6], [0, 0, 0, 1]]
    scan = read_scan(path)
    np.testing.assert_allclose(scan.geometry.affine, expected, atol=1e-6)
    itk = sitk.ReadImage(str(path))
    assert itk.TransformIndexToPhysicalPoint((1, 2, 3)) == pytest.approx((-3, -14, 10), abs=1e-3)
    # What is written in its space has its header, and can be read again.
    write_label_map(tmp_path / "out.nii.gz", label(1), scan)
    np.testing.assert_array_equal(read_scan(tmp_path / "out.nii.gz").geometry.affine, scan.geometry.affine)


def test_a_quaternion_that_is_none_is_one_refusal(tmp_path: Path) -> None:
    def wild(h: Any) -> None:
        by_quaternion(h)
        h["quatern_b"], h["quatern_c"] = 3, 4

    with pytest.raises(UnreadableImage, match=r"unusable qform .*; correct its header"):
        read_scan(edited(tmp_path / "a.nii.gz", wild))


def test_qfac_0_is_1(tmp_path: Path) -> None:
    sound = read_geometry(edited(tmp_path / "a.nii.gz", by_quaternion)).affine

    def zero(h: Any) -> None:
        by_quaternion(h)
        h["pixdim"][0] = 0

    assert np.allclose(sound, OBLIQUE, atol=1e-4)
    assert np.array_equal(read_scan(edited(tmp_path / "b.nii.gz", zero)).geometry.affine, sound)


def test_a_voxel_size_below_0_is_refused_beside_a_sform_and_without(tmp_path: Path) -> None:
    """It is a length; whether the axis runs the other way is for the affine to say."""

    def signed(h: Any) -> None:
        h["pixdim"][2] = -1.5

    with pytest.raises(UnreadableImage, match=r"voxel size \(pixdim\) 0.9, -1.5, 2.5; write the true"):
        read_scan(edited(tmp_path / "a.nii.gz", signed))
    with pytest.raises(UnreadableImage, match=r"pixdims.* should be positive"):
        read_scan(edited(tmp_path / "b.nii.gz", lambda h: (by_quaternion(h), signed(h))))


def test_a_bad_quaternion_behind_an_sform_is_not_asked(tmp_path: Path) -> None:
    def wild(h: Any) -> None:
        h["quatern_b"], h["pixdim"][0] = 7, 0

    assert np.allclose(read_scan(edited(tmp_path / "a.nii.gz", wild)).geometry.affine, OBLIQUE, atol=1e-4)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_without_an_offset_follow_the_header(tmp_path: Path, name: str) -> None:
    path = edited(tmp_path / name, lambda h: h.__setitem__("vox_offset", 0))
    assert np.array_equal(read_scan(path).array, image(0))


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_no_slope_is_no_scaling(tmp_path: Path, slope: float) -> None:
    path = edited(tmp_path / "a.nii.gz", lambda h: h.__setitem__("scl_slope", slope))
    assert np.array_equal(read_scan(path).array, image(0))
