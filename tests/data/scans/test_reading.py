from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from distilseg.data.case import Source
from distilseg.data.scans.reading import read_geometry, read_scan, read_scans, write_array, write_label_map
from distilseg.data.scans.scan import ENDINGS, Geometry, Scan, UnreadableImage, stem
from distilseg.errors import UserError

from ..small_datasets import OBLIQUE, SHAPE, image, label, write

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def kind_of(path: Path) -> str:
    with pytest.raises(UnreadableImage, match=path.name) as caught:
        read_scan(path)
    return caught.value.kind


# Reading


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_stored_type_and_values_are_kept(tmp_path: Path, dtype: type, name: str) -> None:
    array = np.abs(image(0)).astype(dtype)
    scan = read_scan(write(tmp_path / name, array, OBLIQUE))
    assert scan.array.dtype == dtype
    assert np.array_equal(scan.array, array)
    assert scan.array.flags.writeable
    assert np.array_equal(scan.geometry.affine, nib.load(tmp_path / name).affine)


def test_big_endian_voxels_come_in_native_order(tmp_path: Path) -> None:
    nib.save(
        nib.Nifti1Image(image(0), np.eye(4)).as_reoriented([[0, 1], [1, 1], [2, 1]]), tmp_path / "le.nii"
    )
    swapped = nib.Nifti1Image(image(0), np.eye(4), nib.Nifti1Header(endianness=">"))
    nib.save(swapped, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    scan = read_scan(tmp_path / "a.nii")
    assert scan.array.dtype.isnative
    assert np.array_equal(scan.array, image(0))


def test_intensity_scaling_is_applied_only_where_it_changes_something(tmp_path: Path) -> None:
    nifti = nib.Nifti1Image(image(0), np.eye(4))
    nifti.header.set_slope_inter(0.5, 10)
    nib.save(nifti, tmp_path / "scaled.nii.gz")
    with_trivial = nib.Nifti1Image(image(0), np.eye(4))
    with_trivial.header.set_slope_inter(1, 0)
    nib.save(with_trivial, tmp_path / "trivial.nii.gz")
    scaled = read_scan(tmp_path / "scaled.nii.gz").array
    assert scaled.dtype == np.float32
    assert np.allclose(scaled, nib.load(tmp_path / "scaled.nii.gz").get_fdata(), atol=1e-3)
    assert read_scan(tmp_path / "trivial.nii.gz").array.dtype == np.int16


def test_a_channel_of_a_4d_file(tmp_path: Path) -> None:
    array = image(1, (*SHAPE, 3))
    path = write(tmp_path / "four.nii.gz", array)
    assert np.array_equal(read_scan(Source(path, 2)).array, array[..., 2])
    assert read_geometry(path).shape == SHAPE
    scans = read_scans({name: Source(path, c) for c, name in enumerate(("a", "b", "c"))})
    assert all(np.array_equal(scans[name].array, array[..., c]) for c, name in enumerate(("a", "b", "c")))
    with pytest.raises(UserError, match="holds 3 channels, the dataset asks for channel 3"):
        read_scan(Source(path, 3))
    assert kind_of(path) == "dimension"


def test_read_scans_reads_a_shared_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distilseg.data.scans import nifti

    path, real, reads = write(tmp_path / "four.nii.gz", image(1, (*SHAPE, 2))), nifti.read, []
    monkeypatch.setattr(nifti, "read", lambda path: reads.append(path) or real(path))
    read_scans({"a": Source(path, 0), "b": Source(path, 1)})
    assert reads == [path]


def test_trailing_axes_of_one_are_no_dimension(tmp_path: Path) -> None:
    assert read_scan(write(tmp_path / "a.nii.gz", image(0)[..., None])).array.shape == SHAPE


def test_units_other_than_mm_are_converted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", image(0), np.diag([500.0, 500.0, 2000.0, 1.0]), xyzt_units=3)
    assert read_scan(path).geometry.spacing_mm == pytest.approx((0.5, 0.5, 2.0))


def test_geometry_of_a_known_affine() -> None:
    geometry = Geometry(SHAPE, np.array([[0, -2.0, 0, 5], [-3.0, 0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]]))
    assert geometry.spacing_mm == (3.0, 2.0, 4.0)
    assert geometry.orientation == "PLS"


def test_stem() -> None:
    assert [stem(f"folder/case.1{ending}") for ending in ENDINGS] == ["case.1"] * len(ENDINGS)
    assert stem("notes.txt") == "notes.txt"


# Files that cannot be used


def test_no_more_is_unpacked_than_the_header_promises(tmp_path: Path) -> None:
    """50 MB of zeros in 50 kB, behind a small scan: refused, and never held."""
    path = write(tmp_path / "a.nii.gz", image(0))
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(plain + bytes(50 * 2**20)))
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=r"holds far more than the \d+ voxels of its header"):
            read_scan(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()
    later = bytearray(plain)
    later[108:112] = np.float32(1e9).tobytes()  # vox_offset
    path.write_bytes(gzip.compress(later))
    with pytest.raises(UnreadableImage, match="says its voxels begin at byte 1000000000"):
        read_scan(path)


def test_what_follows_the_voxels_or_comes_in_several_members_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", image(0))
    plain, expected = gzip.decompress(path.read_bytes()), read_scan(path).array
    blocks = b"".join(gzip.compress(plain[start : start + 100]) for start in range(0, len(plain), 100))
    for content in (gzip.compress(plain + bytes(999)), blocks, blocks + bytes(64)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_scan(path).array, expected)


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.nii.gz", image(0)).read_bytes()
    plain = gzip.decompress(whole)

    def written(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert kind_of(tmp_path / "absent.nii.gz") == "missing"
    assert kind_of(written("cut.nii.gz", whole[: len(whole) // 2])) == "truncated"
    assert kind_of(written("cut.nii", plain[:-1])) == "truncated"
    assert kind_of(written("cut_header.nii", plain[:100])) == "truncated"
    assert kind_of(written("empty.nii.gz", b"")) == "truncated"
    assert kind_of(written("header.nii", plain[:352])) == "header_only"
    assert kind_of(written("header.nii.gz", gzip.compress(plain[:348]))) == "header_only"
    assert kind_of(written("text.nii.gz", b"version https://git-lfs.github.com/spec/v1")) == "unreadable"
    assert kind_of(written("scan.dcm", plain)) == "unreadable"
    assert kind_of(written("text.nrrd", b"this is no NRRD")) == "unreadable"
    assert kind_of(written("text.mha", b"this is no MHA")) == "unreadable"
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    assert kind_of(written("broken.nii.gz", bytes(broken))) in ("unreadable", "truncated")
    assert kind_of(write(tmp_path / "flat.nii.gz", image(0, (5,)))) == "dimension"
    assert kind_of(write(tmp_path / "complex.nii.gz", image(0).astype(np.complex64))) == "unreadable"
    for path in (tmp_path / "cut_header.nii", tmp_path / "text.nrrd", tmp_path / "empty.nii.gz"):
        with pytest.raises(UserError, match=path.name):
            read_geometry(path)


@pytest.mark.parametrize("value", [0, 3, 127, 128, 255])
def test_no_damaged_header_byte_escapes_as_anything_but_a_user_error(tmp_path: Path, value: int) -> None:
    path, sound = tmp_path / "a.nii", write(tmp_path / "sound.nii", image(0)).read_bytes()
    refused = 0
    for position in range(352):
        path.write_bytes(sound[:position] + bytes([value]) + sound[position + 1 :])
        try:
            assert read_scan(path).array.ndim == 3
        except UnreadableImage:
            refused += 1
    assert 0 < refused < 352


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_truncated_nrrd_or_mha(tmp_path: Path, ending: str) -> None:
    scan = read_scan(write(tmp_path / "a.nii.gz", image(0)))
    path = tmp_path / f"b{ending}"
    write_array(path, scan.array, scan)
    path.write_bytes(path.read_bytes()[:-200])
    assert kind_of(path) == "unreadable"
    with pytest.raises(UserError, match=r"cut short|bytes|read error"):
        read_scan(path)


def test_a_metaimage_without_spacing(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    write_array(path, image(0), Scan(image(0), Geometry(SHAPE, np.diag([1.0, 2.0, 3.0, 1.0])), path))
    path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 0 3"))
    assert kind_of(path) == "spacing"


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd"])
def test_what_a_dicom_series_leaves_in_a_header(ending: str, tmp_path: Path) -> None:
    described = sitk.GetImageFromArray(image(0).transpose(2, 1, 0))
    for name, value in {"0008|0060": "CT", "Patient Name": "Å", "note": "long " * 400}.items():
        described.SetMetaData(name, value)
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(described, path)
    assert np.array_equal(read_scan(path).array, image(0))


# Writing


@pytest.mark.parametrize("like", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".png"])
def test_a_label_map_keeps_the_space_of_its_scan_across_file_types(
    tmp_path: Path, like: str, ending: str
) -> None:
    nifti = read_scan(write(tmp_path / "nifti.nii.gz", image(0), OBLIQUE))
    write_array(tmp_path / f"like{like}", nifti.array, nifti)
    scan = read_scan(tmp_path / f"like{like}")
    labels = label(1, 5, 200).astype(np.int64)
    write_label_map(tmp_path / f"out{ending}", labels, scan)
    back = read_scan(tmp_path / f"out{ending}")
    assert back.array.dtype == np.uint8
    assert np.array_equal(back.array, labels)
    assert np.allclose(back.geometry.affine, scan.geometry.affine, rtol=0, atol=1e-12 * 603)
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd", ".nii.gz"])
def test_simpleitk_sees_the_same_voxel_at_the_same_point(tmp_path: Path, ending: str) -> None:
    """An independent reader agrees: RAS+ affines here are LPS+ points there."""
    scan = read_scan(write(tmp_path / "a.nii.gz", image(0), OBLIQUE))
    labels = np.zeros(SHAPE, np.uint8)
    labels[3, 1, 4] = 9
    write_label_map(tmp_path / f"out{ending}", labels, scan)
    seen = sitk.ReadImage(str(tmp_path / f"out{ending}"))
    assert seen.GetSize() == SHAPE
    assert seen[3, 1, 4] == 9
    for index in [(0, 0, 0), (3, 1, 4), (7, 6, 5)]:
        ours = LPS @ scan.geometry.affine @ [*index, 1]
        assert seen.TransformIndexToPhysicalPoint(index) == pytest.approx(tuple(ours[:3]), abs=1e-4)


def test_reading_what_simpleitk_wrote(tmp_path: Path) -> None:
    made = sitk.GetImageFromArray(image(0).T.copy())
    made.SetSpacing((0.5, 0.75, 3.0))
    made.SetOrigin((10.0, -20.0, 30.0))
    made.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    for ending in (".nrrd", ".mha", ".mhd", ".nii.gz"):
        sitk.WriteImage(made, str(tmp_path / f"a{ending}"))
        scan = read_scan(tmp_path / f"a{ending}")
        assert np.array_equal(scan.array, image(0))
        assert scan.geometry.spacing_mm == pytest.approx((0.5, 0.75, 3.0))
        point = made.TransformIndexToPhysicalPoint((2, 3, 4))
        assert LPS @ scan.geometry.affine @ [2, 3, 4, 1] == pytest.approx([*point, 1], abs=1e-5)
        assert np.allclose(read_geometry(tmp_path / f"a{ending}").affine, scan.geometry.affine)


def test_channels_of_a_vector_image(tmp_path: Path) -> None:
    array = image(3, (*SHAPE, 2))
    sitk.WriteImage(
        sitk.GetImageFromArray(array.transpose(2, 1, 0, 3).copy(), isVector=True), tmp_path / "a.nrrd"
    )
    assert np.array_equal(read_scan(Source(tmp_path / "a.nrrd", 1)).array, array[..., 1])


@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 2), (1, 1), (3, 4), (0, 0)])
def test_from_nifti_to_nifti_the_header_keeps_its_geometry_bit_by_bit(
    tmp_path: Path, qform: int, sform: int
) -> None:
    path, header = tmp_path / "a.nii.gz", nib.Nifti1Header()
    header.set_qform(OBLIQUE, qform)
    header.set_sform(OBLIQUE, sform)
    header.set_xyzt_units("mm", "sec")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(image(0), None, header), path)
    scan = read_scan(path)
    assert np.array_equal(scan.geometry.affine, nib.load(path).affine)
    write_label_map(tmp_path / "out.nii.gz", label(1), scan)
    old, new = nib.load(path).header, nib.load(tmp_path / "out.nii.gz").header
    for name in (
        "srow_x",
        "srow_y",
        "srow_z",
        "quatern_b",
        "quatern_c",
        "quatern_d",
        "qoffset_x",
        "qoffset_z",
    ):
        assert np.array_equal(old[name], new[name])
    assert np.array_equal(old["pixdim"][:4], new["pixdim"][:4])
    assert (int(new["qform_code"]), int(new["sform_code"])) == (qform, sform)
    assert new.get_xyzt_units()[0] == "mm"
    assert np.array_equal(nib.load(path).affine, nib.load(tmp_path / "out.nii.gz").affine)


def test_nifti_2_stays_nifti_2(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(image(0), OBLIQUE), tmp_path / "a.nii.gz")
    scan = read_scan(tmp_path / "a.nii.gz")
    assert np.array_equal(scan.geometry.affine, OBLIQUE)
    write_label_map(tmp_path / "out.nii.gz", label(1), scan)
    assert isinstance(nib.load(tmp_path / "out.nii.gz"), nib.Nifti2Image)
    assert np.array_equal(read_geometry(tmp_path / "out.nii.gz").affine, OBLIQUE)


@pytest.mark.parametrize(
    ("highest", "dtype"), [(0, np.uint8), (255, np.uint8), (256, np.uint16), (70000, np.uint32)]
)
def test_the_smallest_unsigned_type_that_holds_the_labels(tmp_path: Path, highest: int, dtype: type) -> None:
    scan = Scan(image(0), Geometry(SHAPE, OBLIQUE), tmp_path / "in memory")
    labels = np.zeros(SHAPE, np.int64)
    labels[0, 0, 0] = highest
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        write_label_map(tmp_path / name, labels, scan)
        assert read_scan(tmp_path / name).array.dtype == dtype


def test_writing_refuses_another_grid(tmp_path: Path) -> None:
    scan = Scan(image(0), Geometry(SHAPE, OBLIQUE), tmp_path / "in memory")
    with pytest.raises(ValueError, match="shape"):
        write_label_map(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), np.uint8), scan)
    assert not list(tmp_path.iterdir())


@pytest.mark.real_data
def test_real_scans_agree_with_nibabel(real_data: Path) -> None:
    paths = sorted(real_data.glob("*/*Tr/*.nii.gz"))[::40]
    assert len(paths) > 5
    for path in paths:
        scan, reference = read_scan(path), nib.load(path)
        assert np.array_equal(scan.array, np.asanyarray(reference.dataobj))
        assert scan.array.dtype == reference.get_data_dtype()
        assert np.array_equal(scan.geometry.affine, reference.affine)
