"""The best student for the scans that a case has: chosen, told, predicted; or refused with what is needed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from distilseg import commands
from distilseg.cli import main
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.files import write_json
from distilseg.predict import load_predictor
from distilseg.runs import Run, read_rows
from distilseg.students import all_modalities, choose, find_students
from distilseg.training.studies import make_study
from tests.costs import unmeasured

from .training.small import one_step

MODALITIES = ("CT", "PET", "MR")
DICE = {"CT": 0.5, "CT+PET": 0.7, "MR": 0.6, "all": 0.9}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SCANS (nnU-Net layout) and four students of it, their validation Dice set by hand."""
    folder = tmp_path_factory.mktemp("world")
    write_phantom(
        folder / "SCANS",
        cases=5,
        shape=(20, 20, 20),
        spacing_mm=(1, 1, 1),
        modalities=MODALITIES,
        layout="nnunet",
    )
    plan = make_study(folder / "SCANS", patch=(16, 16, 16), levels=3).plan

    def train(recipe: str, **options: Any) -> Run:
        (run,) = one_step(
            recipe, folder / "SCANS", folder, plan=plan, options=options, control=False, evaluate=False
        )
        return run

    made = {
        "CT": train("kd_net_control", student_sees=("CT",)),
        "CT+PET": train("kd_net_control", student_sees=("CT", "PET")),
        "MR": train("kd_net_control", student_sees=("MR",)),
        "all": train("kd_net_teacher"),
    }
    for name, run in made.items():
        write_json(run.status, {**run.read(run.status), "best_validation_dice": DICE[name]})
    return folder


@pytest.fixture
def students_of(world: Path) -> Any:
    found = {"+".join(s.modalities): s for s in find_students(world / "runs")}
    return {("all" if name == "CT+PET+MR" else name): student for name, student in found.items()}


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (("CT",), "CT"),
        (("CT", "PET"), "CT+PET"),
        (("CT", "MR"), "MR"),  # the better of two that see one scan each
        (("PET", "MR"), "MR"),
        (("CT", "PET", "MR"), "all"),
    ],
)
def test_the_best_that_needs_no_more(students_of: Any, available: tuple[str, ...], expected: str) -> None:
    choice = choose(list(students_of.values()), available)
    assert choice.student == students_of[expected]
    assert f"{DICE[expected]:.3f}" in choice.reason
    assert ", ".join(available) in choice.reason


def test_none_fits(students_of: Any) -> None:
    with pytest.raises(
        UserError, match=r"case x: it has PET; the students need (CT|MR).* or .*--student-sees"
    ):
        choose(list(students_of.values()), ("PET",), case="x")


def test_ties_go_to_more_scans_then_to_the_name(students_of: Any) -> None:
    from dataclasses import replace

    equal = [replace(student, validation_dice=0.5) for student in students_of.values()]
    assert choose(equal, MODALITIES).student.modalities == MODALITIES
    assert choose(equal[::-1], ("CT", "MR")).student == choose(equal, ("CT", "MR")).student
    shared = replace(students_of["all"], validation_dice=0.5, any_subset=True)
    assert choose([shared, equal[0]], equal[0].modalities).student == equal[0]


def test_the_order_of_numbered_files_is_the_studys(students_of: Any) -> None:
    assert all_modalities([students_of["MR"], students_of["CT"]]) == MODALITIES


def incomplete(world: Path, folder: Path) -> Path:
    """Cases with whichever scans exist, named in each of the ways."""
    images = world / "SCANS" / "imagesTr"
    folder.mkdir()
    for target, source in {
        "a_CT.nii.gz": "phantom_000_0000.nii.gz",
        "a_pet.nii.gz": "phantom_000_0001.nii.gz",
        "b_0002.nii.gz": "phantom_001_0002.nii.gz",
        "c-CT.nii.gz": "phantom_002_0000.nii.gz",
        "d_PET.nii.gz": "phantom_003_0001.nii.gz",
        "e.nii.gz": "phantom_004_0000.nii.gz",
    }.items():
        shutil.copyfile(images / source, folder / target)
    return folder


