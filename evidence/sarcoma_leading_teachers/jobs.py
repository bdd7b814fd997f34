"""Teach-Former on sarcomas in CT and PET with teachers that lead: see `protocol.md`; an hour of a core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..jobs import Job
from ..leading_teachers import FAST, FEW, LedStudy, Teacher
from ..sarcoma_teach_former.jobs import DATA, MODALITIES, prepare

__all__ = ["DATA", "LED", "collect", "jobs", "prepare", "train_one"]

LED = LedStudy(
    (
        Teacher("student_base", "teacher `student_base`", 1000, {}, FAST, (FEW,)),
        Teacher("dynunet", "teacher DynUNet 8…128", 600, {"filters": [8, 16, 32, 64, 128]}, FAST, (FEW,)),
    ),
    steps=500,
    seeds=(0,),
    folds=3,
    settings={"modalities": MODALITIES},
)
jobs, collect = LED.jobs, LED.collect


def train_one(job: Job, data: str, runs: str) -> None:
    """By the plan of `prepare`, whose patches are small."""
    planned = {**job.settings, "plan": Path(runs) / "plan.json"}
    LED.train_one(replace(job, settings=planned), data, runs)
