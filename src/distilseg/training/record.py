"""What a run folder says of its run: how it began, how it ended."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from .. import __version__
from ..data.planning.plan import save_plan
from ..data.planning.splits import save_split
from ..distillation.method import Method
from ..distillation.over_time import OverTime
from ..files import write_json
from ..hardware import processor_name
from ..runs import Run
from .before import Before
from .experiment import Experiment
from .state import State


def write_description(
    experiment: Experiment,
    run: Run,
    control: str | None,
    method: Method,
    needed: Before,
    machine: Mapping[str, Any],
    traps: Mapping[str, Sequence[str]],
) -> None:
    """Writes down what this run is, before its first step.

    `control`: the run folder to compare it with; `traps` that teachers of others met, by role.
    """
    study = experiment.study
    dataset = study.dataset
    others = {role: {**one.told, "traps": list(traps[role])} for role, one in needed.foreign.items()}
    save_plan(run.plan, study.plan.seeing(experiment.seen))
    save_split(run.split, study.split)
    about = {
        "recipe": experiment.recipe,
        "key": experiment.key,
        "options": dict(experiment.options),
        "asked": dict(experiment.asked),
        "dataset": {
            "name": dataset.name,
            "folder": str(dataset.folder.absolute()),
            "layout": dataset.layout,
            "licence": dataset.licence,
            "reference": dataset.reference,
            **({"one_slice_per_subject": asdict(dataset.drawn)} if dataset.drawn else {}),
            **({"labelled_by": dataset.labelled_by} if dataset.labelled_by else {}),
        },
        "modalities": list(experiment.seen),
        "answers": experiment.answers,
        "modalities_of_study": list(study.plan.modalities),
        "networks": {role: spec.to_dict() for role, spec in experiment.networks.items()},
        "teachers": {role: teacher.name for role, teacher in needed.teachers.items()},
        **({"teachers_of_others": others} if others else {}),
        **(
            {"unlabelled": list(study.unlabelled), "unlabelled_from": list(study.unlabelled_from)}
            if study.unlabelled
            else {}
        ),
        "continues": needed.start and needed.start.name,
        "prototypes": needed.prototypes and needed.prototypes.model_dump(mode="json"),
        "weights": {
            name: w if isinstance(w, int | float) else str(w) if isinstance(w, OverTime) else "scheduled"
            for name, w in method.weights.items()
        },
        "sampling": asdict(experiment.sampling),
        "optimisation": asdict(experiment.optimisation),
        "validation": asdict(experiment.validation),
        "budget": {name: value for name, value in asdict(experiment.budget).items() if value is not None},
        "inferer": dict(experiment.inferer),
        "subjects": {
            "training": len({dataset.case(id).group for id in study.split.train}),
            "drawn": study.subjects is not None,
        },
        "seed": study.seed,
        "control": control,
        "machine": {
            **machine,
            "processor": processor_name(),
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "distilseg": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "command": sys.argv,
    }
    write_json(run.experiment, about)


def amend_description(experiment: Experiment, run: Run, needed: Before) -> None:
    """Writes down what is said of a finished run now: its key, and which cases its teachers saw."""
    about = run.read(run.experiment)
    said = {role: list(one.saw) for role, one in needed.foreign.items() if one.saw is not None}
    others = {
        role: {**told, "saw": said[role]} if role in said else told
        for role, told in about.get("teachers_of_others", {}).items()
    }
    amended = {**about, "key": experiment.key, **({"teachers_of_others": others} if others else {})}
    if amended != about:
        write_json(run.experiment, amended)


def write_status(experiment: Experiment, run: Run, state: State) -> None:
    """Writes down that this run has ended, and why."""
    patches = state.step * experiment.sampling.batch_size * experiment.optimisation.accumulate
    status = {
        "steps": state.step,
        "patches": patches,
        "seconds": round(state.elapsed_s, 1),
        "stopped_because": state.stopped,
        "best_step": state.best_step,
        "best_validation_dice": state.best,
    }
    write_json(run.status, status)
