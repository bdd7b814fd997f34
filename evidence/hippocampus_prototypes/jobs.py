"""Unpaired prototypes: volumes of one half of the subjects, slices of the other; an hour of four cores.

A 3D teacher learns on the volumes of 100 subjects, two more on those of 50 each. Students learn on one
sagittal slice (most show both structures) of each of 64 other subjects; other slices of 30 more judge them,
up to five of each. A structure counts where the slice holds it. Each student learns alone first; then it goes
on from its best weights with each teacher's prototypes, and without (the control).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import collecting
from ..jobs import Job, processor

if TYPE_CHECKING:
    from distilseg.data.case import Case, Dataset
    from distilseg.data.planning.splits import Split

DATA = "Task04_Hippocampus"
VIEW = "sagittal"
DRAWS = {"train": 1, "validation": 3, "test": 5}  # slices of a subject, at most
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


def volumes(dataset: Dataset, part: str) -> Split:
    """Subjects of the first half, or of a part of them: 80 % train the teacher, 10 % validate and judge."""
    from distilseg.data.planning.splits import split_cases

    cases = _half(dataset, first=True)
    low, high = (round(share * len(cases)) for share in TEACHERS[part])
    return split_cases(cases[low:high], seed=0, fractions=(0.8, 0.1, 0.1))


def slices(dataset: Dataset) -> tuple[Dataset, Split]:
    """Slices of the other half's subjects as cases of their own, and which of them train, validate, judge."""
    from distilseg.data.planning.splits import Split, split_cases
    from distilseg.data.preparing.single_slices import one_slice_each

    half = _half(dataset, first=False)
    subjects = split_cases(half, seed=0, fractions=(0.64, 0.06, 0.3))
    draws = [one_slice_each(replace(dataset, cases=tuple(half)), view=VIEW, seed=n) for n in range(5)]
    cases: dict[str, Case] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for part, times in DRAWS.items():
        ids: list[str] = []
        for subject in getattr(subjects, part):
            seen = set()
            for n, draw in enumerate(draws[:times]):
                case = draw.case(subject)
                if case.slice not in seen:
                    seen.add(case.slice)
                    ids.append(f"{subject}-{n}")
                    cases[ids[-1]] = replace(case, id=ids[-1], patient=subject)
        parts[part] = tuple(ids)
    return replace(draws[0], cases=tuple(cases.values())), Split(**parts)


def _half(dataset: Dataset, *, first: bool) -> list[Case]:
    from distilseg.data.planning.splits import split_cases

    dealt = split_cases(dataset.cases, seed=0, fractions=(0.5, 0.0, 0.5))
    return [dataset.case(id) for id in (dealt.train if first else dealt.test)]


def train_one(job: Job, data: str, runs: str) -> None:
    """A teacher and its prototypes; or a student alone, its control, and what prototypes make of it."""
    from distilseg.commands import prototypes, train
    from distilseg.data.formats import read_dataset
    from distilseg.judge import judge

    dataset, settings = read_dataset(data), {**job.settings, "machine": processor()}
    if job.recipe == "supervised":
        part = settings.pop("part")
        settings |= {"split": volumes(dataset, part), "runs": f"{runs}/volumes"}
        (run,) = train(job.recipe, dataset, **settings)
        prototypes(run.folder, out=Path(runs) / f"prototypes-{part}.json", view=VIEW, device="cpu")
        return
    drawn, split = slices(dataset)
    settings |= {"split": split, "runs": f"{runs}/slices", "evaluate": False}
    for n, teacher in enumerate(settings.pop("teachers")):
        options = {**job.options, "prototypes": f"{runs}/prototypes-{teacher}.json", "view": VIEW}
        for run in train(job.recipe, drawn, options=options, control=n == 0, **settings):
            judge(run, drawn, empty="monai", device="cpu")


def collect(runs: str, results: Path) -> None:
    """Without the metrics of thousands of slices that the page does not show."""
    collecting.collect(runs, results, metrics=("dice", "hd95", "nsd"))
