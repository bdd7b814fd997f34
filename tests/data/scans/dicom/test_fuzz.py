"""Series damaged in every way that somebody has seen: what is read lies where it was, or it is refused."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from distilseg.data.scans.dicom.series import found_in
from distilseg.data.scans.dicom.voxels import voxels_of
from distilseg.data.scans.scan import UnreadableImage

from .writing import assert_in_its_place, number, save, series

CASES, PARTS = 500, 10

Draw = np.random.Generator
Images = list[Dataset]


def _one(images: Images, draw: Draw) -> Dataset:
    return images[draw.integers(len(images))]


def _moved(image: Dataset, by_mm: np.ndarray) -> None:
    image.ImagePositionPatient = [
        number(float(a) + b) for a, b in zip(image.ImagePositionPatient, by_mm, strict=True)
    ]


def _normal(image: Dataset) -> np.ndarray:
    cosines = np.array(image.ImageOrientationPatient, float)
    return np.cross(cosines[:3], cosines[3:])


def drop(images: Images, draw: Draw) -> None:
    for _ in range(draw.integers(1, 3)):
        if len(images) > 2:
            images.pop(draw.integers(len(images)))


def double(images: Images, draw: Draw) -> None:
    images.append(copy.deepcopy(_one(images, draw)))


def double_under_a_new_name(images: Images, draw: Draw) -> None:
    double(images, draw)
    images[-1].SOPInstanceUID = generate_uid()


def double_with_other_pixels(images: Images, draw: Draw) -> None:
    double_under_a_new_name(images, draw)
    images[-1].PixelData = images[-1].PixelData[::-1]


def two_of_one_name(images: Images, draw: Draw) -> None:
    double(images, draw)
    images[-1].PixelData = images[-1].PixelData[::-1]


def copy_elsewhere(images: Images, draw: Draw) -> None:
    double(images, draw)
    _moved(images[-1], (draw.integers(1, 9)) * 2.5 * _normal(images[-1]))


def shift_along(images: Images, draw: Draw) -> None:
    image = _one(images, draw)
    _moved(image, draw.uniform(-4, 4) * _normal(image))


def shift_aside(images: Images, draw: Draw) -> None:
    image = _one(images, draw)
    _moved(image, draw.uniform(-4, 4) * np.array(image.ImageOrientationPatient[:3], float))


def swap(images: Images, draw: Draw) -> None:
    one, other = draw.choice(len(images), 2, replace=False)
    a, b = images[one], images[other]
    a.ImagePositionPatient, b.ImagePositionPatient = b.ImagePositionPatient, a.ImagePositionPatient


def turn_one(images: Images, draw: Draw) -> None:
    image = _one(images, draw)
    image.ImageOrientationPatient = [*image.ImageOrientationPatient[3:], *image.ImageOrientationPatient[:3]]


def mirror_one(images: Images, draw: Draw) -> None:
    image = _one(images, draw)
    image.ImageOrientationPatient = [
        *(number(-float(c)) for c in image.ImageOrientationPatient[:3]),
        *image.ImageOrientationPatient[3:],
    ]


def stretch_one(images: Images, draw: Draw) -> None:
    image = _one(images, draw)
    image.PixelSpacing = [number(float(mm) * draw.uniform(1.01, 2)) for mm in image.PixelSpacing]


def other_series(images: Images, draw: Draw) -> None:
    _one(images, draw).SeriesInstanceUID = generate_uid()


def other_frame_of_reference(images: Images, draw: Draw) -> None:
    _one(images, draw).FrameOfReferenceUID = generate_uid()


def localizer(images: Images, draw: Draw) -> None:
    turn_one(images, draw)
    images.append(copy.deepcopy(_one(images, draw)))
    images[-1].SOPInstanceUID, images[-1].ImageType = generate_uid(), ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def echoes(images: Images, draw: Draw) -> None:
    """A second echo, darker by one; the truth knows it by its values."""
    again = [copy.deepcopy(image) for image in images]
    for image in images:
        image.EchoTime = "4.6"
    for image in again:
        image.SOPInstanceUID, image.EchoTime = generate_uid(), "9.2"
        whole = image.PixelData[: len(image.PixelData) // 2 * 2]
        image.PixelData = (np.frombuffer(whole, np.int16) + 1000).tobytes()
    images += again[: draw.integers(1, len(again) + 1)]


def echo_of_one(images: Images, draw: Draw) -> None:
    _one(images, draw).EchoTime = "77"


def no_place(images: Images, draw: Draw) -> None:
    del _one(images, draw).ImagePositionPatient


def cut_short(images: Images, draw: Draw) -> None:
    image = _one(images, draw)
    image.PixelData = image.PixelData[: len(image.PixelData) // 2]


def renumber(images: Images, draw: Draw) -> None:
    for image, k in zip(images, draw.permutation(len(images)), strict=True):
        image.InstanceNumber = int(k)


def acquisitions(images: Images, draw: Draw) -> None:
    for image in images:
        image.AcquisitionNumber = int(draw.integers(1, 3))


def nothing(images: Images, draw: Draw) -> None:
    pass


WAYS: list[Callable[[Images, Draw], None]] = [
    drop,
    double,
    double_under_a_new_name,
    double_with_other_pixels,
    two_of_one_name,
    copy_elsewhere,
    shift_along,
    shift_aside,
    swap,
    turn_one,
    mirror_one,
    stretch_one,
    other_series,
    other_frame_of_reference,
    localizer,
    echoes,
    echo_of_one,
    no_place,
    cut_short,
    renumber,
    acquisitions,
    nothing,
]


def made(draw: Draw) -> tuple[np.ndarray, np.ndarray, Images]:
    """A truth of 5 to 11 slices, all voxels different, anywhere; in a quarter of the cases it leans."""
    shape = (int(draw.integers(3, 6)), int(draw.integers(3, 6)), int(draw.integers(5, 12)))
    truth = draw.permutation(int(np.prod(shape))).reshape(shape).astype(np.int16)
    turned, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * draw.uniform(0.5, 4, 3)
    if draw.random() < 0.25:
        affine[:3, 2] += affine[:3, 1] * draw.uniform(0.1, 1)
    affine[:3, 3] = draw.uniform(-200, 200, 3)
    return truth, affine, series(truth, affine)


@pytest.mark.parametrize("part", range(PARTS))
def test_equal_or_refused(part: int, tmp_path: Path) -> None:
    read = refused = 0
    for seed in range(part * CASES // PARTS, (part + 1) * CASES // PARTS):
        draw = np.random.default_rng(seed)
        truth, affine, images = made(draw)
        ways = [WAYS[n] for n in draw.choice(len(WAYS), draw.integers(1, 4), replace=False)]
        if {swap, renumber} <= set(ways):  # then nothing says where they were
            ways.remove(renumber)
        folder = tmp_path / str(seed)
        try:
            for way in ways:
                way(images, draw)
        except AttributeError:  # one that was taken away
            continue
        save([images[n] for n in draw.permutation(len(images))], folder)
        found = found_in(folder)
        refused += len(found.refusals) + len(found.broken)
        used = {file for one in (*found.volumes, *found.refusals) for file in one.files}
        if len(used) < len(images) - len(found.broken):  # nothing is left out in silence
            assert found.refusals or any(volume.notes for volume in found.volumes), seed
        for volume in found.volumes:
            at = volume.geometry.affine
            try:
                array = voxels_of(volume, folder).astype(int)
            except UnreadableImage:
                refused += 1
                continue
            try:
                assert_in_its_place(array % 1000, at, truth, affine, off=0.11)
                assert len(np.unique(array // 1000)) == 1  # of one echo
            except AssertionError as error:
                error.add_note(f"case {seed}: {[way.__name__ for way in ways]}: {volume.told()}")
                raise
            read += 1
        shutil.rmtree(folder)
    assert read > 2
    assert refused > 5


def test_a_sound_series_is_read_whole(tmp_path: Path) -> None:
    for seed in range(20):
        truth, _, images = made(np.random.default_rng(seed))
        (volume,) = found_in(save(images, tmp_path / str(seed))[0].parent).volumes
        assert voxels_of(volume, tmp_path).size == truth.size
