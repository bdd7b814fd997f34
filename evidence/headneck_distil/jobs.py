"""The same question on CT with five organs: ten labelled scans, and many that nobody labelled; an hour.

A larger network learned from all labelled training scans and stands for the model that somebody has. The
student is given ten of the labels, and the model's answers on those scans, on the other training scans
without their labels, and on sixty scans that never had any and that the model never saw.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..answers import REST, collect, taught_by
from ..jobs import Job

__all__ = ["DATA", "collect", "jobs", "prepare", "train_one"]

DATA = "Dataset070_HeadNeckCT"
SEEDS = (0, 1, 2)
LABELS = 10
LARGE = {"network": "student_base"}
LARGE_STEPS = 3000
STUDENT = "student_small"
PATCH = (32, 32, 48)  # an eighth of the plan's; with the steps and rate below validation found every organ
WARMUP = 0.05
_taught = taught_by(LARGE["network"])


def jobs(steps: int = 1500) -> list[list[Job]]:
    """The larger network, which is then somebody's, beside the controls; the students that it teaches."""

    def job(recipe: str, seed: int, **settings: Any) -> Job:
        return Job(
            recipe,
            {"network": STUDENT},
            {"steps": steps, "seed": seed, "warmup": WARMUP, "subjects": LABELS, **settings},
        )

    large = Job("supervised", LARGE, {"steps": LARGE_STEPS, "seed": 0, "warmup": WARMUP})
    unlabelled = {"unlabelled": ("own", *REST["unlabelled"])}
    return [
        [large, *(job("supervised", seed) for seed in SEEDS)],
        [job("distil", seed, **unlabelled) for seed in SEEDS],
    ]


def prepare(data: str, runs: str) -> None:
    """One plan for all runs, with the smaller patch."""
    from distilseg.commands import plan

    Path(runs).mkdir(parents=True, exist_ok=True)
    plan(data, out=f"{runs}/plan.json", patch=PATCH)


def train_one(job: Job, data: str, runs: str) -> None:
    _taught(replace(job, settings={**job.settings, "plan": Path(runs) / "plan.json"}), data, runs)
