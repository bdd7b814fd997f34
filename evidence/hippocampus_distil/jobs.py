"""A model that others trained, a few labels, and scans that nobody labelled; an hour of two cores.

A large DynUNet learned from all 140 labelled training scans and stands for the model that somebody has. The
student is given 5, 10, 20 or 40 of the labels and the answers of that model for all scans, the others without
their labels; its control the same labels alone.
"""

from __future__ import annotations

from typing import Any

from ..answers import REST, collect, taught_by
from ..jobs import Job

__all__ = ["DATA", "collect", "jobs", "train_one"]

DATA = "Task04_Hippocampus"
SEEDS = (0, 1, 2)
LABELS = (5, 10, 20, 40)
LARGE = {"network": "dynunet", "network_options": {"filters": [16, 32, 64, 128, 256]}}
LARGE_STEPS = 1500
STUDENT = "student_small"
train_one = taught_by(LARGE["network"])


def jobs(steps: int = 500) -> list[list[Job]]:
    """The large network, which is then somebody's; the students, seed by seed."""

    def job(recipe: str, seed: int, **settings: Any) -> Job:
        return Job(recipe, {"network": STUDENT}, {"steps": steps, "seed": seed, **settings})

    students = [
        one
        for seed in SEEDS
        for n in LABELS
        for one in (job("distil", seed, subjects=n, **REST), job("supervised", seed, subjects=n))
    ]
    return [[Job("supervised", LARGE, {"steps": LARGE_STEPS, "seed": 0})], students]
