"""Teach-Former on HECKTOR 2021 and PI-CAI 2022: folders as handed out go in, their own space comes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from distilseg.cli import main
from distilseg.data.case import Source
from distilseg.data.scans.reading import read_scan
from distilseg.export.cost import Model
from distilseg.networks.build import build
from distilseg.networks.count import parameters
from distilseg.recipes import find
from distilseg.runs import find_runs, read_rows
from distilseg.training.cases import make_augmentation
from distilseg.training.experiment import Experiment, Study
from distilseg.training.studies import make_study
from tests.costs import unmeasured

from ..data.formats.hecktor import CT, write_hecktor
from ..data.formats.picai import write_picai
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

    def costs(models: Sequence[Model], **options: Any) -> list[dict[str, Any]]:
        for images in (images for model in models for images in model.cases.values()):
            scans = [read_scan(Source.of_plain(*json.loads(json.dumps(plain)))) for plain in images.values()]
            assert [scan.array.shape for scan in scans] == [CT[0]] * 2
        return unmeasured(models)

    monkeypatch.setattr("distilseg.judge.measure_costs", costs)
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


@pytest.fixture(scope="module")
def prostates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picai(tmp_path_factory.mktemp("picai") / "picai")


def test_slices_as_published(prostates: Path) -> None:
    experiment = find("teach_former_picai22")(make_study(prostates))
    assert experiment.control is not None
    for one in (experiment, experiment.control, *experiment.teachers.values()):
        assert isinstance(one, Experiment)
        plan = one.study.plan
        assert (plan.patch, plan.network_patch, plan.spacing_mm) == (
            (384, 384, 1),
            (384, 384),
            (0.5, 0.5, 3.0),
        )
        assert {normalisation.kind for normalisation in plan.normalisation.values()} == {"maximum"}
        assert (one.sampling.batch_size, one.sampling.patches_per_case) == (16, 24)
        assert make_augmentation(one).rotate_degrees.step == 5
        assert (one.budget.epochs, one.validation.patience, one.empty) == (100, 40, "one")
        assert one.inferer["kind"] == "slices"
    specs = {role: one.networks["student"] for role, one in experiment.teachers.items()}  # type: ignore[union-attr]
    specs["student"] = experiment.networks["student"]
    specs |= {
        name: find("teach_former_picai22")(make_study(prostates), student=name).networks["student"]
        for name in ("swin_unetr_light", "ux_net")
    }
    assert {role: parameters(build(spec)) for role, spec in specs.items()} == {
        "h_denseformer": 5_197_032,
        "swin_unetr": 11_057_276,
        "unetr": 87_973_122,
        "student": 1_312_224,
        "swin_unetr_light": 2_782_388,
        "ux_net": 4_718_882,
    }


def test_slices_by_one_command(prostates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, judged by case and by slice."""
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    words = ["train", "teach_former_picai22", "--data", str(prostates), "--patch", "32,32"]
    words += ["--teachers", "h_denseformer,unetr", "--epochs", "0.1", "--device", "cpu"]
    words += ["--precision", "32-true", "--patches-per-case", "8", "--batch-size", "4"]
    words += ["--runs", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    fewer = {key: value for key, value in TEACHERS.items() if not key.startswith("swin")}
    for option, given in (("--student-option", STUDENT), ("--teacher-option", fewer)):
        words += [word for key, value in given.items() for word in (option, f"{key}={value}")]
    assert main(words) == 0
    run = next(run for run in find_runs(tmp_path / "runs") if run.name.startswith("teach_former_picai22"))
    assert {row["label"] for row in read_rows(run.metrics)} == {"csPCa"}
    assert main(["evaluate", str(run.folder), "--by", "slice", "--empty", "one"]) == 0
    slices = read_rows(run.slices / "metrics.csv")
    assert all("#" in row["case"] and row["value"] != "" for row in slices)
