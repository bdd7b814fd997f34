"""Challenges' folders as they are handed out, whose modalities lie on grids of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.data.case import Dataset
from distilseg.data.check import check_dataset
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import Plan
from distilseg.data.planning.splits import split_cases
from distilseg.data.preparing.cache import cache_cases
from distilseg.errors import UserError

from .hecktor import BOX_MM, CT, write_hecktor
from .picai import T2W, write_picai


@pytest.fixture(scope="module")
def hecktor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hecktor(tmp_path_factory.mktemp("hecktor") / "hecktor2021_train")


@pytest.fixture(scope="module")
def picai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picai(tmp_path_factory.mktemp("picai") / "PICAI")


def planned(dataset: Dataset, **options: object) -> Plan:
    return make_plan(dataset, measure(dataset), **options)  # type: ignore[arg-type]


def test_hecktor_as_it_is_handed_out(hecktor: Path) -> None:
    dataset = read_dataset(hecktor)
    assert dataset.layout == "hecktor"
    assert dataset.modalities == ("CT", "PET")
    assert dataset.labels == {0: "background", 1: "GTVt"}
    assert [case.id for case in dataset.cases] == [f"CHGJ{n:03d}" for n in range(7, 12)]
    case = dataset.cases[0]
    assert case.images["PET"].path.name == "CHGJ007_pt.nii.gz"
    assert case.images["PET"].onto == case.images["CT"].path
    assert case.label is not None
    assert case.label.name == "CHGJ007_gtvt.nii.gz"
    box = case.images["CT"].box_mm
    assert box == case.images["PET"].box_mm
    np.testing.assert_allclose([high - low for low, high in box], BOX_MM)
    assert read_dataset(hecktor / "hecktor_nii").cases[0].images["CT"].box_mm == box
    assert check_dataset(dataset).problems == ()


def test_pet_comes_onto_the_grid_of_ct_and_only_the_box_is_prepared(hecktor: Path, tmp_path: Path) -> None:
    dataset = read_dataset(hecktor)
    plan = planned(dataset, spacing_mm=(1.0, 1.0, 1.0), patch=(16, 16, 16))
    assert plan.crop == "nonzero"
    prepared = cache_cases(dataset, [case.id for case in dataset.cases], plan, folder=tmp_path)
    for case in prepared.values():
        assert case.label is not None
        assert case.label.shape == (36, 36, 36)
        assert case.grid.original_shape == CT[0]
        pet, tumour = case.image[1], np.asarray(case.label) == 1
        # Hot where the tumour was drawn on CT: its inner half by far, and nothing hot beyond.
        assert pet[tumour].mean() > pet[~tumour].mean() + 1.5
        assert tumour[pet > pet.max() * 0.7].mean() > 0.95
        volume_mm3 = tumour.sum() * np.prod(case.spacing_mm)
        assert volume_mm3 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.1)


def test_what_a_box_or_a_grid_changes_is_prepared_anew(hecktor: Path, tmp_path: Path) -> None:
    dataset = read_dataset(hecktor)
    plan = planned(dataset, spacing_mm=(1.0, 1.0, 1.0), patch=(16, 16, 16))
    case = dataset.cases[0]
    ct = case.images["CT"]
    smaller = replace(ct, box_mm=tuple((low + 6, high - 6) for low, high in ct.box_mm))
    other = replace(case, images={"CT": smaller, "PET": replace(case.images["PET"], box_mm=smaller.box_mm)})
    shapes = []
    for one in (case, other):
        narrowed = replace(dataset, cases=(one,))
        shapes.append(cache_cases(narrowed, [case.id], plan, folder=tmp_path)[case.id].image.shape)
    assert shapes == [(2, 36, 36, 36), (2, 24, 24, 24)]


def test_hecktor_without_boxes_and_the_unlabelled(tmp_path: Path) -> None:
    folder = write_hecktor(tmp_path / "train", cases=2, boxes=False)
    (folder / "hecktor_nii/CHGJ008_gtvt.nii.gz").unlink()
    dataset = read_dataset(folder)
    assert [case.id for case in dataset.unlabelled] == ["CHGJ008"]
    assert dataset.cases[0].images["CT"].box_mm == ()


def test_an_incomplete_hecktor_says_which_file(tmp_path: Path) -> None:
    folder = write_hecktor(tmp_path / "train", cases=2)
    table = folder / "hecktor2021_bbox_training.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join(rows[:2]))
    with pytest.raises(UserError, match="the tables of boxes name no CHGJ008"):
        read_dataset(folder)
    table.write_text("\n".join([*rows[:2], "CHGJ008,1,2,3,x,5,6"]))
    with pytest.raises(UserError, match=r"hecktor2021_bbox_training.csv, line 3 is no box: \['CHGJ008', '1'"):
        read_dataset(folder)
    table.unlink()
    (folder / "hecktor_nii/CHGJ008_pt.nii.gz").unlink()
    with pytest.raises(UserError, match=r"CHGJ008_ct.nii.gz has no CHGJ008_pt.nii.gz beside it"):
        read_dataset(folder)


@pytest.mark.parametrize("place", [".", "images", "picai_public_images_fold3"])
def test_picai_as_it_is_handed_out(tmp_path: Path, place: str) -> None:
    dataset = read_dataset(write_picai(tmp_path, patients=3, place=place))
    assert dataset.layout == "picai"
    assert dataset.modalities == ("T2W", "HBV", "ADC")
    assert dataset.labels == {0: "background", 1: "csPCa"}
    assert [case.id for case in dataset.cases] == ["10000_1000000", "10000_1000001", "10001_1000002"]
    assert [case.id for case in dataset.unlabelled] == ["10002_1000003"]
    assert {case.patient for case in dataset.cases} == {"10000", "10001"}
    images = dataset.cases[1].images
    assert images["ADC"].path.name == "10000_1000001_adc.mha"
    assert images["ADC"].onto == images["HBV"].onto == images["T2W"].path
    assert images["T2W"].onto is None


def test_the_labels_of_picai_may_lie_beside_the_images(tmp_path: Path) -> None:
    write_picai(tmp_path, place="images")
    assert len(read_dataset(tmp_path / "images").cases) == 4


def test_picai_is_prepared_on_t2w_and_grades_count_as_lesion(picai: Path, tmp_path: Path) -> None:
    dataset = read_dataset(picai)
    assert {
        problem.kind for problem in check_dataset(dataset).problems if problem.severity == "error"
    } == set()
    plan = planned(dataset, patch=(16, 16, 8), normalisation="maximum")
    prepared = cache_cases(dataset, [case.id for case in dataset.cases], plan, folder=tmp_path)
    found = {id: np.unique(case.label).tolist() for id, case in prepared.items()}  # type: ignore[arg-type]
    assert found == {case.id: [0] if n == 0 else [0, 1] for n, case in enumerate(dataset.cases)}
    for id, case in prepared.items():
        assert case.grid.original_shape == T2W[0]
        if found[id] == [0, 1]:
            lesion = np.asarray(case.label) == 1
            hbv, adc = case.image[1], case.image[2]
            assert adc[lesion].mean() < 0.75 * adc[~lesion].mean()
            assert hbv[lesion].mean() > 1.2 * hbv[~lesion].mean()
        assert case.image.min() >= 0
        np.testing.assert_allclose(case.image.max(axis=(1, 2, 3)), 1)


def test_studies_of_one_patient_stay_on_one_side(picai: Path) -> None:
    cases = read_dataset(picai).cases
    for seed in range(5):
        split = split_cases(cases, seed=seed, fractions=(0.4, 0.3, 0.3))
        sides = [part for part in (split.train, split.validation, split.test) if "10000_1000000" in part]
        assert ["10000_1000001" in part for part in sides] == [True]


def test_an_incomplete_picai_says_which_file(tmp_path: Path) -> None:
    folder = write_picai(tmp_path, place="images")
    (folder / "images/10001/10001_1000002_hbv.mha").unlink()
    with pytest.raises(UserError, match=r"10001_1000002_adc.mha has no 10001_1000002_hbv.mha beside it"):
        read_dataset(folder)
    (folder / "picai_labels").rename(folder / "elsewhere")
    with pytest.raises(
        UserError, match="has no picai_labels/csPCa_lesion_delineations/human_expert/resampled"
    ):
        read_dataset(folder)


@pytest.mark.parametrize("layout", ["hecktor", "picai"])
def test_a_layout_forced_on_another_folder(tmp_path: Path, layout: str) -> None:
    (tmp_path / "picai_labels/csPCa_lesion_delineations/human_expert/resampled").mkdir(parents=True)
    with pytest.raises(UserError, match="in the layout of"):
        read_dataset(tmp_path, layout)


def test_a_prediction_lies_in_the_space_of_ct(hecktor: Path, tmp_path: Path) -> None:
    """A box hides nothing of the geometry: what is restored has CT's shape, and 0 beyond the box."""
    dataset = read_dataset(hecktor)
    plan = planned(dataset, spacing_mm=(1.0, 1.0, 1.0), patch=(16, 16, 16))
    case = cache_cases(dataset, ["CHGJ007"], plan, folder=tmp_path)["CHGJ007"]
    restored = case.grid.restore(np.ones(case.grid.cropped_shape, np.uint8))
    reference = nib.load(dataset.cases[0].label)
    assert restored.shape == reference.shape
    assert restored.sum() == 24 * 24 * 9  # 36 mm of 1.5, 1.5 and 4 mm
    assert restored[np.asarray(reference.dataobj) == 1].all()
