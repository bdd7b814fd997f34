"""Everything that a command names, looked at before the first network of it is trained.

    1. networks and methods   built once: options that do not fit, features that are not there
    2. teachers               weights, modalities, classes, preparation; of others, answers for every case
    3. folders                runs can be written, and there is room for the checkpoints of all of them
    4. data                   every case that is learned from is read and prepared, as it will be needed;
                              there is room for these, told after the first of them, and for what teachers of
                              others answer

In this order, so that a wrong teacher costs a second and not the training of its control.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..data.prototypes import load_prototypes
from ..disk import check_room
from ..names import component
from ..networks.build import NetworkSpec, build
from ..networks.count import parameters
from ..progress import clock, duration
from ..runs import Run
from .answers import check_answered, unrecorded
from .budget import Budget
from .cases import content_digest, prepare, steps_per_epoch
from .experiment import Experiment, Finished, Prototypes
from .foreign import Foreign
from .observers import summary_writer
from .shapes import shapes_of
from .teachers import check_shown, load_teacher

_FLOAT_BYTES = 4
_MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1, "momentum": 1}  # numbers an optimizer keeps for each weight


@dataclass(frozen=True)
class Ahead:
    """A network that a command trains, or finds trained."""

    name: str  # of its run
    budget: Budget
    steps: int | None  # where the budget says how many
    finished: bool

    def seconds(self, step_s: float) -> float:
        """The most that its training takes, where a step of it takes `step_s`."""
        known = [] if self.steps is None else [self.steps * step_s]
        known += [] if self.budget.minutes is None else [60 * self.budget.minutes]
        return min(known)


def look_ahead(
    experiments: Iterable[Experiment],
    *,
    runs: Path | str,
    cache: Path | None = None,
    tensorboard: bool = False,
) -> list[Ahead]:
    """The networks that these experiments need, in the order in which they are trained, each once.

    Raises UserError for whatever would end one of their trainings later: see above.
    """
    asked = [one for experiment in experiments for one in in_order(experiment)]
    if tensorboard:
        summary_writer()
    weights = [check_networks(one) for one in asked]
    folders = [Path(runs) / component(one.study.dataset.name, kind="dataset") for one in asked]
    for one in asked:
        check_answered(one)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Ahead] = {}
    needed: dict[str, int] = {}
    for one, folder, count in zip(asked, folders, weights, strict=True):
        prepared = prepare(one, cache)
        for teacher in one.teachers.values():
            if isinstance(teacher, Foreign):
                ids = (*one.study.split.train, *one.study.unlabelled)
                unrecorded(teacher, {id: prepared[id] for id in ids}, cache)
        run = Run(folder / component(one.run_name(content_digest(prepared)), kind="run"))
        steps = one.budget.total_steps(steps_per_epoch(one))
        found[run.name] = Ahead(run.name, one.budget, steps, run.finished)
        if not run.finished:
            needed[run.name] = _run_bytes(one, count)
    if needed:
        fix = "free space, or name a folder on another disk with --runs"
        of = f"{len(needed)} runs" if len(needed) > 1 else "the run"
        check_room(
            Path(runs),
            sum(needed.values()),
            f"the checkpoints of {of} take",
            fix,
        )
    return list(found.values())


def in_order(experiment: Experiment) -> Iterator[Experiment]:
    """The experiment, and before it those whose runs it needs."""
    for one in needs(experiment):
        yield from in_order(one)
    yield experiment


def needs(experiment: Experiment) -> list[Experiment]:
    """The experiments whose runs it needs at once."""
    before: list[object] = [*experiment.teachers.values()]
    if isinstance(experiment.prototypes, Prototypes):
        before.append(experiment.prototypes.teacher)
    if experiment.continues is not None:
        before.append(experiment.continues.run)
    return [one for one in before if isinstance(one, Experiment)]


def summary(ahead: Sequence[Ahead], *, judged_on: int) -> list[str]:
    """What will be trained, how long in all, and when it is about done; nothing where all is there."""
    waiting = [one for one in ahead if not one.finished]
    if not waiting:
        return []
    lines = [f"{one.name}: found, finished" for one in ahead if one.finished]
    networks = f"{len(waiting)} network{'s' * (len(waiting) > 1)} to train"
    minutes = [one.budget.minutes for one in waiting if one.budget.minutes is not None]
    if len(minutes) == len(waiting):
        alike = len({*minutes}) == 1
        each = f", {minutes[0]:g} minutes each" if alike and len(minutes) > 1 else ""
        in_all = 60 * sum(minutes)
        at_most = "at most " * any(one.steps is not None for one in waiting)
        told = f"{networks}{each}: {at_most}{duration(in_all)} in all, until about {clock(in_all)}"
    else:
        told = f"{networks}; how long that takes is told after the first steps"
    if judged_on:
        told += f"; then each is judged on {judged_on} case{'s' * (judged_on > 1)}"
    return [*lines, told, *(f"  {one.name}: {_told(one)}" for one in waiting)]


def later_of(ahead: Sequence[Ahead], name: str) -> list[Ahead]:
    """Those that are still to be trained when the run `name` is."""
    names = [one.name for one in ahead]
    after = ahead[names.index(name) + 1 :] if name in names else ()
    return [one for one in after if not one.finished]


def _told(one: Ahead) -> str:
    steps = [] if one.steps is None else [f"{one.steps:,} step{'s' * (one.steps > 1)}"]
    minutes = [] if one.budget.minutes is None else [f"{one.budget.minutes:g} minutes"]
    return ", at most ".join([*steps, *minutes])


def check_networks(experiment: Experiment) -> int:
    """How many weights its student has; raises UserError for networks, teachers, options that do not fit."""
    networks: dict[str, nn.Module] = {}
    specs: dict[str, NetworkSpec] = dict(experiment.networks)
    for role, spec in specs.items():
        networks[role] = build(spec)
    for role, teacher in experiment.teachers.items():
        if isinstance(teacher, Finished):
            _ = teacher.identity  # it has weights
            networks[role], specs[role] = load_teacher(role, Run(teacher.folder), experiment)
        elif isinstance(teacher, Experiment):
            specs[role] = teacher.networks["student"]
            networks[role] = build(specs[role])
    shapes: dict[str, Mapping[str, tuple[int, ...]]] = {
        role: shapes_of(networks[role], spec) for role, spec in specs.items()
    }
    shapes |= {role: {} for role, one in experiment.teachers.items() if isinstance(one, Foreign)}
    if experiment.continues is not None and isinstance(experiment.continues.run, Finished):
        _ = experiment.continues.run.identity
    if not isinstance(experiment.prototypes, Prototypes):  # else they are fitted later
        fitted = [] if experiment.prototypes is None else [load_prototypes(experiment.prototypes)]
        check_shown(experiment.method(shapes, *fitted), specs)
    return parameters(networks["student"])


def _run_bytes(experiment: Experiment, weights: int) -> int:
    """What a run's folder takes: its best and last weights, and twice a checkpoint, as a new one lies beside
    the one that it replaces."""
    settings = experiment.optimisation
    checkpoint = 1 + _MOMENTS[settings.optimizer] + bool(settings.ema)
    return _FLOAT_BYTES * weights * (2 + 2 * checkpoint)
