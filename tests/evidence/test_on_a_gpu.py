"""Minutes on a lent GPU machine: what is planned, what is kept, and that neither failure nor limit loses it.

Nothing is trained here. `python scripts/on_a_gpu.py WHEELS DATA OUT --minutes 6 --toy` does all of it, tiny.
"""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evidence.__main__ import main as evidence
from evidence.hippocampus_dsd_gpu import jobs, kept, rows, timing
from evidence.jobs import ROOT

from distilseg.files import write_json
from distilseg.runs import Run
from distilseg.training.machine import Machine
from evidence import page

from ..training.small import small_study

JOBS = [f"{network} {way}" for network in jobs.NETWORKS for way in jobs.WAYS]
ABOUT = {
    "plain": {"recipe": "supervised"},
    "ds": {"recipe": "dual_self_distillation", "alpha": 0.0, "beta": 0.0},
    "dsd": {"recipe": "dual_self_distillation", "alpha": 1.0, "beta": 1.0},
}


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    return importlib.import_module(name)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    return script("on_a_gpu", monkeypatch)


def test_the_ways_of_a_network_get_equal_steps_that_the_slowest_has_time_for() -> None:
    rates = dict(zip(JOBS, [4, 3, 2, 8, 8, 5, 10, 9, 9], strict=True))
    plan = timing.plan(rates, speedup=1.5, overhead_s=40, left_s=464)
    assert plan is not None
    seconds = 464 - timing.LAST_S - timing.SPARE * 40  # 400: nine times 1.5 would be less
    assert (plan.processes, plan.minutes) == (9, seconds / 60)
    assert plan.steps == {
        network: int(timing.SURE * rate * seconds)
        for network, rate in (("unetr", 2), ("vnet", 5), ("dynunet", 9))
    }


def test_where_one_alone_is_fast_enough_they_run_in_turn() -> None:
    plan = timing.plan(dict.fromkeys(JOBS, 1.0), speedup=20, overhead_s=40, left_s=464)
    assert plan is not None
    seconds = (464 - timing.LAST_S) / 9 - timing.SPARE * 40 / 20
    assert plan == timing.Plan(1, dict.fromkeys(jobs.NETWORKS, int(timing.SURE * 20 * seconds)), seconds / 60)


@pytest.mark.parametrize(
    ("rate", "left_s"), [(1.0, 60.0), (0.0, 464.0), (1e-4, 464.0)], ids=["no time", "no step", "none fits"]
)
def test_where_nothing_fits_nothing_is_planned(rate: float, left_s: float) -> None:
    rates = dict.fromkeys(JOBS, 1.0) | {"vnet dsd": rate}
    assert timing.plan(rates, speedup=1.0, overhead_s=40, left_s=left_s) is None


def test_nine_experiments_as_published(tmp_path: Path) -> None:
    """Equal in all but what is said of the decoder and the encoder; and their rows are found again."""
    (stage,) = jobs.jobs(steps={"unetr": 5, "vnet": 6, "dynunet": 7}, minutes=2.0)
    study = small_study(tmp_path / "scans")
    made = [jobs.experiment_of(job, study) for job in stage]
    about = [{"recipe": one.recipe, "options": dict(one.options)} for one in made]
    assert [jobs.row_of(one) for one in about] == JOBS == list(rows.LABELS)
    assert [(one.budget.steps, one.budget.minutes) for one in made] == [
        (n, 2.0) for n in (5, 6, 7) for _ in "way"
    ]
    assert {one.study.plan.patch for one in made} == {(32, 32, 32)}
    assert len({(one.sampling, one.optimisation, one.validation) for one in made}) == 1
    assert (made[0].sampling.batch_size, made[0].validation.validations) == (16, 5)
    for plain, *others in (made[n : n + 3] for n in (0, 3, 6)):
        assert all(one.networks == plain.networks for one in others)


def test_without_a_budget_it_is_the_papers(tmp_path: Path) -> None:
    (job,) = jobs.jobs(only=["vnet dsd"])[0]
    budget = jobs.experiment_of(job, small_study(tmp_path / "scans")).budget
    assert (budget.steps, budget.epochs, budget.minutes) == (None, 300, None)


