"""Every kind of recipe on label maps in which nobody labelled some of the voxels."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from distilseg.recipes import find
from distilseg.runs import read_rows
from distilseg.training.budget import Budget
from distilseg.training.cases import prepare
from distilseg.training.experiment import Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained
from distilseg.types import UNKNOWN

from ..training.small import NETWORK, small_study

NOBODYS = 9  # in the label maps
DYNUNET: dict[str, Any] = {"network": "dynunet", "network_options": NETWORK}
RECIPES: dict[str, dict[str, Any]] = {
    "supervised": DYNUNET,
    "dual_self_distillation": DYNUNET,
    "kd_net": {"network_options": NETWORK},
    "teach_former": {
        "teachers": ("dynunet",),
        "teacher_options": {"dynunet.filters": [4, 8, 8]},
        "student": "dynunet",
        "student_options": NETWORK,
    },
    "thickened": {"thickness": 3},
    "prototype_distillation_student": {"network": "dynunet", "network_options": NETWORK},
    "u_hved": {"network_options": {"filters": [4, 8, 8]}},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Phantoms of which nobody labelled the first ten slices, and nothing at all in one of them."""
    study = small_study(tmp_path_factory.mktemp("scans"), cases=5, modalities=("CT", "PET"))
    for n, case in enumerate(study.dataset.cases[:3]):
        assert case.label is not None
        stored = nibabel.load(case.label)
        label = np.asarray(stored.dataobj).astype(np.uint8)
        label[: 10 if n else None] = NOBODYS
        nibabel.save(nibabel.Nifti1Image(label, stored.affine), case.label)
    dataset = replace(study.dataset, unknown=NOBODYS)
    return replace(study, dataset=dataset, plan=study.plan.model_copy(update={"unknown": NOBODYS}))


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_learns_from_the_others(recipe: str, study: Study, tmp_path: Path) -> None:
    experiment = find(recipe)(study, **RECIPES[recipe]).with_settings(Budget(steps=2), validations=1)
    prepared = prepare(experiment, tmp_path / "cache")
    shares = [np.mean(prepared[id].label == UNKNOWN) for id in study.split.train]
    assert shares == [1.0, 0.5, 0.5]
    run = trained(experiment, runs=tmp_path / "runs", machine=Machine(device="cpu"), cache=tmp_path / "cache")
    rows = read_rows(run.losses)
    assert len(rows) == 2
    assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)
    assert max(float(row["total"]) for row in rows) > 0
    assert run.read(run.status)["best_validation_dice"] >= 0
