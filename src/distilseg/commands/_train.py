"""`distilseg train`: a recipe on a dataset, with its control, judged and compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..data.case import Dataset
from ..data.plan import Plan
from ..data.splits import Split
from ..judge import judge
from ..recipes import find
from ..runs import Run
from ..training.budget import Budget
from ..training.machine import Machine, is_main_process
from ..training.trained import trained
from ._study import make_study


def train(
    recipe: str,
    data: Path | str | Dataset,
    *,
    options: Mapping[str, Any] | None = None,
    runs: Path | str = "runs",
    layout: str | None = None,
    plan: Path | Plan | None = None,
    split: Path | Split | None = None,
    folds: int | None = None,
    fold: int | None = None,
    subjects: int | None = None,
    seed: int = 0,
    split_seed: int = 0,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    control: bool = True,
    evaluate: bool = True,
    machine: Machine | None = None,
    cache: Path | None = None,
    threads: int | None = None,
    tensorboard: bool = False,
    save_every_s: float = 120.0,
    **settings: Any,
) -> list[Run]:
    """Trains the undistilled control and the recipe under one budget; judges both on the test cases.

    Returns the runs, the recipe's last. Everything already done is found again; what was interrupted resumes.
    `options` are the recipe's own (`distilseg recipes NAME`), `settings` those of sampling, optimisation and
    validation (batch_size=4, learning_rate=1e-3, patience=3). Raises UserError for what can be mended.
    """
    machine = machine or Machine()
    if threads is not None:
        torch.set_num_threads(threads)
    study = make_study(
        data,
        layout=layout,
        plan=plan,
        split=split,
        folds_=folds,
        fold=fold,
        subjects=subjects,
        seed=seed,
        split_seed=split_seed,
    )
    given = {"steps": steps, "epochs": epochs, "minutes": minutes}
    asked = {name: value for name, value in given.items() if value is not None}
    budget = Budget(**asked) if asked else None  # type: ignore[arg-type]
    experiment = find(recipe)(study, **(options or {})).with_settings(budget, **settings)
    wanted = [experiment]
    if control and experiment.control is not None:
        wanted = [experiment.control, experiment]
    made = []
    for one in wanted:
        run = trained(
            one, runs=runs, machine=machine, cache=cache, tensorboard=tensorboard, save_every_s=save_every_s
        )
        if evaluate and study.split.test and is_main_process():
            judge(run, study.dataset, device=machine.device, trust=one.networks["student"].name)
        made.append(run)
    return made
