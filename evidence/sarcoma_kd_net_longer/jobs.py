"""KD-Net on sarcomas in CT, four times as many steps: see `protocol.md`; an hour and a half of a core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..jobs import Job, train_and_judge
from ..sarcoma_kd_net_unlabelled.jobs import CONTROL, DATA, FOLDS, NETWORK, SEES, TAUGHT, TEACHER, prepare

__all__ = ["CONTROL", "DATA", "FULL", "TAUGHT", "TEACHER", "jobs", "prepare", "train_one"]

FULL = "kd_net"


def jobs(steps: int = 2000) -> list[list[Job]]:
    """Teachers and controls; the students that each fold's teacher teaches."""

    def job(recipe: str, fold: int, options: dict[str, Any]) -> Job:
        return Job(recipe, {**NETWORK, **options}, {"steps": steps, "folds": FOLDS, "fold": fold})

    folds = range(FOLDS)
    alone = [job(TEACHER, fold, {}) for fold in folds] + [job(CONTROL, fold, SEES) for fold in folds]
    return [alone, [job(recipe, fold, SEES) for fold in folds for recipe in (TAUGHT, FULL)]]


def train_one(job: Job, data: str, runs: str) -> None:
    """By the plan of `prepare`, whose patches are small."""
    planned = {**job.settings, "plan": Path(runs) / "plan.json"}
    train_and_judge(replace(job, settings=planned), data, runs, timed=False)
