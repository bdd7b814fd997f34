"""Teach-Former with teachers that are better than their student: finished ones, trained long on every label.

The student is the slim one that is shipped to processors, and learns from as many labels, or from ten: see
`protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..answers import finished
from ..collecting import Experiment
from ..collecting import collect as collect_runs
from ..jobs import Job, train_and_judge

DATA = "Dataset070_HeadNeckCT"
SEEDS = (0, 1, 2)
LABELS = 10
UNLABELLED = ("own", "rest")
STUDENT = {"student": "student_tiny"}
LEARNING_RATE = 1e-2  # of the students for processors; by validation of one seed 0.719, at 3e-3 0.707
FEW, MANY = "few", "many"  # labels of the student
TAUGHT, CONTROL = "teach_former", "teach_former_control"
SOFT_LABELS = {"attention": 0.0}  # alone
FROM_TEACHER = {"order": "hinton"}  # KL(teacher, student) in place of the paper's KL(student, teacher)


@dataclass(frozen=True)
class Teacher:
    """A network, its options, how it trains, and whom it leads enough to teach: see `protocol.md`."""

    network: str
    steps: int
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    teaches: Sequence[str]  # FEW, MANY


FAST = {"learning_rate": LEARNING_RATE}
TEACHERS = (
    Teacher("h_denseformer", 1000, {"filters": 16}, {}, ()),
    Teacher("student_base", 3000, {}, FAST, (FEW, MANY)),
    Teacher("dynunet", 2000, {"filters": [8, 16, 32, 64, 128]}, FAST, (FEW,)),
)


def jobs(steps: int = 1500, seeds: Sequence[int] = SEEDS) -> list[list[Job]]:
    """The teachers beside the controls; the students that they teach, seed by seed."""

    def student(recipe: str, seed: int, options: Mapping[str, Any], **more: Any) -> Job:
        return Job(recipe, {**STUDENT, **options}, {"steps": steps, "seed": seed, **FAST, **more})

    few: dict[str, Any] = {"subjects": LABELS}
    soft = {**FROM_TEACHER, **SOFT_LABELS}
    recorded = {**soft, "teacher_outputs": "recorded"}  # once, for all seeds
    controls = [student(CONTROL, seed, {}, **labels) for seed in seeds for labels in (few, {})]
    taught = [
        one
        for seed in seeds
        for one in (
            student(TAUGHT, seed, soft, **few),
            student(TAUGHT, seed, FROM_TEACHER, **few),
            student(TAUGHT, seed, {}, **few),
            student(TAUGHT, seed, recorded, **few, unlabelled=UNLABELLED),
            student(TAUGHT, seed, FROM_TEACHER),
        )
    ]
    return [[*(_job(teacher) for teacher in TEACHERS), *controls], taught]


def _job(teacher: Teacher) -> Job:
    options = {"student": teacher.network, "student_options": dict(teacher.options)}
    return Job(CONTROL, options, {"steps": teacher.steps, "seed": 0, **teacher.training})


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges; teachers are the finished runs."""
    if job.recipe == TAUGHT:
        teachers = [str(_run_of(runs, network)) for network in _of(few="subjects" in job.settings)]
        job = replace(job, options={**job.options, "teachers": teachers})
    train_and_judge(job, data, runs, timed=False)


def _of(*, few: bool) -> list[str]:
    """Who teaches a student of few labels, or of all."""
    return [teacher.network for teacher in TEACHERS if (FEW if few else MANY) in teacher.teaches]


def _run_of(runs: str, network: str) -> Path:
    return finished(runs, lambda about: about["options"].get("student") == network, network)


def collect(runs: str, results: Path) -> None:
    """Data without paths; seeds are one row, whichever folders taught them."""

    def tidy(about: Experiment) -> None:
        if "teachers" in about["options"]:
            about["options"]["teachers"] = _of(few=about["subjects"]["drawn"])

    collect_runs(runs, results, tidy=tidy)
