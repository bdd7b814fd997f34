"""A run is found, resumed or made; killed at any moment, it ends as if it had never been interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from distilseg.data.planning.splits import Split
from distilseg.distillation.method import Method, Role
from distilseg.errors import UserError
from distilseg.runs import Run, find_runs, read_rows
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from .small import of_seed, small_experiment, small_study

CPU = Machine(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phantom")


@pytest.fixture(scope="module")
def study(data: Path) -> Study:
    return small_study(data / "scans")


def make(experiment: Experiment, folder: Path, data: Path, machine: Machine = CPU) -> Run:
    return trained(experiment, runs=folder, machine=machine, cache=data / "cache")


def outcome(run: Run) -> tuple[dict[str, Tensor], bytes, bytes]:
    return load_file(run.last), run.losses.read_bytes(), run.validation.read_bytes()


def assert_same(a: Run, b: Run) -> None:
    (weights, *tables), (other_weights, *other_tables) = outcome(a), outcome(b)
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(value, other_weights[name]) for name, value in weights.items())
    assert tables == other_tables


def test_a_run_folder_holds_what_it_promises(study: Study, data: Path, tmp_path: Path) -> None:
    run = make(small_experiment(study), tmp_path, data)
    losses, validation = read_rows(run.losses), read_rows(run.validation)
    assert [int(row["step"]) for row in losses] == [1, 2, 3, 4, 5, 6]
    assert [int(row["step"]) for row in validation] == [3, 6]
    assert {"seg", "deep_supervision", "encoder", "decoder"} <= losses[0].keys()
    total = sum(float(losses[0][name]) for name in ("seg", "deep_supervision", "encoder", "decoder"))
    assert float(losses[0]["total"]) == pytest.approx(total, rel=1e-6)
    assert list(validation[0]) == ["step", "mean", *study.dataset.classes[1:]]
    status = run.read(run.status)
    assert (status["steps"], status["stopped_because"], status["patches"]) == (6, "steps", 12)
    about = run.read(run.experiment)
    assert about["recipe"] == "dual_self_distillation"
    assert about["options"]["temperature"] == 3.0
    assert about["machine"]["precision"] == "32-true"
    control = small_experiment(study).control
    assert control is not None
    assert about["control"] == make(control, tmp_path, data).name


def test_a_finished_run_is_found_and_not_touched(study: Study, data: Path, tmp_path: Path) -> None:
    run = make(small_experiment(study), tmp_path, data)
    before = {path: path.stat().st_mtime_ns for path in run.folder.iterdir() if path.name != ".claim"}
    assert make(small_experiment(study), tmp_path, data) == run
    assert {path: path.stat().st_mtime_ns for path in run.folder.iterdir() if path.name != ".claim"} == before


def test_what_matters_changes_the_name_and_what_does_not_keeps_it(study: Study) -> None:
    one = small_experiment(study)
    assert small_experiment(study).run_name("x") == one.run_name("x")
    assert small_experiment(study, workers=2).run_name("x") == one.run_name("x")
    others = [
        small_experiment(study, steps=7),
        small_experiment(study, learning_rate=2e-3),
        small_experiment(study, batch_size=4),
        of_seed(one, 1),
    ]
    names = {one.run_name("x"), one.run_name("y"), *(other.run_name("x") for other in others)}
    assert len(names) == 6


def test_control_and_student_start_from_the_same_weights_and_cost_the_same(
    study: Study, data: Path, tmp_path: Path
) -> None:
    frozen = small_experiment(study, steps=1, learning_rate=1e-30, weight_decay=0.0)
    assert frozen.control is not None
    student, control = (load_file(make(e, tmp_path, data).last) for e in (frozen, frozen.control))
    assert student.keys() == control.keys()  # no head is left in the student
    assert all(torch.equal(value, control[name]) for name, value in student.items())


def test_an_interrupted_run_ends_as_an_uninterrupted_one(study: Study, data: Path, tmp_path: Path) -> None:
    """Stopped by an error at its fourth step, with averaged weights and accumulated gradients."""
    whole = small_experiment(study, ema=0.9, accumulate=2)
    reference = make(whole, tmp_path / "whole", data)
    started = trained_until(whole, 4, tmp_path / "halved", data)
    assert not started.finished
    assert len(read_rows(started.losses)) >= 3
    assert_same(reference, make(whole, tmp_path / "halved", data))


class Interrupted(Exception):
    pass


def trained_until(experiment: Experiment, step: int, folder: Path, data: Path) -> Run:
    """Runs `experiment` and raises inside its method at `step` (counted from 1)."""
    calls = 0

    def breaking(shapes: object) -> Method:
        method = experiment.method(shapes)  # type: ignore[arg-type]

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls > (step - 1) * experiment.optimisation.accumulate:
                raise Interrupted

        method.register_forward_pre_hook(count)
        return method

    with pytest.raises(Interrupted):
        trained(
            replace(experiment, method=breaking),
            runs=folder,
            machine=CPU,
            cache=data / "cache",
            save_every_s=0.0,
        )
    return Run(next(folder.rglob("experiment.json")).parent)


def test_killed_at_any_moment_it_resumes_bit_for_bit(study: Study, data: Path, tmp_path: Path) -> None:
    """kill -9 three times, whenever it strikes; the child saves after every step."""
    steps = 40
    reference = make(small_experiment(study, steps=steps), tmp_path / "whole", data)
    order = [sys.executable, "-m", "tests.training.child", str(data), str(tmp_path / "killed"), str(steps)]
    root = Path(__file__).resolve().parents[2]
    kills = 0
    for rows in (5, 15, 25):
        child = subprocess.Popen(order, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            while child.poll() is None and rows_written(tmp_path / "killed") < rows:
                time.sleep(0.002)
            kills += child.poll() is None
        finally:
            child.kill()
            child.wait()
    assert kills >= 2
    (interrupted,) = find_runs(tmp_path / "killed")
    assert not interrupted.finished
    assert_same(reference, make(small_experiment(study, steps=steps), tmp_path / "killed", data))


def rows_written(folder: Path) -> int:
    return sum(run.losses.read_bytes().count(b"\n") - 1 for run in find_runs(folder) if run.losses.is_file())


def test_early_stopping(study: Study, data: Path, tmp_path: Path) -> None:
    still = small_experiment(study, "supervised", steps=40, learning_rate=1e-30, patience=2)
    run = make(still.with_settings(validations=20), tmp_path, data)
    status = run.read(run.status)
    assert status["stopped_because"] == "patience"
    assert status["steps"] == 6  # best at the first validation (step 2), none better at steps 4 and 6


class Shout(Method):
    """A term that is not a number from the third step on."""

    roles = {"student": Role()}  # noqa: RUF012
    paper_weights = {"seg": 1.0, "shout": 1.0}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def terms(self, outputs, batch):  # type: ignore[no-untyped-def]
        self.calls += 1
        loud = outputs["student"].logits.mean()
        return {"seg": loud, "shout": loud * float("nan") if self.calls > 2 else loud}


def test_a_nan_names_term_step_and_cases(study: Study, data: Path, tmp_path: Path) -> None:
    experiment = replace(small_experiment(study), method=lambda shapes: Shout())
    with pytest.raises(
        UserError, match=r"step 2: the loss is not finite; terms at fault: \{'shout': nan\}; cases: phan"
    ):
        make(experiment, tmp_path, data)


class Taught(Method):
    """Mean squared distance of the student's logits to its teacher's."""

    roles = {"student": Role(), "teacher": Role()}  # noqa: RUF012
    paper_weights = {"mimic": 1.0}  # noqa: RUF012

    def terms(self, outputs, batch):  # type: ignore[no-untyped-def]
        return {"mimic": (outputs["student"].logits - outputs["teacher"].logits).pow(2).mean()}


def test_a_teacher_is_made_first_found_again_and_left_untouched(
    study: Study, data: Path, tmp_path: Path
) -> None:
    teacher = small_experiment(study, "supervised", steps=3)
    experiment = replace(
        small_experiment(study, steps=4),
        recipe="taught",
        method=lambda shapes: Taught(),
        teachers={"teacher": teacher},
    )
    run = make(experiment, tmp_path, data)
    teacher_run = make(teacher, tmp_path, data)
    assert run.read(run.experiment)["teachers"] == {"teacher": teacher_run.name}
    saved = torch.load(run.state, weights_only=True)
    assert not any("teacher" in name for name in saved["objective"])
    assert all(name.startswith("networks.student.") for name in saved["objective"])


def test_a_damaged_checkpoint_is_named(study: Study, data: Path, tmp_path: Path) -> None:
    experiment = small_experiment(study)
    run = trained_until(experiment, 3, tmp_path, data)
    run.state.write_bytes(run.state.read_bytes()[:100])
    with pytest.raises(UserError, match=r"last\.pt cannot be read as a checkpoint.*delete"):
        make(experiment, tmp_path, data)


def test_a_flipped_bit_of_a_checkpoint_is_noticed(study: Study, data: Path, tmp_path: Path) -> None:
    """Of what the optimizer remembers, which nothing else would tell; the refusal says how to go on."""
    experiment = small_experiment(study)
    run = trained_until(experiment, 5, tmp_path, data)
    saved = torch.load(run.state, weights_only=True)
    changed = saved["optimizer"]["state"][0]["exp_avg"].view(torch.int32)
    changed.view(-1)[0] ^= 1
    torch.save(saved, run.state)
    with pytest.raises(UserError, match=r"last\.pt .*SHA-256 differs.*; delete .* to start this run afresh"):
        make(experiment, tmp_path, data)
    changed.view(-1)[0] ^= 1
    torch.save(saved, run.state)
    assert_same(make(experiment, tmp_path / "whole", data), make(experiment, tmp_path, data))


def test_a_checkpoint_of_an_earlier_version_has_no_digest_and_goes_on(
    study: Study, data: Path, tmp_path: Path
) -> None:
    experiment = small_experiment(study)
    run = trained_until(experiment, 5, tmp_path, data)
    saved = torch.load(run.state, weights_only=True)
    del saved["digest"], saved["state"]["signed"]
    torch.save(saved, run.state)
    assert_same(make(experiment, tmp_path / "whole", data), make(experiment, tmp_path, data))
    assert b"sha256" not in run.last.read_bytes()  # and ends as it would have there


def test_a_checkpoint_never_runs_code(study: Study, data: Path, tmp_path: Path) -> None:
    experiment = small_experiment(study)
    run = trained_until(experiment, 3, tmp_path, data)
    mark = tmp_path / "executed"

    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return os.mkdir, (str(mark),)

    torch.save({"state": Evil()}, run.state)
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        make(experiment, tmp_path, data)
    assert not mark.exists()


def test_a_split_without_validation_is_refused(study: Study, data: Path, tmp_path: Path) -> None:
    bare = replace(study, split=Split(study.split.train, (), study.split.test))
    with pytest.raises(UserError, match="3 cases to train and 0 to validate on"):
        make(small_experiment(bare), tmp_path, data)


def test_precision_is_measured_once_and_kept_by_the_run(
    study: Study, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distilseg.training.precision.user_cache", lambda: tmp_path / "user")
    monkeypatch.setattr("distilseg.training.precision.candidates", lambda kind: ("32-true", "bf16-mixed"))
    run = make(small_experiment(study, steps=2), tmp_path / "runs", data, Machine(device="cpu"))
    machine = run.read(run.experiment)["machine"]
    assert machine["probed_s"].keys() == {"32-true", "bf16-mixed"}
    float32_s, bfloat16_s = machine["probed_s"]["32-true"], machine["probed_s"]["bf16-mixed"]
    assert machine["precision"] == ("bf16-mixed" if bfloat16_s < 0.9 * float32_s else "32-true")
    kept = next((tmp_path / "user" / "precision").iterdir())
    assert json.loads(kept.read_text())["seconds"] == machine["probed_s"]


def test_a_processor_computes_in_float32_unless_told_otherwise(
    study: Study, data: Path, tmp_path: Path
) -> None:
    """Gradients of its convolutions in bfloat16 are not always numbers, see `training/precision.py`."""
    run = make(small_experiment(study, steps=1), tmp_path / "auto", data, Machine(device="cpu"))
    assert run.read(run.experiment)["machine"]["precision"] == "32-true"
    asked = Machine(device="cpu", precision="bf16-mixed")
    run = make(small_experiment(study, steps=1), tmp_path / "asked", data, asked)
    assert run.read(run.experiment)["machine"]["precision"] == "bf16-mixed"


def test_a_plateau_lowers_the_rate_and_a_resumed_run_remembers_it(
    study: Study, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation never improves: after each 2 + 1 validations without a new best the rate falls to a half."""
    flat = {"mean": 0.5, **dict.fromkeys(study.plan.classes[1:], 0.5)}
    monkeypatch.setattr("distilseg.training.trained.mean_dice", lambda *given, **more: flat)
    settings = {"schedule": "plateau", "plateau_patience": 2, "plateau_factor": 0.5, "learning_rate": 1e-3}
    experiment = small_experiment(study, "supervised", steps=8).with_settings(**settings, validations=8)
    whole = make(experiment, tmp_path / "whole", data)
    rates = [float(row["learning_rate"]) for row in read_rows(whole.losses)]
    # The first validation is the best; the rate falls after the fourth and the seventh.
    assert rates == pytest.approx([1e-3] * 4 + [5e-4] * 3 + [2.5e-4])
    trained_until(experiment, 5, tmp_path / "resumed", data)
    resumed = make(experiment, tmp_path / "resumed", data)
    assert [float(row["learning_rate"]) for row in read_rows(resumed.losses)] == rates
    assert_same(whole, resumed)
