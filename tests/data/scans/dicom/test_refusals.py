"""What is no volume is refused in one line that says what, where and what to do; the rest is read."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from distilseg.data.scans.dicom.series import found_in
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError

from .writing import (
    PATIENT_ID,
    PATIENT_NAME,
    in_jpeg_lossless,
    number,
    oblique,
    save,
    series,
    volume,
)

STRAIGHT = np.diag([-1.0, -1.0, 2.5, 1.0])


@pytest.fixture
def images() -> list[Dataset]:
    return series(volume(), STRAIGHT)


def refused(images: list[Dataset], folder: Path) -> str:
    save(images, folder)
    with pytest.raises(UserError) as caught:
        read_scan(folder)
    told = str(caught.value)
    assert "\n" not in told
    assert not {PATIENT_NAME, PATIENT_ID, images[0].SeriesInstanceUID} & set(told.split())
    return told


def test_a_missing_slice_says_where(images: list[Dataset], tmp_path: Path) -> None:
    del images[3]
    told = refused(images, tmp_path)
    assert "1 slice is missing between 5.00 and 10.00 mm along the normal, where 2.5 mm are usual" in told


def test_uneven_slices(images: list[Dataset], tmp_path: Path) -> None:
    images[3].ImagePositionPatient = ["0", "0", "8.2"]
    assert "its slices lie at uneven distances: 3.20 mm between 5.00 and 8.20" in refused(images, tmp_path)


def test_a_slice_beside_the_line(images: list[Dataset], tmp_path: Path) -> None:
    images[3].ImagePositionPatient = ["0.4", "0", "7.5"]
    assert "that at 7.50 mm along the normal is 0.40 mm beside its place" in refused(images, tmp_path)


def test_doubles_are_dropped_where_their_pixels_are_equal(images: list[Dataset], tmp_path: Path) -> None:
    images.append(copy.deepcopy(images[2]))
    images[-1].SOPInstanceUID = generate_uid()
    save(images, tmp_path)
    assert read_scan(tmp_path).array.shape == (9, 7, 8)
    images[-1].PixelData = images[-1].PixelData[::-1]
    told = refused(images, tmp_path / "other")
    assert "up to 2 different images lie at one place, and nothing tells which belong together" in told


def test_one_name_for_two_images(images: list[Dataset], tmp_path: Path) -> None:
    images.append(copy.deepcopy(images[2]))
    images[-1].PixelData = images[-1].PixelData[::-1]
    assert "two files say that they are the same image, and differ" in refused(images, tmp_path)


def test_swapped_slices(images: list[Dataset], tmp_path: Path) -> None:
    one, other = images[2], images[5]
    places = one.ImagePositionPatient, other.ImagePositionPatient
    other.ImagePositionPatient, one.ImagePositionPatient = places
    assert "the numbers of 2 of its 8 images contradict their places" in refused(images, tmp_path)


def test_tilt(tmp_path: Path) -> None:
    affine = STRAIGHT.copy()
    affine[1, 2] = 2.5 * np.tan(np.radians(12))
    told = refused(series(volume(), affine, kind="CT"), tmp_path)
    assert "has planes that lean by 12.0 degrees (a gantry tilt); predict with --dicom-tilt resample" in told


def test_two_echoes_are_two_volumes(images: list[Dataset], tmp_path: Path) -> None:
    for image in images:
        image.EchoTime = "4.6"
    again = [copy.deepcopy(image) for image in images]
    for image in again:
        image.SOPInstanceUID, image.EchoTime = generate_uid(), "9.2"
    told = refused([*images, *again], tmp_path)
    assert "echo=4.6 (9 x 7 x 8 voxels" in told
    assert "echo=9.2 (9 x 7 x 8 voxels" in told


def test_two_b_values_in_one_stack(images: list[Dataset], tmp_path: Path) -> None:
    for n, image in enumerate(images):
        image.DiffusionBValue = float(1000 * (n % 2))
    assert "its slices differ in b-value" in refused(images, tmp_path)


def test_a_localizer_is_left_out_and_noted(images: list[Dataset], tmp_path: Path) -> None:
    scout = copy.deepcopy(images[0])
    scout.SOPInstanceUID, scout.ImageOrientationPatient = generate_uid(), ["1", "0", "0", "0", "0", "-1"]
    save([*images, scout], tmp_path)
    (only,) = found_in(tmp_path).volumes
    assert only.geometry.shape == (9, 7, 8)
    assert only.notes == ("1 images of another orientation left out",)


def test_a_series_of_localizers_is_told_and_never_chosen(images: list[Dataset], tmp_path: Path) -> None:
    for image in images:
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(images, tmp_path / "scouts")
    (refusal,) = found_in(tmp_path / "scouts").refusals
    assert refusal.cause == "it is made of localizers, no volume"
    save(series(volume(), STRAIGHT, study=images[0].StudyInstanceUID), tmp_path / "good")
    assert read_scan(tmp_path).array.shape == (9, 7, 8)


def test_two_series(images: list[Dataset], tmp_path: Path) -> None:
    save(series(volume(), STRAIGHT, description="other", series_number=4), tmp_path / "b")
    told = refused(images, tmp_path)
    assert "holds 2 series: number=" in told
    assert "description='other'" in told


def test_half_copied_files(images: list[Dataset], tmp_path: Path) -> None:
    paths = save(images, tmp_path)
    whole = paths[4].read_bytes()
    paths[4].write_bytes(whole[: len(whole) - 30])  # within the pixels
    with pytest.raises(UserError, match=r"I0004: it is cut short.*; copy it again"):
        read_scan(tmp_path)
    paths[4].write_bytes(whole[:200])  # within the header
    found = found_in(tmp_path)
    assert list(found.broken) == [paths[4]]
    assert not found.volumes  # a slice is missing


def test_a_length_of_two_gigabytes(images: list[Dataset], tmp_path: Path) -> None:
    save(images, tmp_path)
    raw = (tmp_path / "I0002").read_bytes()
    at = raw.index(b"made", raw.index(b"LO", 200))
    (tmp_path / "I0002").write_bytes(raw[: at - 4] + b"UN\0\0" + (2**31).to_bytes(4, "little") + raw[at:])
    found = found_in(tmp_path)
    assert not found.volumes


def test_an_image_without_a_place_refuses_its_series(images: list[Dataset], tmp_path: Path) -> None:
    del images[7].ImagePositionPatient
    told = refused(images, tmp_path)
    assert "1 of its 8 files cannot be placed: I0007: it does not say the position of its plane" in told


def test_codecs_that_are_not_there_are_named(
    images: list[Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no_itk.py").write_text(
        "from distilseg.data.scans.dicom import itk_pixels, process\n"
        "from distilseg.data.scans.served import serve\n"
        "itk_pixels.find_spec = lambda name: None\n"
        "serve(process.answer)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr("distilseg.data.scans.dicom.finding.PROCESS", "no_itk")
    for image in images:
        in_jpeg_lossless(image)
    told = refused(images, tmp_path / "study")
    assert "nothing here decodes JPEG Lossless" in told
    assert "pip install SimpleITK, or decompress them (dcmdjpeg of DCMTK)" in told


def test_what_says_it_is_jpeg_and_is_none(images: list[Dataset], tmp_path: Path) -> None:
    for image in images:
        image.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom")
        image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    assert "I0000 cannot be read (GDCM cannot decode it)" in refused(images, tmp_path)


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "stored as MONOCHROME1"),
        ({"BitsAllocated": 1}, "16 of 1 bits a pixel"),
        ({"ImageOrientationPatient": ["1", "0", "0", "0.6", "0.8", "0"]}, "stand at no right angle"),
        ({"PixelSpacing": ["0", "1"]}, "pixels of 0 x 1 mm"),
        (
            {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "PixelPaddingValue": 63536},
            "its padding, 63536, does not fit into the 12 bits of a pixel",
        ),
        ({"ImageOrientationPatient": None}, "does not say the orientation"),
    ],
)
def test_strange_headers(tags: dict[str, object], told: str, tmp_path: Path) -> None:
    assert told in refused(series(volume(), STRAIGHT, **tags), tmp_path)


def test_absurd_sizes_are_refused_before_anything_is_read(images: list[Dataset], tmp_path: Path) -> None:
    for image in images:
        image.Rows = image.Columns = 65535
    assert "it is cut short" in refused(images, tmp_path)


def test_the_files_of_pydicom(tmp_path: Path) -> None:
    """All in one folder: none is taken for a volume."""
    theirs = Path(pydicom.__file__).parent / "data" / "test_files"
    for file in theirs.iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    found = found_in(tmp_path)
    assert not found.volumes
    assert len(found.others) > 50
    told = [refusal.told() for refusal in found.refusals] + list(found.broken.values())
    assert all("\n" not in line and "Traceback" not in line for line in told)


def test_every_plane_of_an_oblique_stack_is_found_by_its_place(tmp_path: Path) -> None:
    """Rounded positions, as files hold them, are no unevenness."""
    images = series(volume((9, 7, 40)), oblique((0.4, 0.4, 0.6)))
    for image in images:
        image.ImagePositionPatient = [number(round(float(mm), 2)) for mm in image.ImagePositionPatient]
    save(images, tmp_path)
    assert read_scan(tmp_path).array.shape == (9, 7, 40)


def test_an_end_slice_that_claims_another_frame_of_reference(images: list[Dataset], tmp_path: Path) -> None:
    """The others are even without it, and lack it."""
    images[-1].FrameOfReferenceUID = generate_uid()
    assert "1 of its images have another size, spacing, orientation or frame" in refused(images, tmp_path)