def test_a_toy_is_small_and_otherwise_as_published(tmp_path: Path) -> None:
    (stage,) = jobs.jobs(minutes=1.0, toy=True)
    made = [jobs.experiment_of(job, small_study(tmp_path / "scans")) for job in stage]
    assert [jobs.row_of({"recipe": m.recipe, "options": m.options}) for m in made] == JOBS[-3:]
    assert {str(one.networks["student"].options) for one in made} == {str(jobs.TOY_SIZE)}
    assert {one.sampling.batch_size for one in made} == {jobs.TOY_BATCH}
    assert {one.optimisation.learning_rate for one in made} == {1e-4}


def a_run(runs: Path, row: str, dice: Sequence[float] = (0.8, 0.9), steps: int = 30) -> None:
    network, way = row.split()
    options = {"network": network, **ABOUT[way]}
    folder = runs / "Hippocampus" / f"run-{network}-{way}"
    folder.mkdir(parents=True)
    about = {"recipe": options.pop("recipe"), "options": options, "dataset": {"folder": "/lent/data/Task"}}
    told = {"steps": steps, "seconds": 12.0, "stopped_because": "steps", "best_validation_dice": 0.7}
    (folder / "experiment.json").write_text(json.dumps(about))
    (folder / "status.json").write_text(json.dumps(told))
    if dice:
        lines = [f"case_{n},Anterior,dice,{value}" for n, value in enumerate(dice)]
        (folder / "metrics.csv").write_text("\n".join(["case,label,metric,value", *lines]))
        (folder / "evaluation.json").write_text("{}")


def test_rates_and_rows_are_those_of_finished_runs(tmp_path: Path) -> None:
    a_run(tmp_path, "unetr dsd", steps=30)
    a_run(tmp_path, "vnet ds", dice=(), steps=60)
    (tmp_path / "Hippocampus" / "unfinished").mkdir()
    assert kept.rates(tmp_path, 15.0) == {"unetr dsd": 2.0, "vnet ds": 4.0}
    (row,) = kept.rows(tmp_path)
    assert (row["row"], row["steps"], row["dice"]) == ("unetr dsd", 30, 0.85)


def test_nine_runs_are_nine_rows_with_their_controls(tmp_path: Path) -> None:
    """Runs of other settings stand in for them."""
    other = page.read("hippocampus-dsd")
    for network in ("unetr", "dynunet-8", "dynunet-16"):
        for way in jobs.WAYS:
            (run,) = other.rows[f"{network} {way}"].runs
            made = Run(shutil.copytree(run.folder, tmp_path / run.name))
            if network == "dynunet-8":
                about = run.read(run.experiment)
                write_json(made.experiment, {**about, "options": {**about["options"], "network": "vnet"}})
    found = rows.read(tmp_path)
    assert list(found.rows) == JOBS
    told = found.less("control", "dynunet dsd")
    assert told.difference.mean == other.less("control", "dynunet-16 dsd").difference.mean
    assert found.less("divergence", "unetr dsd").difference.n == 40


def carried_out(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str = ""
) -> tuple[int, Any]:
    """All parts, each of which leaves at once what it would leave; `fails` does not succeed, ends early."""
    asked: list[tuple[str, list[str]]] = []

    def part(self: Any, name: str, module: Sequence[str], limit_s: float, log: str = "log.txt") -> bool:
        asked.append((name, list(module)))
        assert limit_s <= self.seconds
        (self.out / log).write_text("9 passed\n")
        self.summary["parts"][name] = {"seconds": 1.5, "exit": 0}
        if "run" in module:
            runs = Path(module[module.index("--runs") + 1])
            wanted = [timing.ALONE_JOB] if "--only" in module else JOBS
            for row in wanted[: 4 if name == fails else None]:
                a_run(runs, row)
        if name == fails == "train":
            raise SystemExit(1)  # as a signal would end it
        return name != fails

    monkeypatch.setattr(gpu.Session, "part", part)
    monkeypatch.setattr(gpu.signal, "signal", lambda *_: None)
    facts = {"python": "3", "torch": "2", "gpu": "a GPU", "missing": []}
    monkeypatch.setattr(gpu, "FACTS", f"import json; print(json.dumps({facts!r}))")
    data, wheels = tmp_path / "data", tmp_path / "wheels"
    for folder in (data, wheels):
        folder.mkdir()
    (wheels / "monai-1-py3-none-any.whl").touch()
    words = [str(wheels), str(data), str(tmp_path / "out"), "--minutes", "12"]
    try:
        code = gpu.main(words)
    except SystemExit as error:
        code = int(error.code or 0)
    assert [name for name, _ in asked][:4] == ["install", "tests", "measure alone", "measure beside"]
    return code, json.loads((tmp_path / "out" / "summary.json").read_text())


