"""The settings of the thickened paper, and its recipes by one command on a folder of Decathlon's layout."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.cli import main
from distilseg.data.phantom.volumes import LABELS, write_phantom
from distilseg.data.scans.reading import read_label
from distilseg.distillation.thickened import OverlapSupervised
from distilseg.errors import UserError
from distilseg.networks.build import build
from distilseg.recipes import find
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.experiment import Experiment, Study
from distilseg.training.studies import make_study
from tests.costs import unmeasured

VESSEL = next(value for value, name in LABELS.items() if name == "vessel")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(
        tmp_path_factory.mktemp("scans") / "Task08", cases=4, shape=(36, 40, 24), modalities=("CT",)
    )


@pytest.fixture(scope="module")
def study(data: Path) -> Study:
    return make_study(data)


def every(experiment: Experiment) -> list[Experiment]:
    """It, its other views, and their controls."""
    views = [experiment, *experiment.views]
    return [*views, *(view.control for view in views if view.control)]


def test_the_papers_numbers(study: Study) -> None:
    experiment = find("thickened_msd_hepatic_vessel")(study)
    patches = [(512, 512, 15), (512, 15, 128), (15, 512, 128)]
    assert [one.study.plan.patch for one in (experiment, *experiment.views)] == patches
    assert len(every(experiment)) == 6
    for one in every(experiment):
        plan, learning = one.study.plan, one.optimisation
        assert plan.normalisation["CT"].model_dump(exclude_none=True) == {
            "kind": "range",
            "low": -100,
            "high": 240,
        }
        assert plan.labels == {0: "background", VESSEL: "vessel"}
        assert (learning.optimizer, learning.learning_rate, learning.weight_decay) == ("momentum", 5e-3, 5e-4)
        assert (learning.schedule, learning.clip, one.budget.steps) == ("steps", None, 100_000)
        assert (one.sampling.batch_size, one.sampling.foreground_fraction) == (8, 1.0)
        assert (one.sampling.pad, one.sampling.augmentation) == ("zero", "none")
        assert (one.inferer["stride"], one.inferer["pad"]) == (1, "zeros")
        assert one.networks["student"].options["backbone"] == "resnet50"
        method = one.method({})
        assert isinstance(method, OverlapSupervised)
        assert (method.uses("overlap"), method.uses("cross_entropy")) == (True, False)
    assert experiment.fuse == "vote"
    assert {one.recipe for one in (experiment, *experiment.views)} == {"thickened_msd_hepatic_vessel"}


@pytest.mark.parametrize("network", ["basic_unet", "vnet", "ahnet", "thickened"])
def test_the_3d_setting(network: str, study: Study) -> None:
    experiment = find("thickened_3d_msd_hepatic_vessel")(study, network=network)
    thick = network == "thickened"
    assert experiment.study.plan.patch == (128, 128, 15 if thick else 64)
    assert experiment.networks["student"].patch == experiment.study.plan.patch
    assert experiment.inferer["stride"] == [32, 32, 1 if thick else 16]
    assert (experiment.inferer["blend"], experiment.inferer["average"]) == ("constant", "probabilities")
    learning = experiment.optimisation
    assert (learning.optimizer, learning.learning_rate, learning.schedule) == ("momentum", 0.01, "polynomial")
    assert experiment.budget.steps == 40_000
    build(experiment.networks["student"])


def test_imagenets_weights_are_asked_of_the_network(study: Study) -> None:
    experiment = find("thickened_msd_hepatic_vessel")(study, imagenet="resnet50.pth")
    for one in every(experiment):
        assert one.networks["student"].options["imagenet"] == "resnet50.pth"
    with pytest.raises(UserError, match=r"resnet50\.pth"):
        build(experiment.networks["student"])
    plain = find("thickened_msd_hepatic_vessel")(study)
    assert all("imagenet" not in one.networks["student"].options for one in every(plain))


def test_all_else_counts_as_background(study: Study) -> None:
    experiment = find("thickened_msd_hepatic_vessel")(study)
    case, before = experiment.study.dataset.cases[0], study.dataset.cases[0]
    array, whole = read_label(case).array, read_label(before).array
    assert set(np.unique(whole)) == set(LABELS)
    np.testing.assert_array_equal(array, np.where(whole == VESSEL, VESSEL, 0))


def test_data_without_vessels_is_refused(study: Study) -> None:
    labels = {0: "background", 1: "liver"}
    other = Study(
        type(study.dataset)("Liver", study.dataset.folder, "msd", ("CT",), labels, study.dataset.cases),
        study.plan,
        study.split,
    )
    with pytest.raises(UserError, match="Liver: of its labels background, liver not one but 0 name vessels"):
        find("thickened_msd_hepatic_vessel")(other)
    with pytest.raises(UserError, match=r"a patch of \[512, 512\] voxels; give three sizes"):
        find("thickened_msd_hepatic_vessel")(study, patch=(512, 512))
    with pytest.raises(UserError, match="slabs of 4 slices"):
        find("thickened_3d_msd_hepatic_vessel")(study, thickness=4)


def trained_by(words: list[str], data: Path, folder: Path) -> dict[str, list[Run]]:
    words = ["train", *words, "--data", str(data), "--steps", "1", "--batch-size", "2", "--device", "cpu"]
    words += ["--precision", "32-true", "--validations", "1", "--cache", str(folder / "cache")]
    assert main([*words, "--runs", str(folder / "runs")]) == 0
    found: dict[str, list[Run]] = {}
    for run in find_runs(folder / "runs"):
        found.setdefault(run.name.rpartition("-")[0], []).append(run)
    return found


def test_three_views_by_one_command(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    words = ["thickened_msd_hepatic_vessel", "--patch", "48,48,32", "--thickness", "3", "--backbone", "light"]
    found = trained_by([*words, "--stride", "3"], data, tmp_path)
    assert {name: len(runs) for name, runs in found.items()} == {
        "thickened_msd_hepatic_vessel": 3,
        "thickened_plain": 1,
        "fused-vote": 1,
    }
    for run in (run for runs in found.values() for run in runs):
        assert {row["label"] for row in read_rows(run.metrics)} == {"vessel"}
        for path in run.predictions.glob("*.nii.gz"):
            made, given = nib.load(path), nib.load(data / "labelsTr" / path.name)
            assert made.shape == given.shape
            assert set(np.unique(np.asarray(made.dataobj))) <= {0, VESSEL}


@pytest.mark.parametrize("network", ["thickened", "basic_unet"])
def test_the_3d_setting_by_one_command(
    network: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    words = ["thickened_3d_msd_hepatic_vessel", "--patch", "32,32,32", "--network", network]
    words += ["--thickness", "3", "--backbone", "light"] if network == "thickened" else []
    found = trained_by(words, data, tmp_path)
    (run,) = found["thickened_3d_msd_hepatic_vessel"]
    assert {row["label"] for row in read_rows(run.metrics)} == {"vessel"}
    assert read_rows(run.losses)[0].keys() >= {"overlap"}
