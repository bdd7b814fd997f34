"""KD-Net on BraTS 2018: the folder as it is handed out goes in, three regions are judged."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.cli import main
from distilseg.recipes import find
from distilseg.runs import find_runs, read_rows
from distilseg.training.experiment import Experiment
from distilseg.training.studies import make_study
from tests.costs import unmeasured

from ..data.formats.brats import write_brats


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brats(tmp_path_factory.mktemp("brats") / "MICCAI_BraTS_2018_Data_Training")


def test_the_papers_numbers(data: Path) -> None:
    experiment = find("kd_net_brats2018")(make_study(data))
    assert experiment.control is not None
    teacher = experiment.teachers["teacher"]
    assert isinstance(teacher, Experiment)
    for one in (experiment, experiment.control, teacher):
        assert one.study.plan.crop_voxels == (128, 128, 128)
        assert one.study.plan.spacing_mm == (2.0, 2.0, 2.0)
        assert one.study.plan.patch == (64, 64, 64)
        assert {n.kind for n in one.study.plan.normalisation.values()} == {"zscore_nonzero"}
        assert one.study.plan.regions == {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
        assert (one.optimisation.optimizer, one.optimisation.learning_rate) == ("adam", 1e-4)
        assert (one.optimisation.schedule, one.optimisation.plateau_patience) == ("plateau", 50)
        assert one.optimisation.plateau_factor == 0.2
        assert one.budget.epochs == 500
        assert one.validation.count(one.budget, steps_per_epoch=190) == 500
        assert one.sampling.augmentation == "flips"
        assert one.empty == "brats"
    assert experiment.seen == ("T1ce",)
    assert teacher.seen == ("T1", "T2", "T1ce", "FLAIR")
    assert experiment.networks["student"].classes == 4
    sigmoid = find("kd_net_brats2018")(make_study(data), activation="sigmoid", skips=0)
    assert sigmoid.networks["student"].classes == 3
    assert sigmoid.networks["student"].options["skips"] == 0


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_by_one_command(data: Path, tmp_path: Path, activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    words = ["train", "kd_net_brats2018", "--data", str(data), "--filters", "4,4,4,4,4", "--epochs", "1"]
    words += [
        "--runs",
        str(tmp_path / "runs"),
        "--cache",
        str(tmp_path / "cache"),
        "--activation",
        activation,
    ]
    assert main([*words, "--device", "cpu", "--precision", "32-true"]) == 0
    runs = {run.read(run.experiment)["recipe"]: run for run in find_runs(tmp_path / "runs")}
    assert set(runs) == {"kd_net", "kd_net_control", "kd_net_teacher"}
    for run in runs.values():
        rows = read_rows(run.metrics)
        assert {row["label"] for row in rows} == {"WT", "TC", "ET"}
        assert json.loads((run.folder / "evaluation.json").read_text())["empty"] == "brats"
        for path in run.predictions.glob("*.nii.gz"):
            stored = nib.load(path)
            assert stored.shape == (40, 44, 36)
            assert set(np.unique(np.asarray(stored.dataobj))) <= {0, 1, 2, 4}
