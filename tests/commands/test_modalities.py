"""A study of some of a dataset's modalities: planned, trained and predicted as if there were no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilseg import commands
from distilseg.cli import main
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.predict import load_predictor
from distilseg.runs import find_runs
from distilseg.training.studies import make_study


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans") / "phantom"
    return write_phantom(folder, cases=4, shape=(20, 20, 20), modalities=("CT", "PET", "MR"))


def test_the_dataset_narrowed(data: Path) -> None:
    dataset = read_dataset(data)
    narrowed = dataset.seeing(["MR", "CT"])
    assert narrowed.modalities == ("CT", "MR")  # in the dataset's order
    assert all(tuple(case.images) == ("CT", "MR") for case in narrowed.cases)
    assert dataset.modalities == ("CT", "PET", "MR")
    with pytest.raises(UserError, match=r"unknown modality of .* 'MRI'; did you mean 'MR'"):
        dataset.seeing(["MRI"])


def test_a_plan_of_fewer_modalities_narrows_the_study(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    assert main(["plan", str(data), "--modalities", "CT,MR", "--patch", "16,16,16", "--out", str(out)]) == 0
    for study in (
        make_study(data, plan=out),
        make_study(data, modalities=["CT", "MR"]),
        make_study(data, plan=commands.plan(data, modalities=["CT", "MR"])),
    ):
        assert study.plan.modalities == study.dataset.modalities == ("CT", "MR")
    with pytest.raises(UserError, match=r"the plan is for the modalities CT, MR, dataset .* has CT, PET"):
        make_study(data, plan=out, modalities=["CT", "PET"])


def test_trained_by_the_command_line(data: Path, tmp_path: Path) -> None:
    words = ["train", "supervised", "--data", str(data), "--modalities", "PET", "--steps", "1"]
    words += ["--network-option", "filters=[4,8,8,8]", "--device", "cpu", "--no-evaluate"]
    assert main([*words, "--runs", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 0
    (run,) = find_runs(tmp_path)
    assert load_predictor(run.folder).plan.modalities == ("PET",)
