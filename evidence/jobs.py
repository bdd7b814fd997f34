"""Jobs: what a study trains, each in a process of its own, several side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distilseg.runs import Run
    from distilseg.training.machine import Machine

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """A recipe, its options, and what else `distilseg.commands.train` is told."""

    recipe: str
    options: dict[str, Any]
    settings: dict[str, Any]

    def __str__(self) -> str:
        told = {**self.options, **self.settings}
        return " ".join([self.recipe, *(f"{name}={value}" for name, value in told.items())])


def processor() -> Machine:
    """One thread in float32, whatever the machine has: small networks gain little from more."""
    import torch

    from distilseg.training.machine import Machine

    torch.set_num_threads(1)
    return Machine(device="cpu", precision="32-true")


def train_and_judge(job: Job, data: str, runs: str, *, timed: bool = True) -> list[Run]:
    """A job's run, without the control, which is a job of its own. timed: a case's cost is measured too."""
    from distilseg.commands import train
    from distilseg.judge import judge

    given = {"options": job.options, "runs": runs, "control": False, "machine": processor(), **job.settings}
    if timed:
        return train(job.recipe, data, **given)
    trained = train(job.recipe, data, **given, evaluate=False)
    for run in trained:
        judge(run, device="cpu", timed=False)
    return trained


def run_all(stages: Sequence[Sequence[Job]], command: Sequence[str], processes: int) -> None:
    """Every job by `command... --job N`, `processes` at a time; a stage begins when the one before has ended.

    Finished runs are found again, so the command may be repeated. Ends the program if a job fails.
    """
    first = 0
    for stage in stages:
        numbered = list(enumerate(stage, start=first))
        with ThreadPoolExecutor(processes) as pool:
            if not all(list(pool.map(lambda one: _done(one[0], one[1], command), numbered))):
                sys.exit("some runs failed; repeat the command, it resumes")
        first += len(stage)


def _done(number: int, job: Job, command: Sequence[str]) -> bool:
    whole = [sys.executable, "-m", "evidence", *command, "--job", str(number)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    code = subprocess.run(whole, env=alone, check=False).returncode
    print(f"{job}: {'done' if code == 0 else f'failed ({code})'}", flush=True)
    return code == 0
