"""KD-Net where most patients have the student's scan alone, and no labels: sarcomas in CT; half a core-hour.

Of each fold ten patients are labelled and have CT, PET and MR. The teacher of all scans cannot see the rest;
what it has taught on the ten can, and so can the student that nobody taught. Both are asked about the CT of
the rest, and a new student learns from their answers: see `protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..answers import REST, finished
from ..collecting import Experiment
from ..collecting import collect as collect_runs
from ..jobs import Job, train_and_judge

DATA = "Dataset090_SoftTissueSarcoma"
FOLDS = 3
LABELLED = 10
SEES = {"student_sees": ["CT"]}
NETWORK = {"network": "student_tiny"}
PATCH = [48, 48, 48]  # as in the study of Teach-Former on these scans
TEACHER, CONTROL, TAUGHT = "kd_net_teacher", "kd_net_control", "kd_net_gt_kd"
ANSWERS = {"self": CONTROL, "handed on": TAUGHT}  # row -> whose answers it learns from


def jobs(steps: int = 400) -> list[list[Job]]:
    """Teachers and controls; what the teachers taught; the students of both kinds of answers."""

    def job(recipe: str, fold: int, options: Mapping[str, Any], **more: Any) -> Job:
        told = {"steps": steps, "folds": FOLDS, "fold": fold, "subjects": LABELLED, **more}
        return Job(recipe, {**NETWORK, **options}, told)

    folds = range(FOLDS)
    alone = [job(TEACHER, fold, {}) for fold in folds] + [job(CONTROL, fold, SEES) for fold in folds]
    answered = [job("distil", fold, SEES, of=of, **REST) for fold in folds for of in ANSWERS.values()]
    return [alone, [job(TAUGHT, fold, SEES) for fold in folds], answered]


def prepare(data: str, runs: str) -> None:
    """One plan for all runs, of small patches."""
    from distilseg.commands import plan

    Path(runs).mkdir(parents=True, exist_ok=True)
    plan(data, out=f"{runs}/plan.json", patch=PATCH)


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges, in a folder of the fold's; who answers is one of its finished runs."""
    settings = {**job.settings, "plan": Path(runs) / "plan.json"}
    own = f"{runs}/fold-{settings['fold']}"
    if of := settings.pop("of", None):
        answers = finished(own, lambda about: about["recipe"] == of, of)
        job = replace(job, options={**job.options, "teacher": [str(answers)]})
    train_and_judge(replace(job, settings=settings), data, own, timed=False)


def collect(runs: str, results: Path) -> None:
    """Data without paths; folds are one row, whichever folder answered."""

    def tidy(about: Experiment) -> None:
        if about["recipe"] == "distil":
            about["options"]["teacher"] = [about["options"]["teacher"][0].rpartition("-")[0]]

    collect_runs(runs, results, tidy=tidy)
