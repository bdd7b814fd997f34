"""Teach-Former on HECKTOR 2021: the folder as it is handed out goes in, CT's space comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from distilseg.cli import main
from distilseg.commands._study import make_study
from distilseg.data.case import Source
from distilseg.data.image import read_scan
from distilseg.networks.build import build
from distilseg.networks.count import parameters
from distilseg.recipes import find
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.cases import make_augmentation
from distilseg.training.experiment import Experiment, Study

from ..data.hecktor import CT, write_hecktor
from ..training.small import STUDENT, TEACHERS

RECIPE = "teach_former_hecktor21"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hecktor(tmp_path_factory.mktemp("hecktor") / "hecktor2021_train")


@pytest.fixture(scope="module")
def study(data: Path) -> Study:
    return make_study(data)


def test_the_papers_numbers(study: Study) -> None:
    experiment = find(RECIPE)(study)
    assert experiment.control is not None
    assert tuple(experiment.teachers) == ("h_denseformer", "swin_unetr", "unetr")
    for one in (experiment, experiment.control, *experiment.teachers.values()):
        assert isinstance(one, Experiment)
        plan = one.study.plan
        assert (plan.patch, plan.spacing_mm, plan.crop) == ((144,) * 3, (1.0,) * 3, "nonzero")
        assert plan.total_stride == (16, 16, 16)
        ct, pet = (plan.normalisation[name] for name in ("CT", "PET"))
        assert (ct.kind, ct.low, ct.high, ct.mean, ct.std) == ("window_zscore", -1024, 1024, 0, 1024)
        assert pet.kind == "zscore_damped"
        settings = one.optimisation
        assert (settings.optimizer, settings.learning_rate, settings.weight_decay) == ("adam", 1e-3, 1e-4)
        assert (settings.schedule, settings.clip) == ("polynomial", None)
        assert (one.sampling.batch_size, one.sampling.patches_per_case) == (2, 1)
        assert one.sampling.foreground_fraction == 0
        assert make_augmentation(one).translate.high == 5
        assert (one.budget.epochs, one.validation.patience) == (100, 40)
        assert one.validation.count(one.budget, steps_per_epoch=72) == 100
        assert one.inferer["patch"] == [144] * 3
        assert one.empty == "one"
    assert (experiment.recipe, experiment.control.recipe) == (RECIPE, "teach_former_control")


def test_the_papers_sizes(study: Study) -> None:
    """Parameters in all, with two modalities and two classes; `thop` counts fewer (its table)."""
    experiment = find(RECIPE)(study)
    specs = {role: one.networks["student"] for role, one in experiment.teachers.items()}  # type: ignore[union-attr]
    specs["student"] = experiment.networks["student"]
    specs |= {
        name: find(RECIPE)(study, student=name).networks["student"] for name in ("swin_unetr_light", "ux_net")
    }
    counts = {role: parameters(build(spec)) for role, spec in specs.items()}
    assert counts == {
        "h_denseformer": 11_561_288,
        "swin_unetr": 5_584_700,
        "unetr": 96_342_434,  # MONAI 1.6's
        "student": 1_573_016,
        "swin_unetr_light": 1_548_704,
        "ux_net": 5_119_568,
    }


@pytest.mark.parametrize("outputs", ["live", "recorded"])
def test_by_one_command(data: Path, tmp_path: Path, outputs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost's own process would take minutes; that it can read the scans is seen here."""

    def cost(run: Run, cases: Mapping[str, Mapping[str, Any]], **options: Any) -> dict[str, Any]:
        for images in cases.values():
            scans = [read_scan(Source.of_plain(*json.loads(json.dumps(plain)))) for plain in images.values()]
            assert [scan.array.shape for scan in scans] == [CT[0]] * 2
        return {"parameters": 1}

    monkeypatch.setattr("distilseg.judge.measure_cost", cost)
    words = ["train", RECIPE, "--data", str(data), "--patch", "32,16,16", "--teacher-outputs", outputs]
    words += ["--epochs", "1", "--device", "cpu", "--precision", "32-true"]
    words += ["--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    for option, given in (("--student-option", STUDENT), ("--teacher-option", TEACHERS)):
        words += [word for key, value in given.items() for word in (option, f"{key}={value}")]
    assert main(words) == 0
    runs = [(run.read(run.experiment)["recipe"], run) for run in find_runs(tmp_path / "runs")]
    assert sorted(name for name, _ in runs) == [*["teach_former_control"] * 4, RECIPE]
    run = next(run for name, run in runs if name == RECIPE)
    losses = read_rows(run.losses)
    assert {"seg", "attention", "soft_labels", "deep_supervision"} <= losses[0].keys()
    assert {row["label"] for row in read_rows(run.metrics)} == {"GTVt"}
    assert json.loads((run.folder / "evaluation.json").read_text())["empty"] == "one"
    predictions = sorted(run.predictions.glob("*.nii.gz"))
    assert predictions
    for path in predictions:
        made, given = nib.load(path), nib.load(data / f"hecktor_nii/{path.name.replace('.', '_ct.', 1)}")
        assert made.shape == given.shape
        np.testing.assert_allclose(made.affine, given.affine)
        assert set(np.unique(np.asarray(made.dataobj))) <= {0, 1}
