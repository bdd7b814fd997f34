"""Evidence for dual self-distillation on hippocampus MR: control, DS and DSD for four networks.

    python scripts/evidence_hippocampus.py train --data D   # hours of four cores; resumes
    python scripts/evidence_hippocampus.py collect          # runs -> results/hippocampus-dsd
    python scripts/evidence_page.py                         # results -> docs/evidence, README

`train` runs one process of one thread per job (small 3D networks gain little from more) and can be stopped and
repeated: finished rows are found again. `collect` keeps of each run what judging left behind, without paths.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "hippocampus-dsd"
RECIPES = ("supervised", "dsd_ds", "dual_self_distillation")


@dataclass(frozen=True)
class Row:
    """One network under every recipe: its width, for how long, with which seeds."""

    name: str
    network: str
    options: dict[str, Any]
    steps: int
    seeds: tuple[int, ...] = (0,)


ROWS = (
    Row("vnet", "vnet", {}, 600),
    Row("unetr", "unetr", {}, 1000),
    Row("dynunet-16", "dynunet", {"filters": [16, 32, 64, 128, 256]}, 1500),
    Row("dynunet-8", "dynunet", {"filters": [8, 16, 32, 64, 128]}, 1500, (0, 1, 2)),
)

# Which term is at fault where DSD did not help: each alone, and teachers that gradients do not reach.
WHY = (
    ("dynunet-8", "dsd_sdd", 0, {}),
    ("dynunet-8", "dsd_sde", 0, {}),
    ("dynunet-8", "dual_self_distillation", 0, {"detach_teacher": True}),
)


def one(data: str, runs: str, name: str, recipe: str, seed: int, options: dict[str, Any]) -> None:
    """Trains and judges a single run, on one thread."""
    import torch

    from distilseg.commands import train
    from distilseg.training.machine import Machine

    torch.set_num_threads(1)
    row = next(row for row in ROWS if row.name == name)
    train(
        recipe,
        data,
        options={
            "network": row.network,
            **({"network_options": row.options} if row.options else {}),
            **options,
        },
        runs=runs,
        steps=row.steps,
        seed=seed,
        control=False,
        machine=Machine(device="cpu", precision="32-true"),
    )


def train_all(data: str, runs: str, jobs: int) -> None:
    """Every row, the longest first."""
    orders = [(row.name, recipe, seed, {}) for row in ROWS for seed in row.seeds for recipe in RECIPES]

    def start(order: tuple[str, str, int, dict[str, Any]]) -> int:
        name, recipe, seed, options = order
        command = [sys.executable, __file__, "one", "--data", data, "--runs", runs]
        command += ["--row", name, "--recipe", recipe, "--seed", str(seed)]
        command += ["--options", json.dumps(options)]
        code = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode
        print(f"{name} {recipe} seed {seed}: {'done' if code == 0 else f'failed ({code})'}", flush=True)
        return code

    with ThreadPoolExecutor(jobs) as pool:
        if any(list(pool.map(start, [*orders, *WHY]))):
            sys.exit("some runs failed; repeat the command, it resumes")


def collect(runs: str) -> None:
    """Copies what is data from each finished run; paths and command lines of this machine stay behind."""
    from distilseg.runs import find_runs

    kept = (
        "plan.json",
        "split.json",
        "status.json",
        "validation.csv",
        "metrics.csv",
        "evaluation.json",
        "cost.json",
    )
    for run in find_runs(runs):
        if not (run.finished and run.metrics.is_file()):
            print(f"left out, not finished: {run.name}")
            continue
        to = RESULTS / run.name
        to.mkdir(parents=True, exist_ok=True)
        for name in kept:
            shutil.copyfile(run.folder / name, to / name)
        about = run.read(run.experiment)
        about["dataset"]["folder"] = Path(about["dataset"]["folder"]).name
        about.pop("command")
        (to / "experiment.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "one", "collect"])
    parser.add_argument("--data", default="../shared/data/Task04_Hippocampus")
    parser.add_argument("--runs", default="runs/evidence")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--row")
    parser.add_argument("--recipe")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    if given.what == "train":
        train_all(given.data, given.runs, given.jobs)
    elif given.what == "one":
        one(given.data, given.runs, given.row, given.recipe, given.seed, given.options)
    elif given.what == "collect":
        collect(given.runs)


if __name__ == "__main__":
    main()
