"""What a run needs before its first step: teachers, the run that it continues, another dataset's prototypes.

Each is found or made; runs by the function that makes runs, which calls this one for theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..data.preparing.single_slices import recorded_dataset
from ..data.prototypes import PrototypeFile, load_prototypes
from ..errors import UserError
from ..runs import Run
from .experiment import Experiment, Finished, Prototypes
from .fitted import fitted
from .foreign import Foreign
from .machine import Machine

MakeRun = Callable[[Experiment], Run]


@dataclass(frozen=True)
class Before:
    """Finished runs, and numbers."""

    teachers: Mapping[str, Run]  # that were trained here
    foreign: Mapping[str, Foreign]  # that others trained
    start: Run | None  # whose best weights are the student's first
    prototypes: PrototypeFile | None


def before(experiment: Experiment, make: MakeRun, machine: Machine, cache: Path | None) -> Before:
    """Finds or makes what `experiment` needs. Raises UserError for a start without weights."""
    prototypes = _prototypes(experiment.prototypes, make, machine, cache)
    start = None
    if experiment.continues is not None:
        start = _run(experiment.continues.run, make)
        if not start.best.is_file():
            raise UserError(
                f"{start.folder} has no trained weights to go on from",
                "repeat its `distilseg train` command, it resumes",
            )
    foreign = {role: one for role, one in experiment.teachers.items() if isinstance(one, Foreign)}
    return Before(
        {role: _run(one, make) for role, one in experiment.teachers.items() if not isinstance(one, Foreign)},
        foreign,
        start,
        prototypes,
    )


def _run(of: Experiment | Finished, make: MakeRun) -> Run:
    return Run(of.folder) if isinstance(of, Finished) else make(of)


def _prototypes(
    of: Prototypes | Path | None, make: MakeRun, machine: Machine, cache: Path | None
) -> PrototypeFile | None:
    if of is None:
        return None
    if isinstance(of, Path):
        return load_prototypes(of)
    run = _run(of.teacher, make)
    if isinstance(of.teacher, Finished):
        dataset, trust = recorded_dataset(run.read(run.experiment)["dataset"]), None
    else:
        dataset, trust = of.teacher.study.dataset, of.teacher.networks["student"].name
    path = fitted(run, dataset, of.options, device=machine.kind, cache=cache, trust=trust)
    return load_prototypes(path)
