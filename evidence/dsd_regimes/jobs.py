"""Dual self-distillation by temperature, gradients and weights over time; budgets, widths, datasets to come.

Validation cases alone: what is found here is a choice, not a proof. A row is the same network trained three
ways or more, for the same voxels and from the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..by_validation import collect, train_only
from ..jobs import Job

if TYPE_CHECKING:
    from distilseg.training.experiment import Experiment

__all__ = ["DATA", "collect", "jobs", "train_one"]

DATA = ""  # of several datasets
FOLDERS = {"hippocampus": "Task04_Hippocampus"}
VOXELS = 49e6  # that a run is shown
SEEDS = (0, 1)
WIDTHS = {8: [8, 16, 32, 64, 128]}
DSD = "dual_self_distillation"
PLAIN = "plain"
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    PLAIN: ("supervised", {}),
    "deep supervision": ("dsd_ds", {}),
    "DSD": (DSD, {}),
    "DSD, teachers detached": (DSD, {"detach_teacher": True}),
    "DSD, T = 1": ("dsd_t1", {}),
    "DSD, a tenth": (DSD, {"alpha": 0.1, "beta": 0.1}),
    "DSD, growing": (DSD, {"over_time": "growing"}),
    "DSD, fading": (DSD, {"over_time": "fading"}),
    "DSD, all fading": (DSD, {"over_time": "fading", "deep_supervision_over_time": "fading"}),
}
REGIMES = {("hippocampus", 8, 1): tuple(WAYS)}  # dataset, width, share of the voxels -> ways


def jobs(seeds: Sequence[int] = SEEDS, only: Sequence[str] = ()) -> list[list[Job]]:
    """Every way of every regime, or of `only` some ("hippocampus 8 x1")."""
    return [
        [
            Job(WAYS[way][0], dict(WAYS[way][1]), {"regime": list(regime), "way": way, "seed": seed})
            for seed in seeds
            for regime, ways in REGIMES.items()
            for way in ways
            if not only or named(*regime) in only
        ]
    ]


def named(dataset: str, width: int, share: float) -> str:
    """A regime in words."""
    return f"{dataset} {width} x{share:g}"


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and validates; what the run was asked is recorded with it."""
    train_only(experiment_of(job, data), runs)


def experiment_of(job: Job, data: str) -> Experiment:
    """The recipe on a DynUNet of that width, for as many steps as the voxels last."""
    from dataclasses import replace
    from math import prod

    from distilseg.recipes import find
    from distilseg.training.budget import Budget
    from distilseg.training.studies import make_study

    dataset, width, share = job.settings["regime"]
    study = make_study(Path(data) / FOLDERS[dataset], seed=job.settings["seed"])
    steps = round(share * VOXELS / (prod(study.plan.patch) * study.plan.batch_size))
    options = {"network": "dynunet", "network_options": {"filters": WIDTHS[width]}, **job.options}
    made = find(job.recipe)(study, **options).with_settings(Budget(steps=steps))
    asked = {**made.asked, "regime": job.settings["regime"], "way": job.settings["way"]}
    return replace(made, asked=asked)
