"""Teach-Former with teachers that are better than their student: finished ones, trained long.

Teachers learned from every labelled training scan. The student is the slim one that is shipped to processors,
and learns from as many labels, or from ten: see `protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..answers import finished
from ..collecting import Experiment
from ..collecting import collect as collect_runs
from ..jobs import Job, train_and_judge

DATA = ""  # of a dataset each has a folder
SEEDS = (0, 1, 2)
LABELS = 10
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


@dataclass(frozen=True)
class Bench:
    """A dataset, the students' steps, the teachers, and scans of it that nobody labelled."""

    folder: str
    steps: int
    teachers: Sequence[Teacher]
    unlabelled: Sequence[str]


FAST = {"learning_rate": LEARNING_RATE}
DYNUNET = {"filters": [8, 16, 32, 64, 128]}
BENCHES = {
    "headneck": Bench(
        "Dataset070_HeadNeckCT",
        1500,
        (
            Teacher("h_denseformer", 1000, {"filters": 16}, {}, ()),
            Teacher("student_base", 3000, {}, FAST, (FEW, MANY)),
            Teacher("dynunet", 2000, DYNUNET, FAST, (FEW,)),
        ),
        ("own", "rest"),
    ),
}


def jobs(only: Sequence[str] = tuple(BENCHES)) -> list[list[Job]]:
    """The teachers beside the controls; the students that they teach."""

    def job(bench: str, recipe: str, seed: int, options: Mapping[str, Any] = STUDENT, **more: Any) -> Job:
        told = {"bench": bench, "steps": BENCHES[bench].steps, "seed": seed, **FAST, **more}
        return Job(recipe, dict(options), told)

    teachers = [
        Job(
            CONTROL,
            {"student": one.network, "student_options": dict(one.options)},
            {"bench": bench, "steps": one.steps, "seed": 0, **one.training},
        )
        for bench in only
        for one in BENCHES[bench].teachers
    ]
    each, few = [(bench, seed) for seed in SEEDS for bench in only], {"subjects": LABELS}
    controls = [job(bench, CONTROL, seed, **labels) for bench, seed in each for labels in (few, {})]
    other_way = {**STUDENT, **FROM_TEACHER}
    recorded = {**other_way, **SOFT_LABELS, "teacher_outputs": "recorded"}  # once, for all seeds
    taught = [
        one
        for bench, seed in each
        for one in (
            job(bench, TAUGHT, seed, {**other_way, **SOFT_LABELS}, **few),
            job(bench, TAUGHT, seed, other_way, **few),
            job(bench, TAUGHT, seed, **few),
            job(bench, TAUGHT, seed, recorded, **few, unlabelled=BENCHES[bench].unlabelled),
            job(bench, TAUGHT, seed, other_way),
        )
    ]
    return [[*teachers, *controls], taught]


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges, in a folder of the dataset's; teachers are the finished runs."""
    settings, options = dict(job.settings), dict(job.options)
    bench = settings.pop("bench")
    folder = f"{runs}/{bench}"
    if job.recipe != CONTROL:
        labels = FEW if "subjects" in settings else MANY
        teachers = [one.network for one in BENCHES[bench].teachers if labels in one.teaches]
        options["teachers"] = [str(_run_of(folder, network)) for network in teachers]
    train_and_judge(
        Job(job.recipe, options, settings), f"{data}/{BENCHES[bench].folder}", folder, timed=False
    )


def _run_of(folder: str, network: str) -> Path:
    return finished(folder, lambda about: about["options"].get("student") == network, network)


def collect(runs: str, results: Path) -> None:
    """Data without paths; seeds are one row, whichever folders taught them."""
    for name, bench in BENCHES.items():

        def tidy(about: Experiment, bench: Bench = bench) -> None:
            if "teachers" in about["options"]:
                labels = FEW if about["subjects"]["drawn"] else MANY
                about["options"]["teachers"] = [t.network for t in bench.teachers if labels in t.teaches]

        collect_runs(f"{runs}/{name}", results / name, tidy=tidy)
