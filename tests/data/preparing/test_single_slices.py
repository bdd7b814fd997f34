"""Slices drawn from volumes: one of each patient, with foreground, by name and seed alone, where they lay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.data.case import Case, Dataset, Source
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.preparing.cache import cache_cases
from distilseg.data.preparing.single_slices import one_slice_each, recorded_dataset
from distilseg.data.scans.reading import read_label, read_scan, read_scans
from distilseg.errors import UserError
from distilseg.training.studies import fingerprint_of

from ..small_datasets import OBLIQUE, image, write

SHAPE = (20, 18, 16)
AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("volumes") / "scans"
    write_phantom(
        folder, cases=6, shape=SHAPE, spacing_mm=(1, 1.2, 3), modalities=("CT", "MR"), any_orientation=True
    )
    return read_dataset(folder)


def two_labels(tmp_path: Path, arrays: Sequence[np.ndarray], **case: str) -> Dataset:
    """A dataset of these label maps, one case each."""
    cases = []
    for n, array in enumerate(arrays):
        scan = write(tmp_path / f"image_{n}.nii.gz", image(n, array.shape))
        label = write(tmp_path / f"label_{n}.nii.gz", array.astype(np.uint8))
        cases.append(Case(f"case_{n}", {"MR": Source(scan)}, label, **case))
    return Dataset("Drawn", tmp_path, "folders", ("MR",), {0: "background", 1: "organ"}, tuple(cases))


@pytest.mark.parametrize("view", AXIS)
def test_the_slice_is_of_the_view_however_the_volume_is_stored(volumes: Dataset, view: str) -> None:
    orientations = set()
    for case in one_slice_each(volumes, view=view, seed=3).cases:
        whole = volumes.case(case.id)
        label, full = read_label(case), read_label(whole)
        to_ras = nib.orientations.io_orientation(label.geometry.affine)
        in_ras = nib.orientations.apply_orientation(label.array, to_ras)
        expected = tuple(1 if axis == AXIS[view] else n for axis, n in enumerate(SHAPE))
        assert in_ras.shape == expected
        assert label.array.any()
        assert case.slice is not None
        axis, index = case.slice
        np.testing.assert_array_equal(label.array, full.array.take([index], axis))
        for name, scan in read_scans(case.images).items():
            np.testing.assert_array_equal(scan.array, read_scan(whole.images[name]).array.take([index], axis))
        orientations.add(full.geometry.orientation)
    assert len(orientations) > 2


def test_a_voxel_lies_where_it_lay(tmp_path: Path) -> None:
    array = image(0)
    path = write(tmp_path / "a.nii.gz", array, OBLIQUE)
    whole = read_scan(path).geometry.affine
    for axis, index in ((0, 5), (1, 0), (2, 3)):
        part = read_scan(Source(path, slice=(axis, index)))
        voxel = np.array([2, 3, 4])
        voxel[axis] = index
        within = np.where(np.arange(3) == axis, 0, voxel)
        np.testing.assert_allclose(part.geometry.affine @ [*within, 1], whole @ [*voxel, 1], atol=1e-9)
        assert part.array[tuple(within)] == array[tuple(voxel)]
        assert part.geometry.shape == part.array.shape


def test_of_an_oblique_volume_the_nearest_axis_counts(tmp_path: Path) -> None:
    dataset = two_labels(tmp_path, [np.ones((8, 7, 6))])
    oblique = write(tmp_path / "label_0.nii.gz", np.ones((8, 7, 6), np.uint8), OBLIQUE)
    assert read_scan(oblique).geometry.orientation == "RAS"
    drawn = {view: one_slice_each(dataset, view=view).cases[0].slice for view in AXIS}
    assert {view: chosen and chosen[0] for view, chosen in drawn.items()} == AXIS


def test_the_draw_depends_on_name_and_seed_alone(volumes: Dataset) -> None:
    drawn = {case.id: case.slice for case in one_slice_each(volumes, seed=1).cases}
    fewer = replace(volumes, cases=tuple(reversed(volumes.cases[2:])))
    assert {case.id: case.slice for case in one_slice_each(fewer, seed=1).cases} == dict(
        list(drawn.items())[2:]
    )
    others = {case.id: case.slice for case in one_slice_each(volumes, seed=2).cases}
    assert drawn != others


def test_every_slice_with_foreground_can_be_drawn_and_no_other(tmp_path: Path) -> None:
    array = np.zeros((8, 7, 6))
    array[3, 3, [1, 4, 5]] = 1
    dataset = two_labels(tmp_path, [array])
    drawn = {one_slice_each(dataset, seed=seed).cases[0].slice for seed in range(30)}
    assert drawn == {(2, 1), (2, 4), (2, 5)}


def test_one_case_of_a_patient_and_none_without_foreground(tmp_path: Path) -> None:
    full, empty = np.ones((8, 7, 6)), np.zeros((8, 7, 6))
    one_patient = two_labels(tmp_path, [full, full, empty], patient="p")
    chosen = {tuple(c.id for c in one_slice_each(one_patient, seed=seed).cases) for seed in range(20)}
    assert chosen == {("case_0",), ("case_1",)}
    three = two_labels(tmp_path, [full, empty, full])
    assert [case.id for case in one_slice_each(three).cases] == ["case_0", "case_2"]
    with pytest.raises(UserError, match="no label map of dataset Drawn holds a structure"):
        one_slice_each(two_labels(tmp_path, [empty]))


def test_merged_values_are_foreground_as_they_count(tmp_path: Path) -> None:
    array = np.zeros((8, 7, 6))
    array[..., 2], array[..., 4] = 7, 1
    dataset = two_labels(tmp_path, [array])
    merged = replace(dataset, cases=(replace(dataset.cases[0], merged={7: 0}),))
    assert {one_slice_each(merged, seed=seed).cases[0].slice for seed in range(10)} == {(2, 4)}


def test_it_tells_how_far_it_is(volumes: Dataset) -> None:
    told: list[tuple[int, int]] = []
    one_slice_each(volumes, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_what_cannot_be_drawn_from_is_refused(volumes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"view 'axal'.*did you mean 'axial'"):
        one_slice_each(volumes, view="axal")
    with pytest.raises(UserError, match=r"case case_0: .*single slice \[8, 7, 1\].*leave out --one-slice"):
        one_slice_each(two_labels(tmp_path, [np.ones((8, 7, 1))]))
    with pytest.raises(UserError, match="is a single slice"):
        one_slice_each(one_slice_each(volumes))
    (tmp_path / "label_0.nii.gz").unlink()
    with pytest.raises(UserError, match=r"case case_0: .*label_0.nii.gz cannot be read"):
        one_slice_each(
            replace(volumes, cases=(Case("case_0", volumes.cases[0].images, tmp_path / "label_0.nii.gz"),))
        )


def test_a_slice_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", image(0))
    with pytest.raises(UserError, match="6 slices across axis 2, the dataset asks for slice 6"):
        read_scan(Source(path, slice=(2, 6)))


def test_a_source_with_a_slice_comes_back_from_plain_values() -> None:
    source = Source(Path("a.nii.gz"), 1, slice=(2, 5))
    assert Source.of_plain(*source.plain()) == source
    assert Source.of_plain(*Source(Path("a")).plain()) == Source(Path("a"))


def test_other_slices_are_other_measures_and_other_cache_entries(volumes: Dataset, tmp_path: Path) -> None:
    one, two = (one_slice_each(volumes, seed=seed) for seed in (1, 2))
    measures = [fingerprint_of(dataset, tmp_path / "measures") for dataset in (volumes, one, two)]
    assert len(list((tmp_path / "measures" / "fingerprints").iterdir())) == 3
    assert [max(case.shape[2] for case in found.cases) for found in measures] == [16, 1, 1]
    assert fingerprint_of(one, tmp_path / "measures") == measures[1] == measure(one)

    plan = make_plan(one, measures[1])
    ids = [case.id for case in one.cases]
    entries = [cache_cases(dataset, ids, plan, folder=tmp_path / "cache") for dataset in (one, two, one)]
    differing = [id for id in ids if one.case(id).slice != two.case(id).slice]
    for id in ids:
        folders = [entry[id].folder for entry in entries]
        assert folders[0] == folders[2]
        assert (folders[0] != folders[1]) == (id in differing)
        assert entries[0][id].image.shape == (2, 20, 18, 1)


def test_a_run_finds_its_slices_again(volumes: Dataset) -> None:
    drawn = one_slice_each(volumes, view="coronal", seed=4)
    told = {"folder": str(volumes.folder), "layout": volumes.layout}
    told_drawn = {**told, "one_slice_per_subject": {"view": "coronal", "seed": 4}}
    assert recorded_dataset(told).cases == volumes.cases
    assert recorded_dataset(told_drawn).cases == drawn.cases
    assert recorded_dataset(told_drawn, volumes).cases == drawn.cases  # it has moved
    assert recorded_dataset(told_drawn, drawn) is drawn
