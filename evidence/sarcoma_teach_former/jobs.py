"""Teach-Former on CT and PET: three folds, three teachers, every subset of them; two hours of four cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..jobs import Job, train_and_judge

DATA = "Dataset090_SoftTissueSarcoma"
FOLDS = 3
MODALITIES = ("CT", "PET")
PATCH = (48, 48, 48)
TEACHERS = ("h_denseformer", "swin_unetr", "unetr")
# What a processor trains in two hours. The paper has 32 filters, windows of 7, 768/3072.
SMALLER = {
    "h_denseformer.filters": 16,
    "swin_unetr.window": 4,
    "unetr.hidden": 384,
    "unetr.mlp": 1536,
    "unetr.heads": 6,
}
SUBSETS = ("t1", "t12", "afs", "pwd", "t2", "t3", "t13", "t23")
DISTILLED = ("teach_former", *(f"teach_former_{subset}" for subset in SUBSETS))


def jobs(steps: int = 500, published_sizes: bool = False) -> list[list[Job]]:
    """Teachers, which a fold's students share and whose answers are recorded once; then the students."""
    sizes: dict[str, Any] = {} if published_sizes else SMALLER

    def job(recipe: str, fold: int, **options: Any) -> Job:
        return Job(recipe, options, {"modalities": MODALITIES, "steps": steps, "folds": FOLDS, "fold": fold})

    def teacher(name: str, fold: int) -> Job:
        own = {key.partition(".")[2]: size for key, size in sizes.items() if key.startswith(f"{name}.")}
        return job("teach_former_control", fold, student=name, student_options=own)

    folds = range(FOLDS)
    students = [job(recipe, fold, teacher_options=sizes) for recipe in DISTILLED for fold in folds]
    return [
        [teacher(name, fold) for fold in folds for name in TEACHERS],
        [*(job("teach_former_control", fold) for fold in folds), *students],
    ]


def prepare(data: str, runs: str) -> None:
    """One plan for all runs: its patch is smaller than what a study of these scans would take."""
    from distilseg.commands import plan

    Path(runs).mkdir(parents=True, exist_ok=True)
    plan(data, out=f"{runs}/plan.json", modalities=MODALITIES, patch=PATCH)


def train_one(job: Job, data: str, runs: str) -> None:
    settings = {**job.settings, "plan": Path(runs) / "plan.json"}
    train_and_judge(replace(job, settings=settings), data, runs)