def test_from_the_command_line(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = incomplete(world, tmp_path / "new")
    out = tmp_path / "out"
    assert main(["predict", str(world / "runs"), str(scans), str(out)]) == 1
    told = capsys.readouterr()
    assert {path.name for path in out.glob("*.nii.gz")} == {"a.nii.gz", "b.nii.gz", "c.nii.gz"}
    rows = {row["case"]: row for row in read_rows(out / "choices.csv")}
    assert {case: row["modalities"] for case, row in rows.items()} == {"a": "CT PET", "b": "MR", "c": "CT"}
    assert "best of" in rows["a"]["reason"]
    everything = told.out + told.err
    assert f"a: {rows['a']['student']}" in everything
    assert "case d: it has PET" in everything
    assert "e.nii.gz does not say which of CT, PET, MR it is" in everything
    stored, scan = nib.load(out / "a.nii.gz"), nib.load(scans / "a_CT.nii.gz")
    assert np.array_equal(stored.affine, scan.affine)
    assert stored.shape == scan.shape


def test_a_single_file_whose_modality_is_given(world: Path, tmp_path: Path) -> None:
    scans = incomplete(world, tmp_path / "new")
    summary = commands.predict(world / "runs", scans / "e.nii.gz", tmp_path / "e.nii.gz", modality="CT")
    assert list(summary.written) == ["e"]
    assert not (tmp_path / "choices.csv").exists()
    with pytest.raises(UserError, match="unknown modality 'CTT'; did you mean 'CT'"):
        commands.predict(world / "runs", scans / "e.nii.gz", tmp_path / "f.nii.gz", modality="CTT")


def test_the_label_map_is_that_of_the_student_alone(world: Path, tmp_path: Path, students_of: Any) -> None:
    scans = incomplete(world, tmp_path / "new")
    commands.predict(world / "runs", [scans / "a_CT.nii.gz", scans / "a_pet.nii.gz"], tmp_path / "both")
    images = tmp_path / "numbered"
    images.mkdir()
    for number, name in enumerate(("a_CT", "a_pet")):
        shutil.copyfile(scans / f"{name}.nii.gz", images / f"a_{number:04d}.nii.gz")
    commands.predict(students_of["CT+PET"].run.folder, images, tmp_path / "alone")
    both, alone = (np.asarray(nib.load(tmp_path / where / "a.nii.gz").dataobj) for where in ("both", "alone"))
    assert np.array_equal(both, alone)


def test_a_network_for_any_subset_is_shown_nan_for_what_is_missing(world: Path, tmp_path: Path) -> None:
    plan = make_study(world / "SCANS", patch=(16, 16, 16), levels=3).plan
    (run,) = one_step("u_hemis", world / "SCANS", tmp_path, plan=plan, evaluate=False)
    (student,) = find_students(tmp_path / "runs")
    assert student.any_subset
    choice = choose([student], ("PET",))
    assert "PET of CT, PET, MR" in choice.reason
    assert "with all of them" in choice.reason

    scans = incomplete(world, tmp_path / "new")
    summary = commands.predict(tmp_path / "runs", scans, tmp_path / "out")
    assert set(summary.written) == {"a", "b", "c", "d"}

    from distilseg.data.scans.reading import read_scan

    predictor = load_predictor(run.folder)
    pet = predictor.prepare({"PET": read_scan(scans / "d_PET.nii.gz")}, case="d").image
    assert np.isnan(pet[[0, 2]]).all()
    assert np.isfinite(pet[1]).all()
    assert torch.isfinite(predictor.logits(pet, case="d")).all()


def test_students_of_different_tasks_are_refused(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "runs", tmp_path / "runs")
    run = find_students(tmp_path / "runs")[0].run
    plan = run.read(run.plan)
    plan["labels"]["1"] = "heart"
    write_json(run.plan, plan)
    with pytest.raises(UserError, match=r"tells apart 1 (heart|liver).*; .* 1 (liver|heart)"):
        find_students(tmp_path / "runs")


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run nor a folder that holds finished runs"):
        commands.predict(tmp_path, tmp_path, tmp_path / "out")


def test_one_model_for_all_subsets_is_judged_on_one(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a student of that subset, in one comparison; the run itself keeps its own results."""
    monkeypatch.setattr("distilseg.judge.measure_costs", unmeasured)
    plan = make_study(world / "SCANS", patch=(16, 16, 16), levels=3).plan
    (rival,) = one_step("u_hemis", world / "SCANS", tmp_path, plan=plan, control=False)
    (student,) = one_step(
        "kd_net_control",
        world / "SCANS",
        tmp_path,
        plan=plan,
        options={"student_sees": ("CT",)},
        control=False,
    )
    before = rival.metrics.read_bytes()
    found = commands.evaluate(rival.folder, modalities=["CT"])
    assert rival.metrics.read_bytes() == before
    assert found.rows
    part = rival.folder / "given-CT"
    assert Run(part).read(Run(part).experiment)["options"]["given"] == ["CT"]
    assert (part / "best.safetensors").stat().st_size == rival.best.stat().st_size
    names = {c.name for c in commands.compare(tmp_path / "runs").contenders}
    assert names == {"u_hemis, u_hemis", "u_hemis, u_hemis (given=CT)", "kd_net_control, kd_net"}
    commands.evaluate(rival.folder, modalities=["CT"], by="slice")
    assert (part / "by-slice/metrics.csv").is_file()
    assert len(find_students(tmp_path / "runs")) == 2  # the part is no student of its own

    with pytest.raises(UserError, match="kd_net needs all of CT"):
        commands.evaluate(student.folder, modalities=["CT"])
    with pytest.raises(UserError, match="unknown modality 'CTT'"):
        commands.evaluate(rival.folder, modalities=["CTT"])
