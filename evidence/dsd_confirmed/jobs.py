"""Dual self-distillation with today's defaults, on test cases: two datasets, five ways.

What was found on validation cases (`dsd-regimes`) is asked of cases that chose nothing; see `protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import collecting
from ..jobs import Job, train_and_judge

DATA = ""  # two datasets


@dataclass(frozen=True)
class Regime:
    """A network on a dataset, and how long it trains."""

    folder: str
    network: str
    network_options: Mapping[str, Any]
    steps: int
    seeds: Sequence[int] = (0, 1)


DYNUNET = {"filters": [8, 16, 32, 64, 128]}
REGIMES = {
    "hippocampus": Regime("Task04_Hippocampus", "dynunet", DYNUNET, 750),
    "headneck": Regime("Dataset070_HeadNeckCT", "student_small", {}, 750),
    "headneck-longer": Regime("Dataset070_HeadNeckCT", "student_small", {}, 1500, seeds=(0,)),
}
DSD = "dual_self_distillation"
TENTH = {"alpha": 0.1, "beta": 0.1}
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("supervised", {}),
    "ds": ("dsd_ds", {}),
    "dsd": (DSD, {}),
    "tenth": (DSD, TENTH),
    "growing": (DSD, {**TENTH, "over_time": "growing", "deep_supervision_over_time": "growing"}),
}


def jobs(seeds: Sequence[int] = (), only: Sequence[str] = tuple(REGIMES)) -> list[list[Job]]:
    """Every way of every regime, or of `only` some; from a regime's own seeds unless others are given."""
    each = [(name, seed) for name in only for seed in seeds or REGIMES[name].seeds]
    return [[_job(name, seed, *way) for name, seed in each for way in WAYS.values()]]


def _job(name: str, seed: int, recipe: str, options: Mapping[str, Any]) -> Job:
    regime = REGIMES[name]
    network = {"network": regime.network, "network_options": dict(regime.network_options)}
    return Job(recipe, {**network, **options}, {"regime": name, "steps": regime.steps, "seed": seed})


def train_one(job: Job, data: str, runs: str) -> None:
    """Trains and judges, in a folder of the regime's."""
    settings = dict(job.settings)
    name = settings.pop("regime")
    told = Job(job.recipe, job.options, settings)
    train_and_judge(told, f"{data}/{REGIMES[name].folder}", f"{runs}/{name}", timed=False)


def collect(runs: str, results: Path) -> None:
    """A folder for each regime."""
    for name in REGIMES:
        collecting.collect(f"{runs}/{name}", results / name)
