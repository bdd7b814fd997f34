"""2D images as cases one voxel thick: PNG and 2D NIfTI, read and written as they were stored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from distilseg.data.case import Source
from distilseg.data.check import check_dataset
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.slices import write_phantom_slices
from distilseg.data.phantom.volumes import LABELS
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import Plan
from distilseg.data.preparing.preprocess import preprocess
from distilseg.data.scans.reading import (
    read_geometry,
    read_label,
    read_scan,
    read_scans,
    write_array,
    write_label_map,
)
from distilseg.data.scans.scan import UnreadableImage
from distilseg.errors import UserError

from ..small_datasets import image, nnunet, write, write_json

ROWS = np.arange(12).reshape(3, 4)  # [row, column]


def png(path: Path, rows: np.ndarray, *, vector: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(rows, isVector=vector), str(path))
    return path


def grey_dataset(folder: Path, cases: int = 6) -> Path:
    for n in range(cases):
        rows = np.abs(image(n, (20, 24))).astype(np.uint8)
        labels = np.zeros((20, 24), np.uint8)
        labels[4:12, 6 : 10 + n] = 1
        png(folder / "images" / f"a_{n}.png", rows)
        png(folder / "labels" / f"a_{n}.png", labels)
    write_json(folder / "labels.json", {"0": "background", "1": "organ"})
    return folder


# Reading


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint8, 20), (np.uint16, 5000)])
def test_columns_run_along_i_and_rows_along_j(tmp_path: Path, dtype: type, factor: int) -> None:
    rows = (ROWS * factor).astype(dtype)
    path = png(tmp_path / "a.PNG", rows)
    scan = read_scan(path)
    assert scan.array.dtype == dtype
    np.testing.assert_array_equal(scan.array, rows.T[..., np.newaxis])
    assert scan.geometry.spacing_mm == (1, 1, 1)
    assert scan.geometry.orientation == "RPS"
    geometry = read_geometry(path)
    assert geometry.shape == scan.geometry.shape == (4, 3, 1)
    np.testing.assert_array_equal(geometry.affine, scan.geometry.affine)


def test_colour_of_equal_channels_is_grey(tmp_path: Path) -> None:
    rows = ROWS.astype(np.uint8)
    opaque = np.full_like(rows, 255)
    for name, channels in {"rgb": [rows] * 3, "rgba": [rows, rows, rows, opaque]}.items():
        path = png(tmp_path / f"{name}.png", np.stack(channels, -1), vector=True)
        np.testing.assert_array_equal(read_scan(path).array[..., 0], rows.T)


def test_what_is_no_grey_png_is_refused(tmp_path: Path) -> None:
    rows = ROWS.astype(np.uint8)
    colour = png(tmp_path / "colour.png", np.stack([rows, rows, rows + 1], -1), vector=True)
    with pytest.raises(UserError, match=r"colour.png is a colour PNG \(3 channels.*grey one was expected"):
        read_scan(colour)
    veiled = png(tmp_path / "veiled.png", np.stack([rows] * 4, -1), vector=True)
    with pytest.raises(UserError, match=r"\(4 channels"):
        read_scan(veiled)
    (tmp_path / "text.png").write_text("no PNG")
    for read in (read_scan, read_geometry):
        with pytest.raises(UserError, match=r"text.png is no PNG that can be read"):
            read(tmp_path / "text.png")
    with pytest.raises(UserError, match="holds one 3D image, the dataset asks for its channel 1"):
        read_scan(Source(png(tmp_path / "a.png", rows), 1))


def test_a_2d_nifti_is_one_voxel_thick(tmp_path: Path) -> None:
    array = image(0, (8, 7))
    affine = np.array([[0.0, 0.8, 0, 5], [-1.2, 0, 0, -3], [0, 0, 4, 11], [0, 0, 0, 1]])
    flat, thick = (
        write(tmp_path / "a.nii.gz", array, affine),
        write(tmp_path / "b.nii.gz", array[..., None], affine),
    )
    for path in (flat, thick):
        scan = read_scan(path)
        np.testing.assert_array_equal(scan.array, array[..., None])
        assert scan.geometry.shape == read_geometry(path).shape == (8, 7, 1)
        np.testing.assert_allclose(scan.geometry.affine, affine, atol=1e-6)
        np.testing.assert_array_equal(read_geometry(path).affine, scan.geometry.affine)


def test_a_2d_nifti_without_thickness_is_1_mm_thick(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((8, 7))
    header.set_data_dtype(np.int16)
    header["pixdim"][1:4] = 0.5, 2, 0
    header["qform_code"] = 1
    path = tmp_path / "a.nii"
    path.write_bytes(nib.Nifti1Image(image(0, (8, 7)), None, header).to_bytes())
    raw = bytearray(path.read_bytes())
    raw[88:92] = np.float32(0).tobytes()  # pixdim[3], which nibabel sets to 1
    path.write_bytes(raw)
    assert read_scan(path).geometry.spacing_mm == (0.5, 2, 1)
    assert read_geometry(path).spacing_mm == (0.5, 2, 1)


def test_a_2d_mha_is_one_voxel_thick_and_its_components_are_channels(tmp_path: Path) -> None:
    two = np.stack([ROWS, ROWS + 50], -1).astype(np.int16)
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.GetImageFromArray(two, isVector=True), str(path))
    for channel in (0, 1):
        np.testing.assert_array_equal(read_scan(Source(path, channel)).array[..., 0], two[..., channel].T)
    assert read_geometry(path).shape == (4, 3, 1)


# Writing


def test_labels_of_a_png_are_a_png_of_its_size(tmp_path: Path) -> None:
    scan = read_scan(png(tmp_path / "a.png", ROWS.astype(np.uint8)))
    for highest in (3, 300):
        labels = (scan.array % 2).astype(int) * highest
        write_label_map(tmp_path / "out.png", labels, scan)
        np.testing.assert_array_equal(read_scan(tmp_path / "out.png").array, labels)
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.png")))
        np.testing.assert_array_equal(stored, ROWS % 2 * highest)
    shown = imread(tmp_path / "out.png")  # another reader: rows first
    assert shown.shape == (3, 4)


def test_labels_of_a_2d_nifti_are_a_2d_nifti_with_its_header(tmp_path: Path) -> None:
    affine = np.array([[0.0, 0.8, 0, 5], [-1.2, 0, 0, -3], [0, 0, 4, 11], [0, 0, 0, 1]])
    path = write(tmp_path / "a.nii.gz", image(0, (8, 7)), affine, xyzt_units=2)
    scan = read_scan(path)
    write_label_map(tmp_path / "out.nii.gz", (scan.array > 0).astype(np.uint8), scan)
    old, new = nib.load(path), nib.load(tmp_path / "out.nii.gz")
    assert new.shape == old.shape == (8, 7)
    for name in ("pixdim", "srow_x", "srow_y", "srow_z", "sform_code", "qform_code", "xyzt_units"):
        np.testing.assert_array_equal(new.header[name], old.header[name])
    np.testing.assert_array_equal(np.asarray(new.dataobj), image(0, (8, 7)) > 0)


def test_what_no_png_can_hold_is_refused(tmp_path: Path) -> None:
    volume = read_scan(write(tmp_path / "a.nii.gz", image(0)))
    with pytest.raises(UnreadableImage, match=r"a PNG holds one slice of 8 or 16 bit; .*\.nii\.gz"):
        write_label_map(tmp_path / "out.png", (volume.array > 0).astype(np.uint8), volume)
    flat = read_scan(write(tmp_path / "b.nii.gz", image(0, (8, 7))))
    with pytest.raises(UnreadableImage, match="int16"):
        write_array(tmp_path / "out.png", flat.array, flat)
    assert not (tmp_path / "out.png").exists()


# Datasets


def test_folders_a_table_and_nnunet_of_png(tmp_path: Path) -> None:
    folders = read_dataset(grey_dataset(tmp_path / "folders", 2))
    assert (folders.layout, folders.classes) == ("folders", ("background", "organ"))

    table = tmp_path / "table"
    (table / "x").mkdir(parents=True)
    for case in folders.cases:
        assert case.label is not None
        case.images["image"].path.rename(table / "x" / f"{case.id}.png")
        case.label.rename(table / "x" / f"{case.id}_label.png")
    lines = ["case,image:US,label", *(f"{c.id},x/{c.id}.png,x/{c.id}_label.png" for c in folders.cases)]
    (table / "dataset.csv").write_text("\n".join(lines))
    listed = read_dataset(table)
    assert listed.labels == {0: "background", 1: "label 1"}

    raw = nnunet(tmp_path / "raw", cases=0, channels=("US",), file_ending=".png")
    for case in listed.cases:
        assert case.label is not None
        png(raw / "imagesTr" / f"{case.id}_0000.png", read_scan(case.images["US"]).array[..., 0].T.copy())
        png(raw / "labelsTr" / f"{case.id}.png", read_label(case).array[..., 0].T.copy())
    named = read_dataset(raw)
    for one, other in zip(listed.cases, named.cases, strict=True):
        assert one.id == other.id
        np.testing.assert_array_equal(read_scan(one.images["US"]).array, read_scan(other.images["US"]).array)
        np.testing.assert_array_equal(read_label(one).array, read_label(other).array)


def test_the_check_says_that_1_mm_is_assumed_and_nothing_else(tmp_path: Path) -> None:
    report = check_dataset(grey_dataset(tmp_path))
    assert report.ok
    assert [problem.kind for problem in report.problems] == ["spacing"]
    assert "PNG images such as a_0.png have no spacing: 1 mm a pixel is assumed" in str(report.problems[0])


def test_a_set_of_2d_nifti_is_sound(tmp_path: Path) -> None:
    report = check_dataset(write_phantom_slices(tmp_path / "s", cases=4, ending=".nii.gz"))
    assert [p for p in report.problems if p.kind not in ("label_empty", "label_absent")] == []


@pytest.mark.parametrize(
    ("break_it", "kind", "message"),
    [
        (
            lambda f: png(f / "labels/a_1.png", np.ones((20, 23), np.uint8)),
            "shape",
            r"label .*a_1.png has the shape \[23, 20, 1\], a_1.png has \[24, 20, 1\]",
        ),
        (
            lambda f: png(f / "labels/a_1.png", np.full((20, 24), 255, np.uint8)),
            "label_value",
            r"255 \(480 voxels\), the dataset names 0 and 1; is it a mask stored as 0 and 255\? write 1",
        ),
        (
            lambda f: png(
                f / "images/a_1.png", np.random.default_rng(0).bytes(1440) and _colour(), vector=True
            ),
            "modality",
            r"a_1.png is a colour PNG.*save it as 8 or 16 bit greyscale",
        ),
        (
            lambda f: png(f / "labels/a_1.png", _colour(), vector=True),
            "modality",
            "a_1.png is a colour PNG",
        ),
    ],
)
def test_what_is_wrong_with_a_png_is_named_by_case(
    tmp_path: Path, break_it: object, kind: str, message: str
) -> None:
    break_it(grey_dataset(tmp_path))  # type: ignore[operator]
    errors = check_dataset(tmp_path).errors
    assert [(p.case, p.kind) for p in errors] == [("a_1", kind)]
    assert re.search(message, str(errors[0])), errors[0]
    dataset = read_dataset(tmp_path)
    if kind != "label_value":  # that is told by the plan's classes, below
        with pytest.raises(UserError, match="case a_1"):
            measure(dataset)
    else:
        plan = make_plan(dataset, measure(dataset))
        case = dataset.case("a_1")
        with pytest.raises(UserError, match=r"case a_1: the label holds 255.*did you mean 1 by 255"):
            preprocess(read_scans(case.images), read_label(case), plan, case=case.id)


def _colour() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)


# Plans


def plan_of(folder: Path, **options: object) -> Plan:
    dataset = read_dataset(folder)
    return make_plan(dataset, measure(dataset), **options)  # type: ignore[arg-type]


def test_a_plan_of_png_is_one_of_slices(tmp_path: Path) -> None:
    plan = plan_of(grey_dataset(tmp_path))
    assert plan.patch == (24, 24, 1)  # 24 x 20, in multiples of 8
    assert plan.slice_axis == 2
    assert plan.network_patch == (24, 24)
    assert plan.spacing_mm == (1, 1, 1)
    assert all(stride[2] == 1 for stride in plan.strides)
    assert "every case is a single slice across axis 2" in plan.reasons["patch"]


@pytest.mark.parametrize("stored", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("across", [0, 1, 2])
def test_the_slice_axis_follows_the_orientation(
    tmp_path: Path, stored: tuple[int, int, int], across: int
) -> None:
    """Slices across R, A or S, thinner than their pixels, whatever axes the file has."""
    spacing = [1.5, 1.5, 1.5]
    spacing[across] = 0.4
    shape = [16, 24, 32]
    shape[across] = 1
    affine = np.diag([*spacing, 1.0])[:, [*stored, 3]]
    for n in range(3):
        array = image(n, tuple(shape)).transpose(stored)
        write(tmp_path / "images" / f"{n}.nii.gz", array, affine)
        write(tmp_path / "labels" / f"{n}.nii.gz", (array > 0).astype(np.uint8), affine)
    plan = plan_of(tmp_path)
    assert plan.slice_axis == across
    assert plan_of(tmp_path, slices=True).patch == plan.patch
    assert plan.patch == tuple(shape)
    assert plan.spacing_mm == tuple(spacing)


def test_a_slice_is_never_resampled_across(tmp_path: Path) -> None:
    """Slices 2, 4 and 40 mm thick, all with one pixel size."""
    for n, thickness in enumerate((2.0, 4.0, 40.0)):
        array = image(n, (16, 20, 1))
        affine = np.diag([1.0, 1.0, thickness, 1.0])
        write(tmp_path / "images" / f"{n}.nii.gz", array, affine)
        write(tmp_path / "labels" / f"{n}.nii.gz", (array > 0).astype(np.uint8), affine)
    plan = plan_of(tmp_path, spacing_mm=(0.5, 1, 1))
    dataset = read_dataset(tmp_path)
    for case in dataset.cases:
        done = preprocess(read_scans(case.images), read_label(case), plan, case=case.id)
        assert done.image.shape == (1, 32, 20, 1)
    assert done.grid.spacing_mm == (0.5, 1, 40)


def test_volumes_and_slices_together_stay_as_they_are(tmp_path: Path) -> None:
    for n, depth in enumerate((16, 16, 1)):
        write(tmp_path / "images" / f"{n}.nii.gz", image(n, (16, 16, depth)))
        write(tmp_path / "labels" / f"{n}.nii.gz", (image(n, (16, 16, depth)) > 0).astype(np.uint8))
    assert plan_of(tmp_path).slice_axis is None
    warnings = [p for p in check_dataset(tmp_path).warnings if p.kind == "dimension"]
    assert {p.case for p in warnings} == {"2"}


# Phantom


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
def test_slices_of_the_phantom(tmp_path: Path, ending: str) -> None:
    folder = write_phantom_slices(tmp_path / "s", cases=2, ending=ending)  # type: ignore[arg-type]
    assert json.loads((folder / "labels.json").read_text())["5"] == LABELS[5]
    dataset = read_dataset(folder)
    assert dataset.labels == LABELS
    for case in dataset.cases:
        scan, label = read_scan(case.images["image"]), read_label(case)
        assert scan.array.shape == label.array.shape == (32, 32, 1)
        assert label.array.any()
        # The liver, bright and on the right, is on the right in both files: they are not flipped apart.
        right = nib.orientations.apply_orientation(
            label.array, nib.orientations.io_orientation(label.geometry.affine)
        )
        assert np.argwhere(right == 1)[:, 0].mean() > 16
        inside, outside = scan.array[label.array == 1].mean(), scan.array[0, 0, 0]
        assert inside > outside
