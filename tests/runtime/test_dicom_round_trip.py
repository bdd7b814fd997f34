"""A scan as DICOM of every kind, predicted, as SEG, and learned from again: one and the same label map."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from distilseg.data.formats import read_dataset
from distilseg.data.scans.dicom.codes import private
from distilseg.data.scans.dicom.segmentation import Model, SegWriter
from distilseg.data.scans.reading import read_label, read_scan
from distilseg.data.scans.scan import Scan
from distilseg.predict import predict_files

from ..data.scans.dicom.writing import assert_in_its_place, enhanced, in_jpeg_lossless, save, series
from ..test_predict import predictor, scan, write
from .test_dicom import SLOPE, as_series, rounded
from .test_dicom_seg import read_back

Made = Callable[[Scan], Sequence[Dataset]]


def compressed(syntax: str) -> Made:
    def made(given: Scan) -> Sequence[Dataset]:
        images = as_series(given)
        for image in images:
            image.compress(syntax, encoding_plugin={RLELossless: "pydicom"}.get(syntax, ""))
        return images

    return made


def by_gdcm(given: Scan) -> Sequence[Dataset]:
    images = as_series(given)
    for image in images:
        in_jpeg_lossless(image)
    return images


def pet(given: Scan) -> Sequence[Dataset]:
    """Every slice by a slope of its own, all powers of 2: the voxels stay what they are."""
    slopes = [SLOPE / 2 ** (k % 3) for k in range(given.array.shape[2])]
    return series(given.array, given.geometry.affine, kind="PT", slopes=slopes)


def ct(given: Scan) -> Sequence[Dataset]:
    return series(
        given.array, given.geometry.affine, kind="CT", slopes=[SLOPE] * given.array.shape[2], intercept=-1
    )


KINDS: dict[str, Made] = {
    "MR": as_series,
    "CT": ct,
    "PET with slopes": pet,
    "enhanced": lambda given: [enhanced(as_series(given))],
    "JPEG 2000": compressed(JPEG2000Lossless),
    "JPEG-LS": compressed(JPEGLSLossless),
    "RLE": compressed(RLELossless),
    "JPEG lossless": by_gdcm,
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_label_map_all_the_way_round(kind: str, tmp_path: Path) -> None:
    given = rounded(scan(shape=(68, 66, 7)))  # oblique; JPEG 2000 takes none that is smaller
    folder = tmp_path / "study"
    save(KINDS[kind](given)[::-1], folder)
    write(tmp_path / "case.nii.gz", given)
    seg = SegWriter({0: "background", 1: "blob"}, {1: private(1, "blob")}, Model("tiny", "0.2.0", "ab" * 32))
    model, modality = predictor(modalities=("image",)), "image"
    predict_files(model, tmp_path / "case.nii.gz", tmp_path / "out")
    predict_files(model, folder, tmp_path / "out")
    predict_files(model, folder, tmp_path / "out", seg=seg)
    truth = read_scan(tmp_path / "out" / "case.nii.gz")
    nifti = read_scan(tmp_path / "out" / "study.nii.gz")
    array, affine = read_back(tmp_path / "out" / "study.dcm")
    assert 0.1 < truth.array.mean() < 0.9, modality
    (tmp_path / "out" / "study.dcm").rename(folder / "labels.dcm")
    learned = read_label(read_dataset(folder).cases[0])
    for own, at in (
        (nifti.array, nifti.geometry.affine),
        (array, affine),
        (learned.array, learned.geometry.affine),
    ):
        assert_in_its_place(own, at, truth.array, truth.geometry.affine)
        assert np.count_nonzero(own) == np.count_nonzero(truth.array)


def test_a_codec_that_kills_its_process_costs_its_case_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As python-gdcm's faults do."""
    for name in ("a", "bad", "z"):
        save(as_series(rounded(scan())), tmp_path / "disc" / name)
    (tmp_path / "deadly_codec.py").write_text(
        "import os; from distilseg.data.scans.dicom import pixels, process\n"
        "from distilseg.data.scans.served import serve\n"
        "read = pixels.stored_pixels\n"
        "def stored_pixels(path, name):\n"
        "    return os.abort() if path.parent.name == 'bad' else read(path, name)\n"
        "pixels.stored_pixels = stored_pixels\n"
        "serve(process.answer)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr("distilseg.data.scans.dicom.finding.PROCESS", "deadly_codec")
    summary = predict_files(predictor(), tmp_path / "disc", tmp_path / "out")
    assert set(summary.written) == {"a", "z"}
    (told,) = summary.refused.values()
    assert "I0000 cannot be read (the reader crashed on it, SIGABRT); copy it again" in told
    assert "\n" not in told
