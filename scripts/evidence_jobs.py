"""What the scripts of evidence share: many runs side by side, and their results without this machine's paths."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distilseg.runs import Run

ROOT = Path(__file__).resolve().parents[1]
KEPT = (
    "plan.json",
    "split.json",
    "status.json",
    "validation.csv",
    "metrics.csv",
    "evaluation.json",
    "cost.json",
)


@dataclass(frozen=True)
class Job:
    """One run: a recipe and what `distilseg.commands.train` is told."""

    recipe: str
    options: dict[str, Any]
    settings: dict[str, Any]

    def __str__(self) -> str:
        told = {**self.options, **self.settings}
        return " ".join([self.recipe, *(f"{name}={value}" for name, value in told.items())])


def run_one(job: Job, data: str, runs: str) -> list[Run]:
    """Trains and judges a single run, on one thread: small 3D networks gain little from more."""
    import torch

    from distilseg.commands import train
    from distilseg.training.machine import Machine

    torch.set_num_threads(1)
    cpu = Machine(device="cpu", precision="32-true")
    return train(job.recipe, data, options=job.options, runs=runs, control=False, machine=cpu, **job.settings)


def run_all(script: Sequence[str], jobs: Sequence[Job], data: str, runs: str, processes: int) -> None:
    """Every job in a process of its own, in order, `processes` at a time; ends the program if one fails.

    `script` is started again as `script... one --data ... --runs ... --number N`.
    """

    def start(number: int) -> int:
        command = [sys.executable, script[0], "one", *script[1:]]
        command += ["--data", data, "--runs", runs, "--number", str(number)]
        code = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode
        print(f"{jobs[number]}: {'done' if code == 0 else f'failed ({code})'}", flush=True)
        return code

    with ThreadPoolExecutor(processes) as pool:
        if any(list(pool.map(start, range(len(jobs))))):
            sys.exit("some runs failed; repeat the command, it resumes")


def collect(runs: str, to: Path) -> None:
    """Copies what is data from each finished run; paths and command lines of this machine stay behind."""
    from distilseg.runs import find_runs

    for run in find_runs(runs):
        if not (run.finished and run.metrics.is_file()):
            print(f"left out, not finished: {run.name}")
            continue
        folder = to / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (run.folder / name).is_file():  # several runs fused have no validation of their own
                shutil.copyfile(run.folder / name, folder / name)
        about = without_folders(run.read(run.experiment))
        about["dataset"]["folder"] = Path(about["dataset"]["folder"]).name
        about.pop("command")
        (folder / "experiment.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def without_folders(value: Any) -> Any:
    """`value`, at any depth, with absolute paths cut down to their last part."""
    if isinstance(value, Mapping):
        return {name: without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
