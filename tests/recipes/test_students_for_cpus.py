"""The students for CPUs in place of the papers': two steps of each kind of recipe, then a prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.sampling.slices import sliced
from distilseg.data.scans.reading import read_scan
from distilseg.predict import load_predictor
from distilseg.recipes import find
from distilseg.runs import read_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import NETWORK, TEACHERS, of_tokens, other_volumes, small_study

CPU = Machine(device="cpu", precision="32-true")
NARROW = {"widths": [8, 8, 8]}
TEACHER = {"teacher_network_options": NETWORK}
FEWER = {key: value for key, value in TEACHERS.items() if key.startswith("h_dense")}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("scans"), cases=5, modalities=("CT", "PET"))


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("supervised", {"network": "student_tiny"}),
        ("supervised", {"network": "student_small", "network_options": NARROW}),
        ("supervised", {"network": "student_base", "network_options": NARROW}),
        ("dual_self_distillation", {"network": "student_tiny", "network_options": NARROW}),
        ("kd_net", {"network": "student_small", "network_options": NARROW}),
        ("kd_net", {"network": "student_tiny", "teacher_network": "dynunet", **TEACHER}),
        ("teach_former", {"student": "student_tiny", "student_options": NARROW}),
        ("thickened", {"backbone": "student_tiny", "thickness": 3}),
        ("prototype_distillation", {"network": "student_base", "network_options": NARROW}),
        ("sliced", {"network": "student_tiny", "network_options": NARROW}),
    ],
)
def test_two_steps(recipe: str, options: dict[str, Any], study: Study, tmp_path: Path) -> None:
    if recipe in ("teach_former", "dual_self_distillation"):
        study = of_tokens(study)  # of five levels
    if recipe == "teach_former":
        options = {**options, "teachers": ("h_denseformer",), "teacher_options": FEWER}
    if recipe == "prototype_distillation":
        options = {**options, **other_volumes(tmp_path, study), **TEACHER}
    if recipe == "sliced":
        recipe, study = "supervised", replace(study, plan=sliced(study.plan))
    experiment = find(recipe)(study, **options).with_settings(Budget(steps=2), validations=1)
    run = trained(experiment, runs=tmp_path / "runs", machine=CPU, cache=tmp_path / "cache")
    losses = [float(row["total"]) for row in read_rows(run.losses)]
    assert losses  # prototype distillation has half the steps, its student before it the others
    assert np.isfinite(losses).all()
    case = study.dataset.case(study.split.test[0])
    predictor = load_predictor(run.folder)
    scans = {name: read_scan(case.images[name]) for name in predictor.plan.modalities}
    labels = predictor.segment(scans, case=case.id)
    assert labels.shape == scans[predictor.plan.modalities[0]].array.shape
    assert set(np.unique(labels)) <= set(study.plan.label_values)
