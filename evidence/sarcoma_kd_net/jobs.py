"""KD-Net on three folds, students that see CT or MR only, every ablation: two hours of three cores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import collecting
from ..jobs import Job
from .figures import write_slices
from .rows import STUDENTS

DATA = "Dataset090_SoftTissueSarcoma"
FOLDS = 3
DISTILLED = ("kd_net", "kd_net_gt_kd", "kd_net_gt_kl")


def jobs(steps: int = 500, filters: Sequence[int] = (8, 16, 32, 64, 128)) -> list[list[Job]]:
    """Teachers, which each fold's students share, then controls, then fold by fold."""

    def job(recipe: str, fold: int, student: str | None = None, **options: Any) -> Job:
        sees = {} if student is None else {"student_sees": [student]}
        network = {"network_options": {"filters": list(filters)}}
        return Job(recipe, {**network, **sees, **options}, {"steps": steps, "folds": FOLDS, "fold": fold})

    folds = range(FOLDS)
    students = [
        *(job("kd_net_control", fold, student) for fold in folds for student in STUDENTS),
        *(job(recipe, fold, student) for fold in folds for student in STUDENTS for recipe in DISTILLED),
        # Is the weight of the bottleneck at fault where the full method did not help?
        *(job("kd_net", fold, "CT", alpha=1.0) for fold in folds),
    ]
    return [[job("kd_net_teacher", fold) for fold in folds], students]


def collect(runs: str, results: Path) -> None:
    """Data, and pictures of slices, which need the runs themselves."""
    collecting.collect(runs, results)
    write_slices(runs)
