"""Small DICOM series written from an array and its affine, as scanners write them."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

SOP_CLASS = {
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
PATIENT_NAME, PATIENT_ID = "Planted^Name", "PLANTED-ID-4711"


def number(value: float) -> str:
    """As a decimal string has it: at most 16 characters."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)


def series(
    array_IJK: np.ndarray,
    affine: np.ndarray,
    *,
    kind: str = "MR",
    slopes: Sequence[float] | None = None,
    intercept: float = 0,
    description: str = "made",
    series_number: int = 3,
    study: str = "",
    **tags: Any,
) -> list[Dataset]:
    """One image a slice along K, in the order of K; stored as 16-bit integers, `slopes` by slice."""
    study, uid, frame = study or generate_uid(), generate_uid(), generate_uid()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    columns_mm, rows_mm = (float(np.linalg.norm(lps[:3, axis])) for axis in (0, 1))
    images = []
    for k in range(array_IJK.shape[2]):
        slope = 1.0 if slopes is None else slopes[k]
        stored = np.round((array_IJK[:, :, k].T - intercept) / slope).astype(np.int16)
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = SOP_CLASS[kind], generate_uid()
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, uid, frame
        image.PatientName, image.PatientID, image.Modality = PATIENT_NAME, PATIENT_ID, kind
        image.PatientBirthDate, image.PatientSex, image.StudyDate, image.StudyTime = (
            "",
            "O",
            "20200102",
            "120000",
        )
        image.AccessionNumber, image.ReferringPhysicianName, image.StudyID = "", "", "1"
        image.Manufacturer, image.SeriesDescription, image.SeriesNumber = "made", description, series_number
        image.InstanceNumber, image.ImageType = k + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.ImagePositionPatient = [number(mm) for mm in lps[:3, 2] * k + lps[:3, 3]]
        image.ImageOrientationPatient = [
            number(cosine) for cosine in (*lps[:3, 0] / columns_mm, *lps[:3, 1] / rows_mm)
        ]
        image.PixelSpacing = [number(rows_mm), number(columns_mm)]
        image.SliceThickness = "1"
        image.Rows, image.Columns = stored.shape
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        if slope != 1 or intercept:
            image.RescaleSlope, image.RescaleIntercept = number(slope), number(intercept)
            image.RescaleType = "US"
        for tag, value in tags.items():
            setattr(image, tag, value)
        image.PixelData = stored.tobytes()
        images.append(image)
    return images


def enhanced(images: Sequence[Dataset]) -> Dataset:
    """The images of an MR series as the frames of one."""
    whole = copy.deepcopy(images[0])
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "InstanceNumber"):
        delattr(whole, tag)
    for tag in ("RescaleSlope", "RescaleIntercept", "RescaleType", "EchoTime"):
        if tag in whole:
            delattr(whole, tag)
    whole.NumberOfFrames = len(images)
    frames = []
    for image in images:
        frame = Dataset()
        frame.PlanePositionSequence = Items([_of(image, "ImagePositionPatient")])
        frame.PlaneOrientationSequence = Items([_of(image, "ImageOrientationPatient")])
        frame.PixelMeasuresSequence = Items([_of(image, "PixelSpacing", "SliceThickness")])
        frame.PixelValueTransformationSequence = Items([Dataset()])
        values = frame.PixelValueTransformationSequence[0]
        values.RescaleSlope, values.RescaleIntercept = (
            image.get("RescaleSlope", 1),
            image.get("RescaleIntercept", 0),
        )
        values.RescaleType = "US"
        if "EchoTime" in image:
            echo = Dataset()
            echo.EffectiveEchoTime = float(image.EchoTime)
            frame.MREchoSequence = Items([echo])
        frames.append(frame)
    whole.SharedFunctionalGroupsSequence = Items([Dataset()])
    whole.PerFrameFunctionalGroupsSequence = Items(frames)
    whole.PixelData = b"".join(image.PixelData for image in images)
    return whole


def _of(image: Dataset, *tags: str) -> Dataset:
    part = Dataset()
    for tag in tags:
        setattr(part, tag, image[tag].value)
    return part


def in_jpeg_lossless(image: Dataset) -> None:
    """Compresses an image as many scanners send it, by SimpleITK's GDCM."""
    with tempfile.TemporaryDirectory() as folder:
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(f"{folder}/one.dcm")
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        stored = np.frombuffer(image.PixelData, np.int16).reshape(1, image.Rows, image.Columns)
        writer.Execute(SimpleITK.GetImageFromArray(stored))
        made = pydicom.dcmread(f"{folder}/one.dcm")
    assert made.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    image.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    image.PixelData = made.PixelData
    image["PixelData"].VR = "OB"


def save(images: Sequence[Dataset], folder: Path, name: str = "I{:04d}") -> list[Path]:
    """The images as files called by their number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name.format(n) for n in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save_as(path, enforce_file_format=True)
    return paths


def assert_in_its_place(
    array: np.ndarray, affine: np.ndarray, truth: np.ndarray, true_affine: np.ndarray, *, off: float = 0.06
) -> None:
    """Every voxel has the value that the truth has at that place of the patient."""
    ijk = np.indices(array.shape).reshape(3, -1)
    world = affine[:3, :3] @ ijk + affine[:3, 3:]
    there = np.linalg.solve(true_affine[:3, :3], world - true_affine[:3, 3:])
    nearest = np.round(there).astype(int)
    assert np.abs(there - nearest).max() < off
    assert (nearest >= 0).all()
    assert (nearest < np.array(truth.shape)[:, np.newaxis]).all()
    np.testing.assert_allclose(array.reshape(-1), truth[tuple(nearest)], rtol=1e-5, atol=1e-3)


def oblique(spacing_mm: Sequence[float] = (0.9, 1.1, 2.5), seed: int = 0) -> np.ndarray:
    """An affine that points nowhere in particular."""
    drawn = np.random.default_rng(seed)
    turned, _ = np.linalg.qr(drawn.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * np.asarray(spacing_mm)
    affine[:3, 3] = drawn.uniform(-90, 90, 3)
    return affine


def volume(shape: Sequence[int] = (9, 7, 8), seed: int = 0) -> np.ndarray:
    """Voxels that are all different."""
    return np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(np.int16)
