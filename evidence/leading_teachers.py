"""Studies of Teach-Former with teachers that are better than their student: finished ones, trained long.

The student is the slim one that is shipped to processors. It learns from as many labels as they, or from ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .answers import finished
from .collecting import Experiment
from .collecting import collect as collect_runs
from .jobs import Job, train_and_judge
from .rows import Evidence
from .rows import read as read_rows

LABELLED = 10
UNLABELLED = ("own", "rest")
STUDENT = {"student": "student_tiny"}
FAST = {"learning_rate": 1e-2}  # of the students for processors
FEW, MANY = "few", "many"  # labels of the student
TAUGHT, CONTROL = "teach_former", "teach_former_control"
FROM_TEACHER = {"order": "hinton"}  # KL(teacher, student) in place of the paper's KL(student, teacher)
SOFT_LABELS = {**FROM_TEACHER, "attention": 0.0}  # alone
LEARNED = {
    "few control": "ten labels alone",
    "few soft": "ten labels, soft labels",
    "few full": "ten labels, soft labels and attention maps",
    "few published": "the same, KL(student, teacher) as published",
    "few soft unlabelled": "ten labels, soft labels, also on scans without labels",
    "many control": "all labels alone",
    "many full": "all labels, soft labels and attention maps",
}


@dataclass(frozen=True)
class Teacher:
    """A network, its options, how it trains, and whom it leads enough to teach: see `protocol.md`."""

    network: str
    called: str
    steps: int
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    teaches: Sequence[str]  # FEW, MANY


@dataclass(frozen=True)
class LedStudy:
    """Who teaches, how long students learn, from which draws, and whether from scans without labels too."""

    teachers: Sequence[Teacher]
    steps: int
    seeds: Sequence[int]
    folds: int | None = None
    unlabelled: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)  # of every run

    @property
    def labels(self) -> dict[str, str]:
        """What tables call the rows."""
        teachers = {f"teacher {teacher.network}": teacher.called for teacher in self.teachers}
        asked = {"few soft unlabelled": self.unlabelled, "many full": self._teaches_many}
        return teachers | {row: said for row, said in LEARNED.items() if asked.get(row, True)}

    @property
    def questions(self) -> dict[str, list[tuple[str, str]]]:
        """Each taught student, less the one of as many labels."""
        taught = [row for row in self.labels if row.split()[0] in (FEW, MANY) and "control" not in row]
        return {"control": [(row, f"{row.split()[0]} control") for row in taught]}

    def jobs(self, steps: int | None = None, seeds: Sequence[int] | None = None) -> list[list[Job]]:
        """The teachers beside the controls; the students that they teach, draw by draw."""
        draws = list(self._draws(self.seeds if seeds is None else seeds))

        def student(recipe: str, draw: Mapping[str, int], options: Mapping[str, Any], **more: Any) -> Job:
            told = {"steps": steps or self.steps, **draw, **FAST, **self.settings, **more}
            return Job(recipe, {**STUDENT, **options}, told)

        few: dict[str, Any] = {"subjects": LABELLED}
        controls = [student(CONTROL, draw, {}, **labels) for draw in draws for labels in (few, {})]
        taught = [one for draw in draws for one in self._taught(student, draw, few)]
        return [[*self._teachers(draws), *controls], taught]

    def _draws(self, seeds: Sequence[int]) -> Iterator[dict[str, int]]:
        for seed in seeds:
            if self.folds is None:
                yield {"seed": seed}
            else:
                yield from ({"seed": seed, "folds": self.folds, "fold": fold} for fold in range(self.folds))

    def _teachers(self, draws: Sequence[Mapping[str, int]]) -> Iterator[Job]:
        """One of each for all seeds; one for each fold."""
        for draw in draws[:1] if self.folds is None else draws[: self.folds]:
            for one in self.teachers:
                options = {"student": one.network, "student_options": dict(one.options)}
                yield Job(CONTROL, options, {"steps": one.steps, **draw, **one.training, **self.settings})

    def _taught(self, student: Any, draw: Mapping[str, int], few: Mapping[str, Any]) -> Iterator[Job]:
        yield student(TAUGHT, draw, SOFT_LABELS, **few)
        yield student(TAUGHT, draw, FROM_TEACHER, **few)
        yield student(TAUGHT, draw, {}, **few)
        if self.unlabelled:
            recorded = {**SOFT_LABELS, "teacher_outputs": "recorded"}  # once, for all seeds
            yield student(TAUGHT, draw, recorded, **few, unlabelled=UNLABELLED)
        if self._teaches_many:
            yield student(TAUGHT, draw, FROM_TEACHER)

    def train_one(self, job: Job, data: str, runs: str) -> None:
        """Trains and judges; teachers are the finished runs of the same fold."""
        own = runs if self.folds is None else f"{runs}/fold-{job.settings['fold']}"
        if job.recipe == TAUGHT:
            who = self._who_teaches(few="subjects" in job.settings)
            job = replace(job, options={**job.options, "teachers": [str(_run_of(own, one)) for one in who]})
        train_and_judge(job, data, own, timed=False)

    @property
    def _teaches_many(self) -> bool:
        return bool(self._who_teaches(few=False))

    def _who_teaches(self, *, few: bool) -> list[str]:
        return [teacher.network for teacher in self.teachers if (FEW if few else MANY) in teacher.teaches]

    def collect(self, runs: str, results: Path) -> None:
        """Data without paths; seeds are one row, whichever folders taught them."""

        def tidy(about: Experiment) -> None:
            if "teachers" in about["options"]:
                about["options"]["teachers"] = self._who_teaches(few=about["subjects"]["drawn"])

        collect_runs(runs, results, tidy=tidy)

    def read(self, results: Path) -> Evidence:
        """All rows."""
        return read_rows(results, row_of, self.labels, self.questions)


def _run_of(runs: str, network: str) -> Path:
    return finished(runs, lambda about: about["options"].get("student") == network, network)


def row_of(about: Mapping[str, Any]) -> str:
    """The row of a run."""
    options = about["options"]
    if about["recipe"] == CONTROL and options["student"] != STUDENT["student"]:
        return f"teacher {options['student']}"
    labels = FEW if (about.get("subjects") or {}).get("drawn") else MANY
    if about["recipe"] == CONTROL:
        return f"{labels} control"
    if options["order"] == "paper":
        return f"{labels} published"
    way = "full" if options["attention"] else "soft"
    return f"{labels} {way}{' unlabelled' if about.get('unlabelled') else ''}"


def names(found: Evidence) -> dict[str, Any]:
    """How far the best teacher is ahead of students that were not taught, and what the taught ones gained."""
    best = found.score("teacher student_base").mean
    lead = {row: best - found.score(row).mean for row in ("few control", "many control")}
    return {"found": found, "lead": lead, "gains": found.all_less("control")}
