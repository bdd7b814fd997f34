"""Thickened networks on CT of head and neck: axial slabs beside single slices, three views, 3D of equal time.

Scans here are 50 to 110 voxels long, in place of the hippocampus' 35: see `protocol.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distilseg.runs import find_runs

from .. import collecting
from ..jobs import Job, train_and_judge
from .rows import VIEW_ROWS, row_of

DATA = "Dataset070_HeadNeckCT"
SEEDS = (0, 1)
THICKNESS = 12
LEARNING_RATE = 1e-2  # by validation of one seed, 400 steps: 0.549, at the recipe's 2e-3 0.517
FUSED_BY = "vote"
DYNUNET = {"network": "dynunet", "network_options": {"filters": [8, 16, 32, 64, 128]}}
# Steps of the 3D network for one of the thickened networks, by seconds of a step that were taken beforehand
# (0.23 and 0.21); in the runs the 3D network took longer than that.
TIME_OF_A_VIEW, TIME_OF_THREE = 1.07, 3.2


def jobs(steps: int = 500, seeds: Sequence[int] = SEEDS) -> list[list[Job]]:
    """Seed by seed; within one the longest first."""

    def slab(recipe: str, view: str, thickness: int, seed: int) -> Job:
        told: dict[str, Any] = {"view": view, "thickness": thickness}
        return Job(recipe, told, {"steps": steps, "seed": seed, "learning_rate": LEARNING_RATE})

    def volume(share: float, seed: int) -> Job:
        return Job("supervised", DYNUNET, {"steps": round(share * steps), "seed": seed})

    return [
        [
            one
            for seed in seeds
            for one in (
                volume(TIME_OF_THREE, seed),
                volume(TIME_OF_A_VIEW, seed),
                *(slab("thickened", view, THICKNESS, seed) for view in ("axial", "coronal", "sagittal")),
                slab("thickened_esm", "axial", THICKNESS, seed),
                slab("thickened_plain", "axial", THICKNESS, seed),
                slab("thickened", "axial", 1, seed),
            )
        ]
    ]


def train_one(job: Job, data: str, runs: str) -> None:
    train_and_judge(job, data, runs, timed=False)


def collect(runs: str, results: Path) -> None:
    """Fuses the three views of each seed, and judges what they vote for."""
    from distilseg.judge import judge
    from distilseg.views import fused, is_fused

    finished = [run for run in find_runs(runs) if run.finished and not is_fused(run)]
    about = {run: run.read(run.experiment) for run in finished}
    for seed in SEEDS:
        of_row = {row_of(told): run for run, told in about.items() if told["seed"] == seed}
        views = [of_row[row].folder for row in VIEW_ROWS if row in of_row]
        if len(views) == len(VIEW_ROWS):
            judge(fused(views, FUSED_BY), device="cpu", timed=False)
    collecting.collect(runs, results)
