"""In a file or a log progress is plain lines: at the start, at validations, and how long it still takes."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import pytest

from distilseg import commands, progress
from distilseg.data.phantom.volumes import write_phantom
from distilseg.disk import SPARE_BYTES
from distilseg.errors import UserError
from distilseg.runs import find_runs
from distilseg.training import observers
from distilseg.training.budget import Budget
from distilseg.training.loop import Step
from distilseg.training.machine import Machine, make_fabric
from distilseg.training.preflight import Ahead, later_of, summary
from tests.training.small import CPU, NETWORK


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("progress") / "scans"
    return write_phantom(folder, cases=6, shape=(16, 16, 16), spacing_mm=(1, 1, 1), modalities=("CT", "MR"))


@pytest.fixture(scope="module")
def plan(scans: Path) -> Path:
    out = scans.parent / "plan.json"
    commands.plan(scans, patch=(8, 8, 8), levels=3, out=out)
    return out


def test_durations_are_said_as_one_says_them() -> None:
    told = [progress.duration(s) for s in (0.2, 89, 91, 3600, 5400)]
    assert told == ["1 s", "89 s", "2 minutes", "60 minutes", "1.5 hours"]


def test_what_takes_long_tells_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter([0.0, 5.0, 12.0, 20.0, 50.0])  # made; then after each of four cases
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.counting("judging") as move:
        for done in range(1, 5):
            move(done, 4)
    assert (
        capsys.readouterr().err == "judging: 2 of 4, about 12 s left\n"
    )  # 12 s for two; next not before 42 s


def test_what_is_soon_over_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.counted(["a", "b"], "reading")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    progress.say("a line")
    monkeypatch.setenv("RANK", "0")
    progress.say("another \x1b[31m")
    assert capsys.readouterr().err == "another \\x1b[31m\n"


def test_a_log_tells_step_loss_dice_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine steps in 90 s; ten are left, and a network of 20 steps comes after it."""
    now = [0.0]
    monkeypatch.setattr(observers.time, "monotonic", lambda: now[0])
    lines = observers.Lines("run", steps=20, later=lambda step_s: 20 * step_s)
    for step in range(1, 11):
        now[0] = 10.0 * (step - 1)
        lines.after_step(Step(step, step / 20, 1e-3, 2.5, {}))
    capsys.readouterr()  # the line after the first seconds
    lines.after_validation(10, {"mean": 0.4321}, best=True)
    told = capsys.readouterr().err
    assert told.startswith(
        "run: step 10 of 20, loss 2.500, validation Dice 0.432 (best so far), about 2 minutes left,"
        " 5 minutes with the networks after it, until about "
    )


def test_minutes_are_of_each_network_and_the_sum_is_told() -> None:
    ahead = [
        Ahead("found", Budget(minutes=30), None, True),
        Ahead("control", Budget(minutes=30), None, False),
        Ahead("student", Budget(minutes=30), None, False),
    ]
    found, told, *each = summary(ahead, judged_on=2)
    assert found == "found: found, finished"
    assert re.fullmatch(
        r"2 networks to train, 30 minutes each: 60 minutes in all, until about \d\d:\d\d(| on .*);"
        r" then each is judged on 2 cases",
        told,
    )
    assert each == ["  control: 30 minutes", "  student: 30 minutes"]
    assert summary(ahead[:1], judged_on=2) == []
    assert [one.name for one in later_of(ahead, "control")] == ["student"]
    assert ahead[1].seconds(1.0) == 1800
    assert Ahead("", Budget(steps=10, minutes=1), 10, False).seconds(2.0) == 20


def test_a_training_into_a_file_is_told_line_by_line(
    scans: Path, plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.train(
        "dsd_ds",
        scans,
        plan=plan,
        options={"network_options": NETWORK},
        runs=tmp_path / "runs",
        cache=tmp_path / "cache",
        steps=2,
        validations=2,
        machine=CPU,
    )
    lines = capsys.readouterr().err.splitlines()
    control, student = sorted((run.name for run in find_runs(tmp_path / "runs")), reverse=True)
    assert lines[0].startswith(
        "2 networks to train; how long that takes is told after the first steps; then "
    )
    assert lines[1:3] == [f"  {control}: 2 steps", f"  {student}: 2 steps"]
    for name in (control, student):
        own = [line.removeprefix(f"{name}: ") for line in lines if line.startswith(name)]
        assert own[0] == "learns from 4 cases, is validated 2 times on 1"
        number = r"\d+\.\d{3}"
        for step, line in zip((1, 2), own[1:3], strict=True):
            assert re.match(rf"step {step} of 2, loss {number}, validation Dice {number}", line), line
        assert own[3] == "judging 1 case"
    assert f"{control}, {student}: measuring what a case costs, in turns" in lines


def test_a_wrong_teacher_is_refused_before_its_control_is_trained(
    scans: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher that was trained on one modality of two."""
    told = {"runs": tmp_path / "runs", "cache": tmp_path / "cache", "machine": CPU, "validations": 1}
    own = tmp_path / "ct.json"
    commands.plan(scans, patch=(8, 8, 8), levels=3, modalities=["CT"], out=own)
    options = {"network_options": NETWORK}
    (teacher,) = commands.train(
        "supervised", scans, modalities=["CT"], plan=own, options=options, steps=1, evaluate=False, **told
    )
    before = {run.name for run in find_runs(tmp_path / "runs")}
    monkeypatch.setattr(commands._train, "trained", lambda *a, **b: pytest.fail("something was trained"))
    asked = {"teacher": str(teacher.folder), "alpha": 0.0}
    with pytest.raises(UserError, match="was trained on the modalities CT, it would be given CT, MR"):
        commands.train("kd_net", scans, plan=plan, options=asked, steps=1, **told)
    assert {run.name for run in find_runs(tmp_path / "runs")} == before


def test_a_teacher_that_is_not_there_costs_no_look_at_the_scans(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distilseg.commands._asked.make_study", lambda *a, **b: pytest.fail("scans were read")
    )
    with pytest.raises(UserError, match=r"there is no teacher at .*nowhere"):
        commands.train("kd_net", scans, options={"teacher": str(tmp_path / "nowhere")}, steps=1, machine=CPU)


def test_a_disk_without_room_for_all_runs_is_refused(
    scans: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": SPARE_BYTES + 100_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(
        UserError,
        match=r"the checkpoints of 2 runs take .* MB left, of which 268 MB stay free",
    ):
        commands.train(
            "dsd_ds",
            scans,
            plan=plan,
            options={"network_options": NETWORK},
            runs=tmp_path / "runs",
            cache=tmp_path / "cache",
            steps=1,
            machine=CPU,
        )
    assert find_runs(tmp_path / "runs") == []


def test_slurm_that_is_not_used_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with warnings.catch_warnings(action="error"):
        make_fabric(Machine(device="cpu"), "32-true")
