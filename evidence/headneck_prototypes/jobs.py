"""Unpaired prototypes on CT with five organs: volumes of some patients, an axial slice of each of the others.

A 3D teacher learns from the volumes of two fifths of the patients. Students learn from one slice of each of
8, 16 or all training patients of the others; several slices of further ones judge them. Each student learns
alone first; then it goes on from its best weights with the teacher's prototypes, and without (the control).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .. import collecting
from ..jobs import Job
from ..slices_of_others import Deal, fit_prototypes, train_students

DATA = "Dataset070_HeadNeckCT"
DEAL = Deal("axial", 0.4, (0.6, 0.1, 0.3), {"train": 1, "validation": 4, "test": 6})
TEACHER = {"network": "student_base"}
TEACHER_STEPS = 2000
STUDENT = {"network": "dynunet"}
BATCH = 8
SUBJECTS = (8, 16, None)  # None: all
SEEDS = (0, 1, 2)


def jobs(steps: int = 600, seeds: Sequence[int] = SEEDS) -> list[list[Job]]:
    """The teacher; then the students, seed by seed. steps: of a student alone."""

    def student(subjects: int | None, seed: int) -> Job:
        settings = {"steps": steps, "batch_size": BATCH, "subjects": subjects, "seed": seed}
        return Job("prototype_distillation", STUDENT, settings)

    teacher = Job("supervised", TEACHER, {"steps": TEACHER_STEPS, "seed": 0})
    return [[teacher], [student(subjects, seed) for seed in seeds for subjects in SUBJECTS]]


def train_one(job: Job, data: str, runs: str) -> None:
    """The teacher and its prototypes; or a student alone, its control, and what prototypes make of it."""
    from distilseg.data.formats import read_dataset

    dataset = read_dataset(data)
    if job.recipe == "supervised":
        fit_prototypes(dataset, DEAL, "teacher", (0.0, 1.0), runs, options=job.options, **job.settings)
    else:
        train_students(dataset, DEAL, job.options, ["teacher"], runs, **job.settings)


def collect(runs: str, results: Path) -> None:
    """Without the metrics of many slices that the page does not show."""
    collecting.collect(runs, results, metrics=("dice",))
