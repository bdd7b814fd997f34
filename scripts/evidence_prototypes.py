"""Evidence for unpaired prototype distillation on hippocampus MR: volumes of one half, slices of the other.

    python scripts/evidence_prototypes.py train --data D      # about an hour of four cores; resumes
    python scripts/evidence_prototypes.py collect             # runs -> results/hippocampus-prototypes
    python scripts/evidence_prototypes_page.py                # results -> docs/evidence, README

A 3D teacher learns on the volumes of 100 subjects, two more on those of 50 each. Students learn on one
sagittal slice (most show both structures) of each of 64 other subjects; other slices of 30 more judge them,
up to five of each. A structure counts where the slice holds it. Each student learns alone first; then it goes on
from its best weights with each teacher's prototypes, and without (the control).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evidence_arguments import training
from evidence_jobs import ROOT, Job, collect, run_all

if TYPE_CHECKING:
    from distilseg.data.case import Case, Dataset
    from distilseg.data.planning.splits import Split

RESULTS = ROOT / "results" / "hippocampus-prototypes"
VIEW = "sagittal"
DRAWS = {"train": 1, "validation": 3, "test": 5}  # slices of a subject, at most
TEACHER_STEPS = 1500
TEACHERS = {"A": (0.0, 1.0), "B": (0.0, 0.5), "C": (0.5, 1.0)}  # which part of the volumes' half
SUBJECTS = (8, 16, 32, None)  # None: all 64
SEEDS = (0, 1, 2)
METRICS = ("dice", "hd95", "nsd")


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


def jobs(share: float) -> list[Job]:
    """Teachers, then students: the whole table's first seed first, the low-data curve last."""

    def of(student: Student, seed: int, subjects: int | None) -> Job:
        options = {"network": student.network}
        settings = {
            "steps": max(1, round(share * student.steps)),
            "batch_size": student.batch_size,
            "learning_rate": student.learning_rate,
            "subjects": subjects,
            "seed": seed,
            "teachers": list(student.teachers if subjects is None else student.teachers[:1]),
        }
        return Job("prototype_distillation", options, settings)

    teachers = [Job("supervised", {}, {"part": part, "steps": TEACHER_STEPS}) for part in TEACHERS]
    whole = [(s, seed, None) for s in STUDENTS for seed in s.seeds]
    fewer = [(s, seed, n) for seed in SEEDS for s in STUDENTS for n in s.subjects if n is not None]
    first = sorted(whole, key=lambda job: job[1])
    return [*teachers, *(of(*job) for job in (*first, *fewer))]


def volumes(dataset: Dataset, part: str) -> Split:
    """Subjects of the first half, or of a part of them: 80 % train the teacher, 10 % validate and judge."""
    from distilseg.data.planning.splits import split_cases

    low, high = TEACHERS[part]
    cases = _half(dataset, first=True)
    return split_cases(
        cases[round(low * len(cases)) : round(high * len(cases))], seed=0, fractions=(0.8, 0.1, 0.1)
    )


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
    import torch

    from distilseg.commands import prototypes, train
    from distilseg.data.formats import read_dataset
    from distilseg.judge import judge
    from distilseg.training.machine import Machine

    torch.set_num_threads(1)
    cpu = Machine(device="cpu", precision="32-true")
    dataset = read_dataset(data)
    settings = dict(job.settings)
    if job.recipe == "supervised":
        part = settings.pop("part")
        (run,) = train(
            "supervised",
            dataset,
            split=volumes(dataset, part),
            runs=f"{runs}/volumes",
            machine=cpu,
            **settings,
        )
        prototypes(run.folder, out=Path(runs) / f"prototypes-{part}.json", view=VIEW, device="cpu")
        return
    drawn, split = slices(dataset)
    for n, teacher in enumerate(settings.pop("teachers")):
        options = {**job.options, "prototypes": f"{runs}/prototypes-{teacher}.json", "view": VIEW}
        made = train(
            job.recipe,
            drawn,
            options=options,
            split=split,
            runs=f"{runs}/slices",
            control=n == 0,
            evaluate=False,
            machine=cpu,
            **settings,
        )
        for one in made:
            judge(one, drawn, empty="monai", device="cpu")


def keep(metrics: Sequence[str], results: Path) -> None:
    """Thins the metrics of thousands of slices to those that the page shows."""
    from distilseg.runs import find_runs, read_rows, write_rows

    for run in find_runs(results):
        write_rows(run.metrics, [row for row in read_rows(run.metrics) if row["metric"] in metrics])


def main() -> None:
    parser = training(__doc__, "runs/evidence-prototypes")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--share", type=float, default=1.0, help="of each student's steps")
    given = parser.parse_args()
    todo = jobs(given.share)
    if given.what == "train":
        script = [__file__, "--share", str(given.share)]
        teachers = [job for job in todo if job.recipe == "supervised"]
        run_all(script, teachers, given.data, given.runs, given.jobs)  # students need their prototypes
        run_all(script, todo, given.data, given.runs, given.jobs)
    elif given.what == "one":
        train_one(todo[given.number], given.data, given.runs)
    else:
        collect(given.runs, given.results)
        keep(METRICS, given.results)


if __name__ == "__main__":
    main()
