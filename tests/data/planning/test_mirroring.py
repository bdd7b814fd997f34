"""Axes that may be mirrored: by the places of structures, by their names, and what is left undecided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from distilseg.data.planning.fingerprint import CaseMeasures, Fingerprint, measure
from distilseg.data.planning.mirroring import mirror_axes
from distilseg.recipes import find
from distilseg.training.cases import make_augmentation

from ...training.small import small_study
from ..small_datasets import nnunet


def fingerprint(centres_mm: list[dict[int, tuple[float, float, float]]]) -> Fingerprint:
    cases = tuple(
        CaseMeasures(
            id=f"case_{n}",
            orientation="RAS",
            shape=(9, 9, 9),
            nonzero_shape=(9, 9, 9),
            spacing_mm=(1.0, 1.0, 1.0),
            voxels={},
            range={},
            centres_mm=centres,
        )
        for n, centres in enumerate(centres_mm)
    )
    return Fingerprint(dataset="d", cases=cases, intensities={})


def scattered(offset_mm: tuple[float, float, float], spread_mm: float, cases: int = 40) -> Fingerprint:
    chance = np.random.default_rng(0)
    first = chance.normal(50, 10, (cases, 3))
    second = first - offset_mm + chance.normal(0, spread_mm, (cases, 3))
    return fingerprint([{1: tuple(a), 2: tuple(b)} for a, b in zip(first, second, strict=True)])


LABELS = {0: "background", 1: "anterior", 2: "posterior"}


def test_an_axis_is_fixed_where_one_structure_keeps_to_one_side_of_the_other() -> None:
    # As in the hippocampus: 17.7 mm in front, 7.5 mm below, 1.5 standard deviations to the right.
    axes, why = mirror_axes(scattered((2.2, 17.7, -7.5), 1.5), LABELS, "RAS")
    assert axes == (0,)
    assert "not axis 1: anterior and posterior lie 18 mm apart along it, in the same order" in why


def test_axes_are_those_of_the_plans_orientation() -> None:
    axes, _ = mirror_axes(scattered((0.0, 20.0, 0.0), 1.0), LABELS, "SAR")
    assert axes == (0, 2)
    axes, _ = mirror_axes(scattered((20.0, 0.0, 0.0), 1.0), LABELS, "SAR")
    assert axes == (0, 1)


def test_structures_within_one_another_fix_no_axis() -> None:
    axes, why = mirror_axes(scattered((0.0, 0.0, 0.0), 2.0), LABELS, "RAS")
    assert axes == (0, 1, 2)
    assert why == "no structure keeps to one side of another"


def test_sides_in_names_fix_the_axis_across_them_in_any_number_of_cases() -> None:
    labels = {0: "background", 1: "parotid_right", 2: "parotid_left", 3: "Kidney"}
    axes, why = mirror_axes(fingerprint([{1: (1, 1, 1), 2: (9, 1, 1)}]), labels, "LPS")
    assert axes == (1, 2)
    assert why == "not axis 0: parotid_right and parotid_left are structures of their own"
    assert mirror_axes(fingerprint([{1: (1, 1, 1)}]), {0: "b", 1: "left atrium"}, "RAS")[0] == (0, 1, 2)


def test_nothing_measured_decides_nothing() -> None:
    assert mirror_axes(fingerprint([{}]), LABELS, "RAS")[0] is None


def test_places_are_measured_along_the_patients_axes(tmp_path: Path) -> None:
    import nibabel as nib

    folder = nnunet(tmp_path / "Dataset001_Test")
    from distilseg.data.formats import read_dataset

    dataset = read_dataset(folder)
    labels = {case.id: np.asanyarray(nib.load(case.label).dataobj) for case in dataset.cases}
    for case in measure(dataset).cases:
        array = labels[case.id]
        affine = nib.load(dataset.case(case.id).label).affine
        for value, centre_mm in case.centres_mm.items():
            there = nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.uint8), affine))
            voxels = np.argwhere(np.asanyarray(there.dataobj) == value)
            np.testing.assert_allclose(centre_mm, voxels.mean(0) * there.header.get_zooms()[:3], rtol=1e-5)
        assert set(case.centres_mm) == {v for v in case.voxels if v and case.voxels[v]}


def test_training_mirrors_what_the_plan_says_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    planned = replace(study, plan=study.plan.model_copy(update={"mirror_axes": (0, 2)}))
    for given, settings, mirrored in (
        (study, {}, None),
        (planned, {}, (0, 2)),
        (planned, {"flip_axes": ()}, ()),
        (planned, {"flip_axes": (1,)}, (1,)),
    ):
        experiment = find("supervised")(given).with_settings(**settings)
        assert make_augmentation(experiment).flip_axes == mirrored
