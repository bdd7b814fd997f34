"""Arrays on a real SLURM: parts, elements that are queued again, missing parts alone again, two ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distilseg.cli import main

from . import slurm, small
from .conftest import SCANS

PATIENCE_S = 240

pytestmark = pytest.mark.skipif(bool(slurm.lacking()), reason=slurm.lacking())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as around:
        yield around


@pytest.fixture(autouse=True)
def on_it(cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)


def asked(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < end, asked("squeue", "--array")
        time.sleep(0.2)


def over() -> bool:
    """Nothing waits or runs; what was queued again does not wait for its time."""
    for line in asked("squeue", "--noheader", "--array", "--format", "%i %r").splitlines():
        job, _, why = line.partition(" ")
        if why == "BeginTime":
            asked("scontrol", "update", f"JobId={job}", "StartTime=now")
    return not asked("squeue", "--noheader").strip()


def submit(model: Path, scans: Path, out: Path, *more: str) -> int:
    return main(["submit", f"predict {model} {scans} {out}", "--engine", "slurm", "--parts", "4", *more])


def logs(out: Path) -> dict[str, str]:
    return {
        path.stem: path.read_text() for path in out.with_name(f"{out.name}.submit").rglob("elements/*.log")
    }


def equal(out: Path, plain: Path) -> bool:
    made, expected = ({file.name: file.read_bytes() for file in of.glob("*.nii.gz")} for of in (out, plain))
    return made == expected


@pytest.mark.usefixtures("mortal")
def test_an_array_one_element_of_which_is_queued_again(
    model: Path, scans: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_S", "0.5")
    out = tmp_path / "out"
    assert submit(model, scans, out, "--time", "10", "--cpus", "1") == 0
    until(lambda: out.is_dir() and any(out.glob("*.nii.gz")))
    assert main(["status", str(out)]) == 3
    running = asked("squeue", "--noheader", "--array", "--states", "RUNNING", "--format", "%i").split()
    asked("scontrol", "requeue", running[0])
    until(over)
    assert equal(out, plain)
    assert small.hidden(out) == []
    assert main(["status", str(out)]) == 0
    assert sum(text.count("$ distilseg") for text in logs(out).values()) == 5  # four parts, one of them twice


@pytest.mark.usefixtures("mortal")
def test_what_was_cancelled_is_handed_out_again_and_nothing_else(
    model: Path, scans: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_S", "0.5")
    out = tmp_path / "out"
    assert submit(model, scans, out) == 0
    (record,) = out.with_name("out.submit").rglob("submission.json")
    (job,) = json.loads(record.read_text())["jobs"]
    asked("scancel", f"{job}_2", f"{job}_4")
    # Again at once: what still waits or runs is left to it, and what was cancelled is handed out.
    until(lambda: {2, 4}.isdisjoint(queued(job)))
    assert submit(model, scans, out) == 0
    script = record.with_name("stage_1.sbatch").read_text()
    assert "--array=2,4\n" in script
    until(over)
    assert equal(out, plain)
    assert small.hidden(out) == []
    before = record.read_text()
    assert submit(model, scans, out) == 0  # all is done: no job is made
    assert record.read_text() == before


def queued(job: str) -> set[int]:
    said = asked("squeue", "--noheader", "--array", "--jobs", job, "--format", "%K").split()
    return {int(word) for word in said if word.isdecimal()}


@pytest.mark.usefixtures("mortal")
def test_an_element_whose_time_is_nearly_up_goes_on_in_another(
    model: Path, scans: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal that SLURM sends before the end of the time, sent by hand: the script is queued again."""
    monkeypatch.setenv("SLOW_S", "1")
    out = tmp_path / "out"
    assert submit(model, scans, out) == 0
    until(lambda: out.is_dir() and any(out.glob("*.nii.gz")))
    running = asked("squeue", "--noheader", "--array", "--states", "RUNNING", "--format", "%i").split()
    # What is signalled is queued again at once, which scancel takes for a failure and repeats.
    with subprocess.Popen(["scancel", "--batch", "--signal", "USR1", running[-1]]) as signalled:
        until(lambda: "BeginTime" in asked("squeue", "--noheader", "--array", "--format", "%r"))
        signalled.kill()
    until(over)
    assert equal(out, plain)
    assert small.hidden(out) == []
    assert sum(text.count("$ distilseg") for text in logs(out).values()) == 5


def test_what_is_made_of_all_parts_waits_for_them(plain: Path, tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    command = f"evaluate {plain} {plain} --labels 1=blob --out {table}"
    assert main(["submit", command, "--engine", "slurm", "--parts", "2"]) == 0
    until(over)
    assert main(["status", str(table)]) == 0
    rows = table.read_text().splitlines()
    assert len({row.partition(",")[0] for row in rows[1:]}) == SCANS


@pytest.mark.slow
def test_the_stages_of_a_sweep_wait_for_one_another(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scans, then the control that two recipes share, then the two."""
    runs = tmp_path / "runs"
    command = f"train {small.training(data, runs)}"
    words = ["submit", command, "--recipes", "dual_self_distillation,dsd_sdd", "--engine", "slurm"]
    assert main(words) == 0
    assert "1, then 1, then 2 of 4 were handed out" in capsys.readouterr().out
    until(over)
    assert main(["status", str(runs)]) == 0
    assert "3 runs: 3 done, 0 refused, 0 missing" in capsys.readouterr().out
    assert sum(text.count("$ distilseg") for text in logs(runs).values()) == 4


def test_two_ranks_by_srun(tmp_path: Path) -> None:
    """One task a node and torchrun in it, as the documentation says; both ranks are on this machine."""
    words = f"-m tests.training.several {tmp_path} {tmp_path / 'shared'} 2"
    script = tmp_path / "job.sbatch"
    script.write_text(
        "#!/bin/bash\n#SBATCH --nodes=1\n#SBATCH --ntasks-per-node=1\n#SBATCH --cpus-per-task=2\n"
        f"#SBATCH --output={tmp_path / 'said'}\nexport OMP_NUM_THREADS=1\n"
        f"srun {sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2 {words}\n"
    )
    asked("sbatch", f"--chdir={Path(__file__).parents[2]}", str(script))
    until(over)
    (run,) = (tmp_path / "shared").rglob("status.json")
    assert json.loads(run.read_text())["steps"] == 2, (tmp_path / "said").read_text()


def test_the_signal_of_a_partition_that_is_none_is_one_line(
    model: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(model, scans, tmp_path / "out", "--partition", "nowhere") == 2
    said = capsys.readouterr().err
    assert "sbatch refused it" in said
    assert said.count("\n") == 1
    assert SCANS > 0
    assert os.environ["SLURM_CONF"]
