"""SEGs damaged in every way that we could think of: labels lie where they were, or the study is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from distilseg.data.formats import read_dataset
from distilseg.data.scans.reading import read_label
from distilseg.errors import UserError

from ..scans.dicom.segs import LIVER, SPLEEN, seg
from ..scans.dicom.writing import assert_in_its_place, save, series
from .test_segmented import mirrored

CASES, PARTS = 100, 4

Draw = np.random.Generator


def place(made: Dataset, draw: Draw) -> Dataset:
    frames = made.PerFrameFunctionalGroupsSequence
    return frames[draw.integers(len(frames))].PlanePositionSequence[0]


def shared(made: Dataset) -> Dataset:
    return made.SharedFunctionalGroupsSequence[0]


def moved(position: Dataset, by_mm: np.ndarray) -> None:
    there = np.array(position.ImagePositionPatient, float) + by_mm
    position.ImagePositionPatient = [f"{mm:.9g}"[:16] for mm in there]


def shift_one(made: Dataset, draw: Draw) -> None:
    """By a share of a pixel in its plane, which no other grid would explain."""
    cosines = np.array(shared(made).PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared(made).PixelMeasuresSequence[0].PixelSpacing, float)
    moved(place(made, draw), draw.uniform(0.1, 0.9) * spacing[1] * cosines[:3])


def shift_all_out(made: Dataset, draw: Draw) -> None:
    for frame in made.PerFrameFunctionalGroupsSequence:
        moved(frame.PlanePositionSequence[0], np.array([3000.0, 0, 0]))


def stretch(made: Dataset, draw: Draw) -> None:
    measures = shared(made).PixelMeasuresSequence[0]
    measures.PixelSpacing = [f"{float(mm) * draw.uniform(1.05, 2):.6g}" for mm in measures.PixelSpacing]


def turn(made: Dataset, draw: Draw) -> None:
    plane = shared(made).PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [*plane.ImageOrientationPatient[3:], *plane.ImageOrientationPatient[:3]]


def tell_from_the_other_end(made: Dataset, draw: Draw) -> None:
    if made.SegmentationType == "BINARY":
        mirrored(made, str(draw.choice(["rows", "columns"])))


def two_frames_at_one_place(made: Dataset, draw: Draw) -> None:
    frames = made.PerFrameFunctionalGroupsSequence
    if len(frames) > 1:
        one, other = draw.choice(len(frames), 2, replace=False)
        frames[one].PlanePositionSequence = frames[other].PlanePositionSequence
        if made.SegmentationType == "BINARY" and "SegmentIdentificationSequence" in frames[one]:
            frames[one].SegmentIdentificationSequence = frames[other].SegmentIdentificationSequence


def other_frame_of_reference(made: Dataset, draw: Draw) -> None:
    made.FrameOfReferenceUID = generate_uid()


def no_references(made: Dataset, draw: Draw) -> None:
    del made.ReferencedSeriesSequence
    for frame in made.PerFrameFunctionalGroupsSequence:
        if "DerivationImageSequence" in frame:
            del frame.DerivationImageSequence


def cut_short(made: Dataset, draw: Draw) -> None:
    made.PixelData = made.PixelData[: len(made.PixelData) // 2]


def fewer_frames_than_it_says(made: Dataset, draw: Draw) -> None:
    made.PerFrameFunctionalGroupsSequence = Items(list(made.PerFrameFunctionalGroupsSequence)[1:])


def more_rows(made: Dataset, draw: Draw) -> None:
    made.Rows += int(draw.integers(1, 3))


def no_place(made: Dataset, draw: Draw) -> None:
    del place(made, draw).ImagePositionPatient


def one_number_twice(made: Dataset, draw: Draw) -> None:
    for segment in made.SegmentSequence:
        segment.SegmentNumber = 1


def shares(made: Dataset, draw: Draw) -> None:
    made.SegmentationType = "FRACTIONAL"
    made.MaximumFractionalValue = 255


def no_frame_says_its_segment(made: Dataset, draw: Draw) -> None:
    for frame in made.PerFrameFunctionalGroupsSequence:
        if "SegmentIdentificationSequence" in frame:
            del frame.SegmentIdentificationSequence


def nothing(made: Dataset, draw: Draw) -> None:
    pass


WAYS: list[Callable[[Dataset, Draw], None]] = [
    shift_one,
    shift_all_out,
    stretch,
    turn,
    tell_from_the_other_end,
    two_frames_at_one_place,
    other_frame_of_reference,
    no_references,
    cut_short,
    fewer_frames_than_it_says,
    more_rows,
    no_place,
    one_number_twice,
    shares,
    no_frame_says_its_segment,
    nothing,
]


def made_up(draw: Draw, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A series anywhere, that leans now and then, beside another of its study, and a SEG of it."""
    shape = (int(draw.integers(3, 6)), int(draw.integers(3, 6)), int(draw.integers(5, 9)))
    turned, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * draw.uniform(0.5, 4, 3)
    affine[:3, 3] = draw.uniform(-200, 200, 3)
    if draw.random() < 0.2:
        affine[:3, 2] += affine[:3, 1] * draw.uniform(0.1, 1)
    array = draw.permutation(int(np.prod(shape))).reshape(shape).astype(np.int16)
    images = series(array, affine)
    save(images, folder / "a")
    other = affine.copy()
    other[:3, 3] += 7.3
    save(series(array, other, study=images[0].StudyInstanceUID, series_number=5), folder / "b")
    truth = draw.choice([0, 0, 1, 2], shape).astype(np.uint8)
    truth[0, 0, :2] = (1, 2)
    kind = str(draw.choice(["BINARY", "LABELMAP"]))
    made = seg(images, truth, {1: "liver", 2: "spleen"}, {1: LIVER, 2: SPLEEN}, kind=kind)
    save([made], folder, "seg.dcm")
    return truth, affine


@pytest.mark.parametrize("part", range(PARTS))
def test_equal_or_refused(part: int, tmp_path: Path) -> None:
    read, refused = 0, list[str]()
    for seed in range(part * CASES // PARTS, (part + 1) * CASES // PARTS):
        draw, folder = np.random.default_rng(seed), tmp_path / str(seed)
        truth, affine = made_up(draw, folder)
        ways = [WAYS[n] for n in draw.choice(len(WAYS), draw.integers(1, 3), replace=False)]
        made = pydicom.dcmread(folder / "seg.dcm")  # in which frames share no sequence
        try:
            for way in ways:
                way(made, draw)
        except (AttributeError, ValueError, IndexError):  # one that was taken away
            continue
        save([made], folder, "seg.dcm")
        try:
            dataset = read_dataset(folder)
            label = read_label(dataset.cases[0])
        except UserError as error:
            refused.append(str(error))
        else:
            try:
                assert dataset.labels == {0: "background", 1: "liver", 2: "spleen"}
                assert_in_its_place(label.array, label.geometry.affine, truth, affine)
            except AssertionError as error:
                error.add_note(f"case {seed}: {[way.__name__ for way in ways]}, {made.SegmentationType}")
                raise
            read += 1
        shutil.rmtree(folder)
    assert read > 1
    assert len(refused) > 5
    assert not any("\n" in told for told in refused)
