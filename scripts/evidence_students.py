"""Evidence for the students made for CPUs, on hippocampus MR: plain and distilled, float and int8, beside a
large DynUNet.

    python scripts/evidence_students.py train --data D      # an hour and a half of four cores; resumes
    python scripts/evidence_students.py ship                # exports, predicts and judges: half an hour, idle
    python scripts/evidence_students_page.py                # results -> docs/evidence, README

Each student is trained on the labels alone, with deep supervision (dsd_ds, what helped most on these scans), and
by the large network's soft labels (teach_former_pwd, what helped most of what has teachers) beside the control
of that recipe's own objective. Every seed has a large network of its own.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from evidence_jobs import ROOT, Job, run_all, run_one

RESULTS = ROOT / "results" / "hippocampus-students"
SEEDS = (0, 1, 2)
STEPS = 1200
STUDENTS = ("student_base", "student_small", "student_tiny")  # the longest first
LARGE = [32, 64, 128, 256, 320]  # filters of the DynUNet
LEARNING_RATE = 5e-3  # suits these students under either objective
TEACHER = "the large network of the same seed"


def jobs(steps: int) -> list[Job]:
    """The large networks, then seed by seed, then those that they teach."""

    def job(recipe: str, options: dict[str, object], seed: int, **settings: object) -> Job:
        return Job(recipe, options, {"steps": steps, "seed": seed, **settings})

    large = {"network": "dynunet", "network_options": {"filters": LARGE}}
    rate = {"learning_rate": LEARNING_RATE}
    return [
        *(job("supervised", large, seed) for seed in SEEDS),
        *(
            job(recipe, {"network": student}, seed)
            for seed in SEEDS
            for student in STUDENTS
            for recipe in ("dsd_ds", "supervised")
        ),
        *(
            job(recipe, {"student": student, **teacher}, seed, **rate)
            for seed in SEEDS
            for student in STUDENTS
            for recipe, teacher in (
                ("teach_former_pwd", {"teachers": TEACHER}),
                ("teach_former_control", {}),
            )
        ),
    ]


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges a run; a teacher is looked up among the finished ones."""
    options = dict(job.options)
    if "teachers" in options:
        options["teachers"] = [str(_large(Path(runs), job.settings["seed"]))]
    run_one(Job(job.recipe, options, job.settings), data, runs)


def _large(runs: Path, seed: int) -> Path:
    from distilseg.runs import find_runs

    for run in find_runs(runs):
        about = run.read(run.experiment)
        if about["networks"]["student"]["name"] == "dynunet" and about["seed"] == seed and run.finished:
            return run.folder
    raise SystemExit(f"no finished large network of seed {seed} in {runs}; repeat the command, it resumes")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "one", "ship"])
    parser.add_argument("--data", default="../shared/data/Task04_Hippocampus")
    parser.add_argument("--runs", default="runs/evidence-students")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--number", type=int)
    given = parser.parse_args()
    todo = jobs(given.steps)
    if given.what == "train":
        more = ["--steps", str(given.steps)]
        run_all([__file__, *more], todo, given.data, given.runs, given.jobs)
    elif given.what == "one":
        train_one(todo[given.number], given.data, given.runs)


if __name__ == "__main__":
    main()
