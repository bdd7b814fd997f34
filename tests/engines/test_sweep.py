"""Sweeps: what trainings share is made first and once; whoever is killed, runs are those of `train`."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from distilseg.claims import claimed
from distilseg.cli import main
from distilseg.cli.submitting import read
from distilseg.commands._sweep import _asked, elements_of, lines_of, planned
from distilseg.commands._trainings import lacking, state
from distilseg.engines.submission import Element, new_submission
from distilseg.errors import UserError
from distilseg.runs import Run, find_runs

from . import small
from .small import training as options

# As `small._WORKER`, for trainings: a step takes a while, and every step is kept.
_TRAINER = """
import sys
if "distilseg.engines.tied" in sys.orig_argv:
    import time
    from distilseg.commands import _train
    from distilseg.training import loop
    _train.train.__kwdefaults__["save_every_s"] = 0.0
    def factor(*given, quick=loop.factor, **more):
        time.sleep(0.1)
        return quick(*given, **more)
    loop.factor = factor
"""


def elements(command: str, tmp_path: Path, **swept: object) -> list[Element]:
    lines = lines_of(shlex.split(command), **swept)  # type: ignore[arg-type]
    with_plan, _ = planned(lines, read, tmp_path / "plans", dry_run=False)
    return elements_of(with_plan, read)


def test_what_lines_share_is_made_before_them_and_once(data: Path, tmp_path: Path) -> None:
    made = elements(
        f"train {options(data, tmp_path / 'runs')}",
        tmp_path,
        recipes=["dual_self_distillation", "dsd_sdd"],
        seeds=[0, 1],
        folds=2,
    )
    by_stage = {stage: [one for one in made if one.stage == stage] for stage in (1, 2, 3)}
    assert len(made) == sum(map(len, by_stage.values()))
    (prepared,) = by_stage[1]  # all scans, of all folds
    assert prepared.words[-2:] == ("--only", "data")
    assert "--fold" not in prepared.words
    assert len(by_stage[2]) == 4  # a control of each seed and fold, for both recipes
    assert all(one.words[-2] == "--only" and one.words[-1] in one.runs for one in by_stage[2])
    assert [one.name for one in by_stage[3]] == [
        f"{recipe}, seed {seed}, fold {fold}"
        for recipe in ("dual_self_distillation", "dsd_sdd")
        for seed in (0, 1)
        for fold in (0, 1)
    ]
    keys = [key for one in made for key in one.runs]
    assert len({*keys}) == len(keys) == 12


def test_a_plan_that_is_not_given_is_made_once_and_that_of_train(data: Path, tmp_path: Path) -> None:
    given = f" --plan {data.with_name('plan.json')}"
    command = f"train supervised {options(data, tmp_path / 'runs')}".replace(given, "")
    command = command.replace("[4,8,8]", "[4,8,8,8]")  # as many levels as it has
    (plain,) = (experiment.key for experiment in _asked(read(shlex.split(command)).given).own)
    (_, swept) = elements(command, tmp_path)
    assert swept.runs == (plain,)
    (plan,) = (tmp_path / "plans").iterdir()
    assert swept.words[-2:] == ("--plan", str(plan))
    of_folds = elements(command, tmp_path, folds=2)
    assert {one.words[-1] for one in of_folds[1:]} == {of_folds[1].words[-1]}  # that of fold 0, for all


def test_a_dry_run_without_a_plan_shows_what_would_be_handed_out_and_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = f" --plan {data.with_name('plan.json')}"
    command = f"train supervised {options(data, tmp_path / 'made' / 'runs')}".replace(given, "")
    command = command.replace("[4,8,8]", "[4,8,8,8]")  # as many levels as it has
    assert main(["submit", command, "--seeds", "0,1", "--dry-run"]) == 0
    assert "1, then 2 of 3 would be handed out" in capsys.readouterr().out
    assert not (tmp_path / "made").exists()


def test_a_control_that_is_asked_for_itself_comes_first(data: Path, tmp_path: Path) -> None:
    made = elements(
        f"train {options(data, tmp_path / 'runs')}",
        tmp_path,
        recipes=["dual_self_distillation", "supervised"],
    )
    assert [(one.stage, one.name) for one in made[1:]] == [(2, "supervised"), (3, "dual_self_distillation")]


def test_networks_that_cannot_be_built_are_told_before_anything_is_handed_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = options(data, tmp_path / "runs").replace("[4,8,8]", "[4,8]")
    assert main(["submit", f"train {command}", "--recipes", "supervised"]) == 2
    assert "dynunet: 2 filter counts" in capsys.readouterr().err
    assert not any(tmp_path.rglob("submission.json"))


def test_the_same_training_twice_is_refused(data: Path, tmp_path: Path) -> None:
    command = f"train {options(data, tmp_path / 'runs')}"
    lines = [("a", [*shlex.split(command)[:1], "supervised", *shlex.split(command)[1:]])] * 2
    with pytest.raises(UserError, match="two of the trainings are the same"):
        elements_of(lines, read)


@pytest.mark.slow
def test_a_sweep_makes_the_runs_of_plain_train_whoever_is_killed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, alone = tmp_path / "runs", tmp_path / "alone"
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "sitecustomize.py").write_text(_TRAINER)
    monkeypatch.setenv("PYTHONPATH", small.joined(tmp_path / "trainer"))
    words = ["submit", f"train {options(data, runs)}", "--recipes", "dual_self_distillation", "--seeds", "3"]
    process = psutil.Popen([small.PYTHON, "-m", "distilseg", *words])
    resumed = False
    end = time.monotonic() + 300
    while process.poll() is None and not resumed:  # the run that it is about, with some steps behind it
        assert time.monotonic() < end
        for run in find_runs(runs):
            about = run.read(run.experiment)
            if about["recipe"] == "dual_self_distillation" and run.state.is_file() and not run.finished:
                for one in process.children(recursive=True):
                    if "distilseg.engines.tied" in one.cmdline():
                        one.kill()
                        resumed = True
        time.sleep(0.02)
    assert process.wait(300) == 0
    assert resumed
    log = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "resumes after step" in log
    monkeypatch.delenv("PYTHONPATH")
    assert main(shlex.split(f"train dual_self_distillation {options(data, alone)} --seed 3")) == 0
    swept, plain = ({run.name: run for run in find_runs(of)} for of in (runs, alone))
    assert swept.keys() == plain.keys()
    assert len(swept) == 2
    for name, run in plain.items():
        assert _weights(swept[name]) == _weights(run)
        assert swept[name].losses.read_text() == run.losses.read_text()
    capsys.readouterr()
    assert main(["status", str(runs), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["of"], told["total"], told["done"], told["missing"]) == ("runs", 2, 2, [])
    assert str(told["command"]).endswith("--recipes dual_self_distillation --seeds 3")
    # Again: all is there, and nothing is handed out. A run that is deleted is made again, and it alone.
    assert main(words) == 0
    assert "2 runs: 2 done, 0 refused, 0 missing" in capsys.readouterr().out


def _weights(run: Run) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in load_file(run.best).items()}


def test_a_run_is_done_when_it_has_ended_and_where_asked_is_judged(tmp_path: Path) -> None:
    words = ("train", "supervised")
    one = new_submission(tmp_path / "runs", "train", [Element("a", words, 1, ("k",), True)], engine="local")
    one.write()
    run = Run(tmp_path / "runs" / "D" / "supervised-1")
    assert (lacking(one, refused=False), state(one).missing) == ({1}, ["a"])
    run.folder.mkdir(parents=True)
    run.experiment.write_text('{"key": "k"}')
    with claimed(run.folder):
        assert (state(one).running, state(one).missing) == (["a"], [])
    run.status.write_text("{}")
    assert state(one).done == 0
    run.metrics.write_text("case,label,metric,value\n")
    assert (state(one).done, lacking(one, refused=True)) == (1, set())
    run.status.unlink()
    (one.folder / "elements").mkdir()
    told = {"code": 2, "starts": 1, "told": ["error: the loss is not finite"]}
    (one.folder / "elements" / "1.json").write_text(json.dumps(told))
    assert state(one).refused == {"a": "the loss is not finite"}
    assert (lacking(one, refused=False), lacking(one, refused=True)) == (set(), {1})


def test_status_of_runs_that_were_not_submitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, finished in (("a", True), ("b", False)):
        run = Run(tmp_path / "runs" / name)
        run.folder.mkdir(parents=True)
        run.experiment.write_text("{}")
        if finished:
            run.status.write_text("{}")
    assert main(["status", str(tmp_path / "runs")]) == 3
    assert "2 runs: 1 done, 0 refused, 1 missing" in capsys.readouterr().out
