"""Studies of unpaired prototypes: volumes of some subjects, single slices of the others.

A 3D teacher learns from the volumes. Students learn from one slice of each of 8, 16 or all of the others;
further ones, of whom there are several slices each, judge them. Each student learns alone first; then it goes
on from its best weights with the teacher's prototypes, and without (the control).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import collecting
from .jobs import Job, processor

if TYPE_CHECKING:
    from distilseg.data.case import Case, Dataset
    from distilseg.data.planning.splits import Split

SUBJECTS = (8, 16, None)  # whose slices a student has; None: all
SEEDS = (0, 1, 2)
STUDENT = {"network": "dynunet"}
BATCH = 8


@dataclass(frozen=True)
class Deal:
    """Who gives volumes, who slices, and how many."""

    view: str
    of_volumes: float  # of the subjects
    fractions: tuple[float, float, float]  # of the others: to train, to validate, to judge
    draws: Mapping[str, int]  # slices of a subject, at most, by part of the split
    beside: tuple[float, float] = (0.1, 0.1)  # of the volumes: to validate, to judge

    def volumes(self, dataset: Dataset) -> Split:
        """Subjects of the volumes, dealt for the teacher."""
        from distilseg.data.planning.splits import split_cases

        fractions = (1 - sum(self.beside), *self.beside)
        return split_cases(self._cases(dataset, volumes=True), seed=0, fractions=fractions)

    def slices(self, dataset: Dataset) -> tuple[Dataset, Split]:
        """Slices of the other subjects as cases of their own, and which of them train, validate, judge."""
        from distilseg.data.planning.splits import Split, split_cases
        from distilseg.data.preparing.single_slices import one_slice_each

        others = self._cases(dataset, volumes=False)
        subjects = split_cases(others, seed=0, fractions=self.fractions)
        of_others = replace(dataset, cases=tuple(others))
        draws = [one_slice_each(of_others, view=self.view, seed=n) for n in range(max(self.draws.values()))]
        cases: dict[str, Case] = {}
        parts: dict[str, tuple[str, ...]] = {}
        for part, times in self.draws.items():
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

    def _cases(self, dataset: Dataset, *, volumes: bool) -> list[Case]:
        from distilseg.data.planning.splits import split_cases

        dealt = split_cases(dataset.cases, seed=0, fractions=(self.of_volumes, 0.0, 1 - self.of_volumes))
        return [dataset.case(id) for id in (dealt.train if volumes else dealt.test)]


@dataclass(frozen=True)
class PrototypeStudy:
    """Who gives what, and how long teacher and students learn."""

    deal: Deal
    teacher: Mapping[str, Any]  # options of its recipe
    teacher_steps: int
    steps: int  # of a student alone; two thirds more with prototypes or without

    def jobs(self, steps: int | None = None, seeds: Sequence[int] = SEEDS) -> list[list[Job]]:
        """The teacher; then the students, seed by seed. steps: of a student alone."""

        def student(subjects: int | None, seed: int) -> Job:
            settings = {"steps": steps or self.steps, "batch_size": BATCH, "subjects": subjects, "seed": seed}
            return Job("prototype_distillation", STUDENT, settings)

        teacher = Job("supervised", dict(self.teacher), {"steps": self.teacher_steps, "seed": 0})
        return [[teacher], [student(subjects, seed) for seed in seeds for subjects in SUBJECTS]]

    def train_one(self, job: Job, data: str, runs: str) -> None:
        """The teacher and its prototypes; or a student alone, its control, and what prototypes make of it."""
        from distilseg.data.formats import read_dataset

        train = self._teacher if job.recipe == "supervised" else self._students
        train(read_dataset(data), job, Path(runs))

    def _teacher(self, dataset: Dataset, job: Job, runs: Path) -> None:
        from distilseg.commands import prototypes, train

        told = {"split": self.deal.volumes(dataset), "runs": runs / "volumes", "machine": processor()}
        (run,) = train(job.recipe, dataset, options=job.options, control=False, **told, **job.settings)
        prototypes(run.folder, out=_file(runs), view=self.deal.view, device="cpu")

    def _students(self, dataset: Dataset, job: Job, runs: Path) -> None:
        from distilseg.commands import train
        from distilseg.judge import judge

        drawn, split = self.deal.slices(dataset)
        told = {"split": split, "runs": runs / "slices", "evaluate": False, "machine": processor()}
        own = {**job.options, "prototypes": str(_file(runs)), "view": self.deal.view}
        for run in train(job.recipe, drawn, options=own, control=True, **told, **job.settings):
            judge(run, drawn, empty="monai", device="cpu")


def _file(runs: Path) -> Path:
    return runs / "prototypes-teacher.json"


def collect(runs: str, results: Path) -> None:
    """Without the metrics of many slices that the pages do not show."""
    collecting.collect(runs, results, metrics=("dice",))
