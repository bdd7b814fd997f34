"""Voxels that nobody labelled: nnU-Net's ignore label, from the dataset to the scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distilseg.data.check import check_dataset
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import load_plan, save_plan
from distilseg.data.preparing.cache import cache_cases
from distilseg.errors import UserError
from distilseg.evaluation.by_slice import evaluate_slices
from distilseg.evaluation.evaluate import evaluate_case
from distilseg.types import UNKNOWN

from .small_datasets import SHAPE, image, label, nnunet, write

LABELS = {"background": 0, "tumour": 1, "organ": 2, "ignore": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases; of the second, one slice across I is marked as not labelled, over structures and all."""
    folder = nnunet(tmp_path / "Dataset001_Partly", cases=2, channels=("CT",), labels=LABELS)
    partly = label(1, 2)
    partly[0] = 3
    write(folder / "labelsTr" / "case_1.nii.gz", partly)
    return folder


def test_the_ignore_label_is_no_class_but_the_value_of_unknown_voxels(folder: Path) -> None:
    dataset = read_dataset(folder)
    assert (dataset.labels, dataset.unknown) == ({0: "background", 1: "tumour", 2: "organ"}, 3)
    assert check_dataset(folder).problems == ()


def test_it_is_measured_prepared_and_drawn_from_without_it(folder: Path, tmp_path: Path) -> None:
    dataset = read_dataset(folder)
    fingerprint = measure(dataset)
    assert fingerprint.cases[1].voxels[1] == SHAPE[2] * (SHAPE[0] - 1)
    scans = [image(10 * c)[:, :2] for c in range(2)]
    inside = np.concatenate([scans[0].ravel(), scans[1][1:].ravel()])
    assert fingerprint.intensities["CT"].median == np.median(inside)

    plan = make_plan(dataset, fingerprint, spacing_mm=(1, 1, 2), crop="none", patch=(4, 4, 4))
    assert plan.unknown == 3
    save_plan(tmp_path / "plan.json", plan)
    assert load_plan(tmp_path / "plan.json") == plan
    case = cache_cases(dataset, ["case_1"], plan, folder=tmp_path / "cache")["case_1"]
    assert case.label is not None
    np.testing.assert_array_equal(case.label[0], UNKNOWN)
    np.testing.assert_array_equal(case.label[1:], label(1, 2)[1:])
    assert sorted(case.foreground) == [1, 2]
    assert all((voxels[:, 0] > 0).all() for voxels in case.foreground.values())


def test_plans_without_unknown_voxels_are_written_as_before(tmp_path: Path) -> None:
    dataset = read_dataset(nnunet(tmp_path / "Dataset002_Whole", channels=("CT",)))
    plan = make_plan(dataset, measure(dataset), patch=(4, 4, 4))
    save_plan(tmp_path / "plan.json", plan)
    assert "unknown" not in json.loads((tmp_path / "plan.json").read_text())
    assert "unknown" not in plan.preprocessing()


def test_scores_leave_unknown_voxels_out() -> None:
    reference = np.zeros((6, 6, 6), np.uint8)
    reference[1:5, 1:5, 1:5] = 1
    prediction = reference.copy()
    reference[3:] = 9  # nobody labelled this half
    prediction[4:] = 2  # and here the prediction says anything
    known = np.where(reference == 9, 0, reference)
    told = {"case": "a", "labels": {0: "b", 1: "x"}, "spacing_mm": (1, 1, 1)}
    rows = evaluate_case(reference, prediction, unknown_value=9, **told)
    assert rows == evaluate_case(known, known, **told)
    assert {row["value"] for row in rows} == {0.0, 1.0}
    counted = evaluate_case(reference, prediction, metrics=["dice"], **told)
    assert counted[0]["value"] == pytest.approx(2 * 32 / (32 + 48))  # without it, it is a mistake
    slices = evaluate_slices(
        reference, prediction, case="a", labels={1: "x"}, spacing_mm=(1, 1, 1), axis=0, unknown_value=9
    )
    assert [row["value"] for row in slices if row["metric"] == "dice"][1:3] == [1.0, 1.0]


def test_a_label_map_without_any_label_is_pointed_out(folder: Path) -> None:
    write(folder / "labelsTr" / "case_0.nii.gz", np.full(SHAPE, 3, np.uint8))
    (problem,) = check_dataset(folder).problems
    assert "leaves every voxel without a label" in problem.message


def test_one_value_cannot_be_a_class_and_unknown(folder: Path) -> None:
    described = json.loads((folder / "dataset.json").read_text())
    described["labels"]["ignore"] = 2
    (folder / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="the label value 2 is organ and also the value of voxels without"):
        read_dataset(folder)
