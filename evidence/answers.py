"""What studies of a big model's answers share: who teaches, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distilseg.runs import find_runs

from . import collecting
from .jobs import Job, train_and_judge
from .rows import Evidence

TEACHER = "the large network"
REST = {"unlabelled": ("rest",)}  # the training scans whose labels were not drawn


def taught_by(network: str) -> Callable[[Job, str, str], None]:
    """Trains and judges a run; of a distilled one the finished `network` is the teacher."""

    def train_one(job: Job, data: str, runs: str) -> None:
        options = dict(job.options)
        if job.recipe.startswith("distil"):
            own = finished(runs, lambda about: about["networks"]["student"]["name"] == network, network)
            options["teacher"] = [str(own)]
        train_and_judge(Job(job.recipe, options, job.settings), data, runs)

    return train_one


def finished(runs: str | Path, wanted: Callable[[Mapping[str, Any]], bool], called: str) -> Path:
    """The first finished run whose experiment.json is `wanted`; `SystemExit` where there is none."""
    for run in find_runs(runs):
        if run.finished and wanted(run.read(run.experiment)):
            return run.folder
    raise SystemExit(f"no finished {called} in {runs}; repeat the command, it resumes")


def collect(runs: str, results: Path) -> None:
    """Data without paths; seeds are one row, whichever folder taught them."""

    def tidy(about: collecting.Experiment) -> None:
        if "teacher" in about["options"]:
            about["options"]["teacher"] = [TEACHER]

    collecting.collect(runs, results, tidy=tidy)


def covered(found: Evidence, row: str, controls: Mapping[str, str], large: str = "large") -> float:
    """Of the distance in Dice from control to large network, the part that a row covers, in per cent."""
    own, control, teacher = (found.score(one).mean for one in (row, controls[row], large))
    return 100 * (own - control) / (teacher - control)
