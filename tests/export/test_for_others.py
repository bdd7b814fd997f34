"""From a run to the form of another program: the command, its refusals, whole or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.cli import main
from distilseg.commands import export, predict
from distilseg.data.case import Source
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.slices import write_phantom_slices
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import measure
from distilseg.data.planning.plan import load_plan
from distilseg.data.planning.splits import Split
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError
from distilseg.export.agreement import Agreement, record, refuse_below
from distilseg.export.for_others import HandedOn, _together
from distilseg.recipes import find
from distilseg.runs import Run
from distilseg.teachers.opening import open_teacher
from distilseg.training.budget import Budget
from distilseg.training.experiment import Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained
from distilseg.views import fused

from ..training.small import NETWORK, small_study

CPU = Machine(device="cpu", precision="32-true")
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "nnunet": ("plain_conv_unet", {"features": [4, 8, 8]}),
    "monai-bundle": ("dynunet", NETWORK),
}
FILES = {
    "nnunet": ["README.md", "dataset.json", "distilseg.json", "fold_0/checkpoint_final.pth", "plans.json"],
    "monai-bundle": [
        "LICENSE",
        "configs/inference.json",
        "configs/metadata.json",
        "distilseg.json",
        "docs/README.md",
        "models/model.pt",
    ],
}
INSIDE = {
    "nnunet": "Dataset900_Phantom/nnUNetTrainer__distilsegPlans__3d_fullres",
    "monai-bundle": "student",
}
ANY = 1.0  # a tolerance: networks of two steps are unsure everywhere


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("handed-on")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return small_study(folder / "scans")


@pytest.fixture(scope="module")
def runs(folder: Path, study: Study) -> dict[str, Run]:
    return {to: _run(study, folder, *of) for to, of in NETWORKS.items()}


@pytest.mark.parametrize("to", NETWORKS)
def test_a_folder_is_read_back_as_a_teacher_and_answers_as_the_run(
    to: str, runs: dict[str, Run], folder: Path, tmp_path: Path
) -> None:
    made = export(runs[to], to, tolerance=ANY)
    assert isinstance(made, HandedOn)
    assert made.path == runs[to].folder / "export" / to
    assert [
        p.relative_to(made.path).as_posix() for p in sorted(made.path.rglob("*")) if p.is_file()
    ] == FILES[to]
    assert len(made.agreements) == 3  # two test cases and one validation case
    scans = folder / "scans" / "imagesTr"
    predict(runs[to].folder, scans, tmp_path / "by-run")
    predict(made.path, scans, tmp_path / "by-teacher")
    names = {one.case: one for one in made.agreements}
    for path in sorted((tmp_path / "by-run").glob("*.nii.gz")):
        labels, others = (read_scan(tmp_path / by / path.name).array for by in ("by-run", "by-teacher"))
        different = int(np.count_nonzero(labels != others))
        assert different < 0.1 * labels.size
        case = path.name.removesuffix(".nii.gz")
        if case in names:
            assert (names[case].voxels, names[case].of_voxels) == (different, labels.size)
    teacher = open_teacher(made.path)
    plan = load_plan(runs[to].plan)
    assert [head.name for head in teacher.heads] == list(plan.classes)
    card = next(path for path in made.path.rglob("README.md")).read_text()
    told = json.loads((made.path / "distilseg.json").read_text())
    assert told["agreement"]["cases"] == 3
    assert told["made"]["run"] == runs[to].name
    share = 1 - told["agreement"]["voxels_that_differ"] / told["agreement"]["of_voxels"]
    assert f"{share:.3%}" in card
    for sentence in (*made.use, *made.differs):
        assert sentence in card


@pytest.mark.parametrize("to", NETWORKS)
def test_a_zip_has_the_folders_that_its_program_expects(
    to: str, runs: dict[str, Run], tmp_path: Path
) -> None:
    made = export(runs[to], to, out=tmp_path / "student.zip", cases=["phantom_001"], tolerance=ANY)
    with zipfile.ZipFile(made.path) as packed:
        assert sorted(packed.namelist()) == [f"{INSIDE[to]}/{name}" for name in FILES[to]]
    assert len(open_teacher(made.path).heads) > 2


@pytest.mark.parametrize("to", NETWORKS)
def test_beyond_the_tolerance_nothing_is_left(to: str, runs: dict[str, Run], tmp_path: Path) -> None:
    for name in ("student", "student.zip"):
        with pytest.raises(UserError, match=r"Dice of .* against the run; nothing was written"):
            export(runs[to], to, out=tmp_path / name, tolerance=-1)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", NETWORKS)
def test_a_network_of_another_program_is_refused_before_anything_is_written(
    to: str, runs: dict[str, Run], tmp_path: Path
) -> None:
    other = next(run for form, run in runs.items() if form != to)
    with pytest.raises(UserError, match="is none of them"):
        export(other, to, out=tmp_path / "student")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_and_what_is_unknown_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        export(runs["nnunet"], "nnunet", out=tmp_path)
    with pytest.raises(UserError, match="monai-bundle"):
        export(runs["nnunet"], "nifty")


def test_fused_runs_are_refused(runs: dict[str, Run], folder: Path, tmp_path: Path) -> None:
    whole = fused([run.folder for run in runs.values()], how="vote")
    with pytest.raises(UserError, match="several runs, and nnU-Net takes one"):
        export(whole, "nnunet", out=tmp_path / "student")


@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
def test_files_of_single_slices_are_refused(ending: Any, tmp_path: Path) -> None:
    scans = write_phantom_slices(tmp_path / "scans", cases=4, shape=(20, 24, 20), ending=ending)
    dataset = read_dataset(scans)
    ids = [case.id for case in dataset.cases]
    plan = make_plan(dataset, measure(dataset), patch=(16, 16, 1), levels=3)
    study = Study(dataset, plan, Split(tuple(ids[:2]), (ids[2],), (ids[3],)), 0)
    run = _run(study, tmp_path, *NETWORKS["nnunet"])
    with pytest.raises(UserError, match=rf"single slices \(.*\{ending}\)"):
        export(run, "nnunet", out=tmp_path / "student")


def test_what_reading_the_dataset_did_is_told() -> None:
    scan = Path("a.nii.gz")
    assert _together({"a": {"CT": Source(scan)}}) == []
    (told,) = _together({"a": {"CT": Source(scan, onto=Path("b.nii.gz"))}})
    assert "must lie on one grid" in told
    (told,) = _together({"a": {"CT": Source(scan, channel=1)}})
    assert "one file a modality" in told


def test_the_command_tells_agreement_differences_and_how_to_predict(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(runs["nnunet"].folder), "--to", "nnunet", "--out", str(tmp_path / "student")]
    assert main([*words, "--tolerance", "1", "--cases", "phantom_001"]) == 0
    told = capsys.readouterr().out
    assert "nnU-Net against run" in told
    assert "phantom_001" in told
    assert "Intensities are scaled before a scan is resampled" in told
    assert "nnUNetv2_predict_from_modelfolder" in told


def test_agreement_is_counted_without_names() -> None:
    found = [Agreement("a", 2, 100, {"liver": 0.9}), Agreement("b", 0, 50, {"liver": 1.0, "spleen": 1.0})]
    told = record(found)
    assert told == {
        "cases": 2,
        "voxels_that_differ": 2,
        "of_voxels": 150,
        "dice": {"liver": pytest.approx(0.95), "spleen": 1.0},
        "least_dice": 0.9,
    }
    refuse_below(found, 0.11, "MONAI")
    with pytest.raises(UserError, match=r"case a has a Dice of 0\.9000"):
        refuse_below(found, 0.05, "MONAI")


def _run(study: Study, folder: Path, network: str, options: Mapping[str, Any]) -> Run:
    experiment = find("supervised")(study, network=network, network_options=options)
    made = replace(experiment).with_settings(Budget(steps=2), validations=1)
    return trained(made, runs=folder / "runs", machine=CPU, cache=folder / "cache")
