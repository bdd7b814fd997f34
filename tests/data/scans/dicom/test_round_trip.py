"""Series as scanners write them are read voxel by voxel; highdicom and SimpleITK read the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.uid import (
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from distilseg.data.scans.dicom.looking import holds_dicom
from distilseg.data.scans.dicom.pixels import stored_pixels
from distilseg.data.scans.dicom.series import found_in
from distilseg.data.scans.reading import read_geometry, read_scan
from distilseg.errors import UserError

from .writing import assert_in_its_place, enhanced, in_jpeg_lossless, oblique, save, series, volume


def written(folder: Path, images: list[Dataset]) -> Path:
    save(images, folder)
    return folder


def test_every_kind_is_read_where_it_is(tmp_path: Path) -> None:
    truth, affine = volume(), oblique()
    for kind in ("MR", "CT", "PT"):
        scan = read_scan(written(tmp_path / kind, series(truth, affine, kind=kind, intercept=-1024)))
        assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)
        assert scan.array.dtype == np.int16
        np.testing.assert_allclose(sorted(scan.geometry.spacing_mm), (0.9, 1.1, 2.5), rtol=1e-6)


def test_every_slice_has_a_slope_of_its_own(tmp_path: Path) -> None:
    slopes = np.linspace(0.5, 3, 8)
    truth, affine = np.round(volume() / slopes) * slopes, oblique()
    scan = read_scan(written(tmp_path, series(truth, affine, kind="PT", slopes=slopes)))
    assert scan.array.dtype == np.float32
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_compressed_slices(syntax: str, tmp_path: Path) -> None:
    truth, affine = volume((70, 66, 3)) % 4000, oblique()
    images = series(truth, affine)
    for image in images:
        image.compress(syntax, encoding_plugin={RLELossless: "pydicom"}.get(syntax, ""))
    scan = read_scan(written(tmp_path, images))
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)


@pytest.mark.parametrize("slope", [1, 2])
def test_jpeg_lossless_by_gdcm_that_rescales_nothing(slope: int, tmp_path: Path) -> None:
    truth, affine = volume((40, 36, 3)) * slope - 1024, oblique()
    images = series(truth, affine, kind="CT", slopes=[slope] * 3, intercept=-1024)
    for image in images:
        in_jpeg_lossless(image)
    scan = read_scan(written(tmp_path, images))
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)


def test_jpeg_of_twelve_bits_as_gdcm_reads_the_whole_file() -> None:
    """Of which pydicom has one, by itself: no volume, but pixels."""
    file = Path(pydicom.__file__).parent / "data" / "test_files" / "JPGExtended.dcm"
    ours = stored_pixels(file, str(pydicom.dcmread(file).SOPInstanceUID))
    np.testing.assert_array_equal(ours, sitk.GetArrayFromImage(sitk.ReadImage(str(file))))


def test_implicit_and_without_preamble(tmp_path: Path) -> None:
    truth, affine = volume(), oblique()
    images = series(truth, affine)
    for n, image in enumerate(images):
        image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        if n % 2:
            image.save_as(tmp_path / f"{n}.dcm", enforce_file_format=True)
        else:  # as some old archives wrote them
            del image.file_meta
            image.save_as(tmp_path / f"no_ending_{n}", implicit_vr=True, little_endian=True)
    scan = read_scan(tmp_path)
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)
    for n in range(1, 8, 2):
        (tmp_path / f"{n}.dcm").unlink()
    (tmp_path / "aaa").write_bytes(b"\x08\x00\x05\x00" + bytes(200))  # begins as they do, and is none
    assert holds_dicom(tmp_path)
    assert found_in(tmp_path).others == {tmp_path / "aaa": ""}


def test_frames_of_an_enhanced_file_with_two_echoes(tmp_path: Path) -> None:
    truth, affine = volume(), oblique()
    both = [*series(truth, affine, EchoTime="4"), *series(truth + 1000, affine, EchoTime="8")]
    written(tmp_path, [enhanced(both)])
    first, second = found_in(tmp_path).volumes
    assert (first.part, second.part) == ("echo=4", "echo=8")
    written(tmp_path / "one", [enhanced(both[:8])])
    scan = read_scan(tmp_path / "one")
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)


def test_highdicom_reads_the_same(tmp_path: Path) -> None:
    slopes = np.linspace(0.5, 3, 8)
    images = series(np.round(volume() / slopes) * slopes, oblique(), kind="PT", slopes=slopes)
    ours = read_scan(written(tmp_path / "slices", images))
    theirs = highdicom.get_volume_from_series(images)
    assert_as_highdicom(ours, theirs)
    whole = enhanced(series(volume(), oblique()))
    ours = read_scan(written(tmp_path / "whole", [whole]))
    theirs = highdicom.imread(tmp_path / "whole" / "I0000").get_volume()
    assert_as_highdicom(ours, theirs)


def assert_as_highdicom(ours, theirs) -> None:  # type: ignore[no-untyped-def]
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ theirs.affine  # axes: plane, row, column
    assert_in_its_place(theirs.array, ras, ours.array, ours.geometry.affine)
    assert theirs.array.size == ours.array.size


def test_the_real_series(real_data: Path) -> None:
    folder = real_data / "dicom_hippocampus"
    if not folder.is_dir():
        pytest.skip("the real series is not there")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    scan = read_scan(folder)
    np.testing.assert_array_equal(scan.array, sitk.GetArrayFromImage(image).T)
    np.testing.assert_allclose(scan.geometry.spacing_mm, image.GetSpacing())
    np.testing.assert_allclose(scan.geometry.affine[:3, 3] * (-1, -1, 1), image.GetOrigin())
    assert read_geometry(folder).shape == scan.array.shape


def test_junk_beside_and_folders_below(tmp_path: Path) -> None:
    truth, affine = volume(), oblique()
    images = series(truth, affine)
    written(tmp_path / "a", images[:3])
    save(images[3:], tmp_path / "b" / "c", "{:d}.ima")
    (tmp_path / "README").write_text("a disc")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    (tmp_path / "b" / "preview.png").write_bytes(b"\x89PNG")
    found = found_in(tmp_path)
    (only,) = found.volumes
    assert only.geometry.shape == truth.shape
    assert {path.name for path in found.others} == {"README", "preview.png"}
    assert [path.name for path in found.broken] == ["DICOMDIR"]


def test_overlay_in_the_unused_bits(tmp_path: Path) -> None:
    truth, affine = volume((5, 4, 3)), oblique()
    images = series(truth, affine)
    for image in images:
        image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 11, 0
        image.PixelData = (np.frombuffer(image.PixelData, np.uint16) | 0x1000).tobytes()
    scan = read_scan(written(tmp_path, images))
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)


def test_pydicom_is_met_in_another_process_alone(tmp_path: Path) -> None:
    written(tmp_path, series(volume(), oblique()))
    code = (
        "import sys; from pathlib import Path; from distilseg.data.scans.reading import read_scan;"
        f"read_scan(Path({str(tmp_path)!r}));"
        "print(sorted({'pydicom', 'highdicom', 'torch'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert told.stdout == "[]\n", told.stderr


def test_without_pydicom_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, series(volume(), oblique()))
    monkeypatch.setattr("distilseg.data.scans.dicom.finding.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"DICOM needs pydicom.*; pip install 'distilseg\[dicom\]'"):
        read_scan(tmp_path)


def test_a_process_that_dies_of_a_codec_costs_its_file_alone(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """As python-gdcm's faults do: it ends the process in which it decodes."""
    truth, affine = volume(), oblique()
    written(tmp_path / "bad", series(truth, affine))
    written(tmp_path / "good", series(truth, affine))
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "import os; from distilseg.data.scans.dicom import pixels, process\n"
        "from distilseg.data.scans.served import serve\n"
        "read = pixels.stored_pixels\n"
        "def stored_pixels(path, name):\n"
        "    return os.abort() if path.parent.name == 'bad' else read(path, name)\n"
        "pixels.stored_pixels = stored_pixels\n"
        "serve(process.answer)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr("distilseg.data.scans.dicom.finding.PROCESS", "deadly")
    with pytest.raises(UserError, match=r"I0000 cannot be read \(the reader crashed on it, SIGABRT\)"):
        read_scan(tmp_path / "bad")
    scan = read_scan(tmp_path / "good")
    assert_in_its_place(scan.array, scan.geometry.affine, truth, affine)


def test_gdcm_is_never_the_decoder() -> None:
    from distilseg.data.scans.dicom.pixels import PLUGINS

    assert "gdcm" not in PLUGINS


def test_a_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    images = series(volume(), oblique())
    paths = save(images, tmp_path)
    found = found_in(tmp_path)
    images[0].SOPInstanceUID = images[0].file_meta.MediaStorageSOPInstanceUID = generate_uid()
    images[0].save_as(paths[0], enforce_file_format=True)
    from distilseg.data.scans.dicom.voxels import voxels_of

    with pytest.raises(UserError, match="another image lies there now"):
        voxels_of(found.volumes[0], tmp_path)
