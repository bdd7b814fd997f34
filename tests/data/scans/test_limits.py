"""What is too large is refused in one line, before memory is taken for it."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from distilseg.data.case import Source
from distilseg.data.check import check_dataset
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.preparing.preprocess import preprocess
from distilseg.data.scans import limits
from distilseg.data.scans.reading import read_geometry, read_scan, read_stored
from distilseg.data.scans.scan import UnreadableImage
from distilseg.errors import UserError

from ..small_datasets import decathlon, image, write


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose memory holds three copies of 1000 voxels."""
    monkeypatch.setattr(limits, "memory_bytes", lambda: 12 * 1000)
    assert limits.most_voxels() == 1000


@pytest.mark.usefixtures("small")
def test_every_reader_asks_first(tmp_path: Path) -> None:
    read_stored(write(tmp_path / "fits.nii.gz", image(0, (10, 10, 10))))
    large = write(tmp_path / "large.nii.gz", image(0, (10, 10, 11)))
    for read in (read_stored, read_scan, read_geometry):
        with pytest.raises(UnreadableImage, match=r"large.nii.gz says it holds 10 x 10 x 11 voxels"):
            read(large)


@pytest.mark.usefixtures("small")
def test_a_fourth_axis_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", image(0, (10, 10, 10, 2)))
    with pytest.raises(UnreadableImage, match=r"10 x 10 x 10 x 2 voxels"):
        read_scan(Source(path, 1))


@pytest.mark.usefixtures("small")
def test_the_stored_type_counts(tmp_path: Path) -> None:
    """600 numbers of 8 bytes are more than 1000 of 4."""
    with pytest.raises(UnreadableImage, match=r"10 x 10 x 6 voxels \(0.0 GB as stored\)"):
        read_stored(write(tmp_path / "a.nii.gz", np.zeros((10, 10, 6))))
    read_stored(write(tmp_path / "b.nii.gz", np.zeros((10, 10, 6), np.float32)))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_the_components_of_a_voxel_count(tmp_path: Path, ending: str) -> None:
    vectors = np.zeros((10, 10, 6, 2), np.float32)
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=True), str(path))
    with pytest.raises(UnreadableImage, match="6 x 10 x 10 x 2 voxels"):
        read_stored(path)
    sitk.WriteImage(sitk.GetImageFromArray(vectors[..., 0]), str(path))
    assert read_stored(path).array.shape == (6, 10, 10)


@pytest.mark.usefixtures("small")
def test_colours_of_a_png_count(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((20, 20, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(UnreadableImage, match="20 x 20 x 1 x 3 voxels"):
        read_stored(path)


def test_a_small_file_that_promises_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """What deflate cannot have packed is not there, however much memory this machine has."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((600, 600, 500))
    header["vox_offset"], header["sform_code"] = 352, 1
    header.set_sform(np.eye(4), 1)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + 2**25)))
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=r"says it holds 600 x 600 x 500 voxels .* far more than"):
            read_stored(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_check_goes_on_after_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = decathlon(tmp_path, cases=3)
    write(folder / "imagesTr/case_1.nii.gz", image(7, (10, 10, 11)))
    monkeypatch.setattr(limits, "memory_bytes", lambda: 12 * 1000)
    (problem,) = check_dataset(folder).errors
    assert (problem.case, problem.kind) == ("case_1", "shape")
    assert "at most 0.0 GB fit on this machine" in problem.message


def test_a_small_scan_that_is_giant_at_the_plan_s_spacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, absurd = decathlon(tmp_path, cases=3), np.diag([50.0, 50.0, 50.0, 1.0])
    for part in ("imagesTr", "labelsTr"):
        array = np.asarray(nib.load(folder / part / "case_1.nii.gz").dataobj)
        write(folder / part / "case_1.nii.gz", array, absurd)
    dataset = read_dataset(folder)
    fingerprint = measure(dataset)
    assert make_plan(dataset, fingerprint, spacing_mm=(1, 1, 2), patch=(4, 4, 4), levels=2)
    monkeypatch.setattr(limits, "memory_bytes", lambda: 12 * 1000 * 1000)
    with pytest.raises(UserError, match=r"case_1: resampled to 1 x 1 x 2 mm it has 400 x 350 x 150 voxels"):
        make_plan(dataset, fingerprint, spacing_mm=(1, 1, 2), patch=(4, 4, 4), levels=2)


def test_what_a_plan_would_make_giant_is_refused_where_it_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = decathlon(tmp_path, cases=2)
    dataset = read_dataset(folder)
    plan = make_plan(dataset, measure(dataset), spacing_mm=(1, 1, 2), patch=(4, 4, 4), levels=2)
    scan = read_scan(write(tmp_path / "absurd.nii.gz", image(0), np.diag([50.0, 50.0, 50.0, 1.0])))
    monkeypatch.setattr(limits, "memory_bytes", lambda: 12 * 1000 * 1000)
    refused = r"case x: .*absurd.nii.gz: resampled to 1 x 1 x 2 mm it has 400 x 350 x 150 voxels \(0.1 GB\)"
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=refused):
            preprocess({plan.modalities[0]: scan}, None, plan, case="x")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_the_limit_is_a_container_s_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundless, bound = tmp_path / "memory.max", tmp_path / "limit"
    boundless.write_text("max\n")
    monkeypatch.setattr(limits, "_CONTAINER", [boundless, bound])
    assert limits.most_voxels() > 1e6
    bound.write_text("12000\n")
    assert limits.most_voxels() == 1000
