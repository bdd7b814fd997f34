"""Unpaired prototypes: volumes of one half of the subjects, slices of the other; an hour of four cores.

A 3D teacher learns on the volumes of 100 subjects, two more on those of 50 each. Students learn on one
sagittal slice (most show both structures) of each of 64 other subjects; other slices of 30 more judge them,
up to five of each. A structure counts where the slice holds it. Each student learns alone first; then it goes
on from its best weights with each teacher's prototypes, and without (the control).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import collecting
from ..jobs import Job
from ..slices_of_others import Deal, fit_prototypes, train_students

DATA = "Task04_Hippocampus"
DEAL = Deal("sagittal", 0.5, (0.64, 0.06, 0.3), {"train": 1, "validation": 3, "test": 5})
TEACHER_STEPS = 1500
TEACHERS = {"A": (0.0, 1.0), "B": (0.0, 0.5), "C": (0.5, 1.0)}  # which part of the volumes' half
SUBJECTS = (8, 16, 32, None)  # None: all 64
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Student:
    """A network of slices, its settings, and how often it is trained."""

    network: str
    steps: int  # alone; two thirds more with prototypes or without
    batch_size: int
    learning_rate: float
    seeds: Sequence[int]
    subjects: Sequence[int | None] = (None,)
    teachers: Sequence[str] = ("A",)


STUDENTS = (
    Student("dynunet", 1500, 8, 5e-3, SEEDS, SUBJECTS, tuple(TEACHERS)),
    Student("deeplab_v3", 500, 8, 1e-3, SEEDS),
    Student("swin_unet", 200, 4, 5e-4, SEEDS[:1]),
    Student("missformer", 200, 4, 5e-4, SEEDS[:1]),
)


def jobs(share: float = 1.0) -> list[list[Job]]:
    """Teachers; then students, the first seed first, the low-data curve last. share: of students' steps."""

    def of(student: Student, seed: int, subjects: int | None) -> Job:
        settings = {
            "steps": max(1, round(share * student.steps)),
            "batch_size": student.batch_size,
            "learning_rate": student.learning_rate,
            "subjects": subjects,
            "seed": seed,
            "teachers": list(student.teachers if subjects is None else student.teachers[:1]),
        }
        return Job("prototype_distillation", {"network": student.network}, settings)

    whole = sorted(((s, seed, None) for s in STUDENTS for seed in s.seeds), key=lambda order: order[1])
    fewer = [(s, seed, n) for seed in SEEDS for s in STUDENTS for n in s.subjects if n is not None]
    teachers = [Job("supervised", {}, {"part": part, "steps": TEACHER_STEPS}) for part in TEACHERS]
    return [teachers, [of(*order) for order in (*whole, *fewer)]]


def train_one(job: Job, data: str, runs: str) -> None:
    """A teacher and its prototypes; or a student alone, its control, and what prototypes make of it."""
    from distilseg.data.formats import read_dataset

    dataset, settings = read_dataset(data), dict(job.settings)
    if job.recipe == "supervised":
        part = settings.pop("part")
        fit_prototypes(dataset, DEAL, part, TEACHERS[part], runs, **settings)
    else:
        teachers = settings.pop("teachers")
        train_students(dataset, DEAL, job.options, teachers, runs, **settings)


def collect(runs: str, results: Path) -> None:
    """Without the metrics of thousands of slices that the page does not show."""
    collecting.collect(runs, results, metrics=("dice", "hd95", "nsd"))
