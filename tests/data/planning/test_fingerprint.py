"""What is measured, against numbers known by construction."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from distilseg.data.case import Case, Dataset, Source
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import phantom_case, write_phantom
from distilseg.data.planning.fingerprint import (
    Fingerprint,
    load_fingerprint,
    measure,
    save_fingerprint,
    working_shapes,
)
from distilseg.data.scans.scan import axis_order
from distilseg.errors import UserError


def written(folder: Path, id: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> Case:
    for name, array in {"image": image, "label": label}.items():
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / f"{id}_{name}.nii.gz")
    return Case(id, {"MR": Source(folder / f"{id}_image.nii.gz")}, folder / f"{id}_label.nii.gz")


def dataset_of(folder: Path, *cases: Case) -> Dataset:
    return Dataset("Tiny", folder, "none", ("MR",), {0: "background", 1: "a", 3: "b"}, cases)


@pytest.fixture
def tiny(tmp_path: Path) -> Dataset:
    """4x5x6 voxels; the foreground of the first case holds 0..3, of the second 4..9."""
    image, label = np.zeros((4, 5, 6), np.float32), np.zeros((4, 5, 6), np.uint8)
    image[1, 2, 1:5], label[1, 2, 1:5] = [0, 1, 2, 3], [1, 1, 1, 3]
    image[2, 3, 2] = -7
    first = written(tmp_path, "one", image, label, np.diag([1, 2, 3, 1]))
    image, label = np.zeros((4, 5, 6), np.int16), np.zeros((4, 5, 6), np.uint8)
    image[0, 0, :], label[0, 0, :] = [4, 5, 6, 7, 8, 9], 3
    axes_slr = np.array([[0, 0, -1, 0], [0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])  # stored along S, A, L
    return dataset_of(tmp_path, first, written(tmp_path, "two", image, label, axes_slr))


def test_measures_by_hand(tiny: Dataset) -> None:
    calls: list[tuple[int, int]] = []
    fingerprint = measure(tiny, progress=lambda done, n: calls.append((done, n)))
    assert calls == [(1, 2), (2, 2)]
    one, two = fingerprint.cases
    assert (one.orientation, one.shape, one.spacing_mm) == ("RAS", (4, 5, 6), (1, 2, 3))
    assert one.nonzero_shape == (2, 2, 3)
    assert one.size_mm == (4, 10, 18)
    assert one.voxels == {0: 116, 1: 3, 3: 1}
    assert one.volumes_mm3 == {0: 696, 1: 18, 3: 6}
    assert one.range == {"MR": (-7, 3)}
    assert (two.orientation, two.shape, two.spacing_mm) == ("SAL", (6, 5, 4), (1, 2, 3))
    assert two.nonzero_shape == (6, 1, 1)
    pooled = np.arange(10)
    intensities = fingerprint.intensities["MR"]
    assert intensities.mean == pytest.approx(4.5)
    assert intensities.std == pytest.approx(pooled.std())
    assert intensities.median == pytest.approx(4.5)
    assert intensities.percentile_00_5 == pytest.approx(0.045)
    assert intensities.percentile_99_5 == pytest.approx(8.955)


def test_working_shapes_by_hand(tiny: Dataset) -> None:
    fingerprint = measure(tiny)
    ras = working_shapes(fingerprint, "RAS", (2, 2, 2), crop="none")
    np.testing.assert_array_equal(ras, [[2, 5, 9], [3, 5, 6]])
    sar = working_shapes(fingerprint, "IPL", (2, 2, 2), crop="none")
    np.testing.assert_array_equal(sar, ras[:, ::-1])
    np.testing.assert_array_equal(
        working_shapes(fingerprint, "RAS", (1, 2, 30), crop="nonzero"), [[2, 2, 1], [6, 1, 1]]
    )


@pytest.mark.parametrize(("letters", "order"), [("RAS", (0, 1, 2)), ("LPI", (0, 1, 2)), ("SPR", (2, 1, 0))])
def test_axis_order(letters: str, order: tuple[int, ...]) -> None:
    assert axis_order(letters) == order


@pytest.mark.parametrize("letters", ["", "RA", "RLS", "XYZ", "RASS"])
def test_nonsense_orientations_are_refused(letters: str) -> None:
    with pytest.raises(UserError, match=r"names no three axes"):
        axis_order(letters)


def test_infinite_voxels_are_left_out(tmp_path: Path) -> None:
    image, label = np.ones((4, 4, 4), np.float32), np.ones((4, 4, 4), np.uint8)
    image[0, 0, 0], image[0, 0, 1], image[0, 0, 2] = np.nan, np.inf, 5
    fingerprint = measure(dataset_of(tmp_path, written(tmp_path, "one", image, label, np.eye(4))))
    assert fingerprint.cases[0].range["MR"] == (1, 5)
    assert fingerprint.intensities["MR"].mean == pytest.approx((61 + 5) / 62, rel=1e-6)


def test_phantom_measured_and_saved(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path / "p", cases=3, shape=(24, 20, 18), seed=4, any_orientation=True)
    fingerprint = measure(read_dataset(folder))
    for number, case in enumerate(fingerprint.cases):
        _, label = phantom_case(number, shape=(24, 20, 18), seed=4)
        assert case.shape == label.shape  # whatever axes it is stored along
        assert list(case.voxels.values()) == np.bincount(label.ravel()).tolist()
    assert fingerprint.intensities["CT"].mean > fingerprint.intensities["PET"].mean
    save_fingerprint(tmp_path / "fingerprint.json", fingerprint)
    assert load_fingerprint(tmp_path / "fingerprint.json") == fingerprint
    assert measure(read_dataset(folder)) == fingerprint


def test_errors_name_the_case(tiny: Dataset, tmp_path: Path) -> None:
    label = np.ones((4, 5, 7), np.uint8)
    other = written(tmp_path, "three", np.zeros((4, 5, 6), np.uint8), label, np.eye(4))
    with pytest.raises(UserError, match=r"case three: MR has \(4, 5, 6\) voxels"):
        measure(dataset_of(tmp_path, *tiny.cases, other))
    gone = Case("gone", {"MR": Source(tmp_path / "gone.nii.gz")}, tmp_path / "gone.nii.gz")
    with pytest.raises(UserError, match=r"case gone"):
        measure(dataset_of(tmp_path, *tiny.cases, gone))
    with pytest.raises(UserError, match=r"case bare has no MR and no label map|case bare has no MR"):
        measure(dataset_of(tmp_path, Case("bare", {})))
    with pytest.raises(UserError, match=r"no labelled case"):
        measure(dataset_of(tmp_path))
    empty = written(tmp_path, "empty", np.ones((3, 3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8), np.eye(4))
    with pytest.raises(UserError, match=r"no case of dataset Tiny has a labelled voxel"):
        measure(dataset_of(tmp_path, empty))


def test_what_is_no_fingerprint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no fingerprint at"):
        load_fingerprint(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(UserError, match=r"not a fingerprint"):
        load_fingerprint(tmp_path / "other.json")


@pytest.mark.real_data
def test_hippocampus(real_data: Path) -> None:
    dataset = read_dataset(real_data / "Task04_Hippocampus")
    fingerprint: Fingerprint = measure(dataset)
    assert len(fingerprint.cases) == len(dataset.cases)
    assert {case.spacing_mm for case in fingerprint.cases} == {(1, 1, 1)}
    greatest = [case.range["MRI"][1] for case in fingerprint.cases]
    assert max(greatest) > 1000 * min(greatest)