def test_all_parts_in_turn(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, summary = carried_out(gpu, tmp_path, monkeypatch)
    assert (code, summary["ended"], summary["tests"], summary["judged"]) == (0, "all done", "9 passed", 9)
    assert summary["plan"]["steps"].keys() == set(jobs.NETWORKS)
    with (tmp_path / "out" / "rows.csv").open() as file:
        assert sorted(row["row"] for row in csv.DictReader(file)) == sorted(JOBS)
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as packed:
        names = packed.getnames()
        about = json.load(packed.extractfile("hippocampus-dsd-gpu/run-unetr-dsd/experiment.json"))  # type: ignore[arg-type]
    assert "hippocampus-dsd-gpu/run-unetr-dsd/metrics.csv" in names
    assert about["dataset"]["folder"] == "Task"


@pytest.mark.parametrize(
    ("fails", "code", "ended", "judged"),
    [("tests", 1, "the tests failed or were ended; see tests.txt", 9), ("train", 1, "cut off", 4)],
)
def test_what_fails_or_is_cut_off_leaves_what_there_was(
    fails: str, code: int, ended: str, judged: int, gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, summary = carried_out(gpu, tmp_path, monkeypatch, fails)
    assert (found, summary["ended"], summary["judged"]) == (code, ended, judged)
    assert (tmp_path / "out" / "results.tar.gz").is_file()


def test_a_part_is_ended_at_its_limit_with_all_that_it_started(gpu: Any, tmp_path: Path) -> None:
    child = tmp_path / "waits.py"
    child.write_text(
        "import pathlib, subprocess, sys, time\n"
        "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(one.pid))\n"
        "time.sleep(600)\n"
    )
    session = gpu.Session(tmp_path / "out", tmp_path / "scratch", 1.0, toy=True)
    session.environment["PYTHONPATH"] = str(tmp_path)
    assert not session.part("waits", ["waits"], 3.0)
    assert (
        json.loads((tmp_path / "out" / "summary.json").read_text())["parts"]["waits"]["exit"]
        == "ended at its limit"
    )
    grandchild = Path("/proc") / (tmp_path / "pid").read_text() / "stat"
    until = time.monotonic() + 10
    while alive(grandchild) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(grandchild)


def alive(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(") ")[2][:1] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", ".", "out"], "nowhere is no folder; scripts/for_a_gpu.py fills one"),
        ([".", ".", "out", "--minutes", "0"], "--minutes is 0; give a number above 0"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str],
    told: str,
    gpu: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        gpu.main(words)
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_wheels_are_what_is_needed_and_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fills = script("for_a_gpu", monkeypatch)
    every = fills.needed(fills.WANTED, [], "3.12")
    assert {"monai", "nibabel", "pydantic-core", "markupsafe", "numpy"} <= every.keys()
    assert (
        not {"torch", "sympy", "triton"}
        & fills.needed(["monai", "lightning-fabric"], ["numpy"], "3.12").keys()
    )
    listed = tmp_path / "there.txt"
    listed.write_text(
        "Package    Version\n---------- -------\nnumpy      2.5.2\nscipy      1.17\nPyYAML  6\n"
    )
    less = fills.needed(fills.WANTED, fills.names_in(str(listed)), "3.12")
    assert every.keys() - less.keys() == {"numpy", "scipy", "pyyaml"}
    assert fills.names_in("numpy,scipy") == ["numpy", "scipy"]


def test_it_has_no_page_before_it_has_results(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="has no page yet"):
        evidence(["hippocampus-dsd-gpu", "page"])


def test_a_job_is_carried_out_on_the_device_that_is_asked_for() -> None:
    (stage,) = jobs.jobs(minutes=1.0, device="cpu", only=["unetr ds"])
    (job,) = stage
    assert (job.recipe, job.options) == (jobs.RECIPE, {"network": "unetr", "alpha": 0.0, "beta": 0.0})
    assert Machine(device=job.settings["device"]).kind == "cpu"
