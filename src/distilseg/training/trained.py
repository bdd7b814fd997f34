"""Finding a finished run, resuming an unfinished one, or making it: `trained(experiment) -> Run`.

A run's folder is named by everything that determines its weights: the experiment's identity and the contents
of the scans it learns from. So asking twice trains once, and a kill at any moment costs at most the steps
since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..claims import claimed
from ..data.preparing.cache import CachedCase
from ..data.sampling.batches import batches
from ..distillation.method import Method
from ..errors import UserError
from ..inference.build import make_inferer
from ..inference.denormals import denormals_flushed
from ..inference.region_export import painted_classes
from ..names import component
from ..networks.build import build
from ..networks.checkpoint import load_weights, read_weights, save_weights
from ..progress import say
from ..runs import Run
from ..types import Batch
from .answers import answers_of_others, traps_met, warn_of_terms
from .before import Before, before
from .cases import content_digest, control_name, make_augmentation, make_sampler, prepare, steps_per_epoch
from .experiment import Experiment
from .loop import Observer, make_optimizer, train
from .machine import Machine, make_fabric
from .objective import Objective
from .observers import Bar, Lines, Tables, TensorBoard
from .precision import choose_precision
from .preflight import Ahead, later_of
from .record import amend_description, write_description, write_status
from .shapes import shapes_of
from .state import Average, State, load_state, save_state
from .teachers import check_shown, load_teacher, record_teachers
from .validate import mean_dice

ENDLESS = sys.maxsize // 2**20  # steps of a run that ends by the clock


def trained(
    experiment: Experiment,
    *,
    runs: Path | str = "runs",
    machine: Machine | None = None,
    cache: Path | None = None,
    tensorboard: bool = False,
    save_every_s: float = 120.0,
    ahead: Sequence[Ahead] = (),
) -> Run:
    """The finished run of `experiment` below `runs`/<dataset>, found or made.

    Teachers, and the run that it continues, are found or made first. `cache` is the folder of prepared cases
    (default: the user's cache). `ahead` are the networks of the same command, for the
    time that is told to be left.
    Raises UserError for what the user can mend: data, budget, device, a loss that is not finite.
    """
    machine = machine or Machine()
    study = experiment.study

    def make(needed: Experiment) -> Run:
        return trained(
            needed, runs=runs, machine=machine, cache=cache, save_every_s=save_every_s, ahead=ahead
        )

    needed = before(experiment, make, machine, cache)
    prepared = prepare(experiment, cache)
    of_dataset = Path(runs) / component(study.dataset.name, kind="dataset")
    run = Run(of_dataset / component(experiment.run_name(content_digest(prepared)), kind="run"))
    if run.finished:
        read_weights(run.best)  # which may have been damaged since
        amend_description(experiment, run, needed)
        return run
    several = machine.devices * machine.nodes > 1  # processes that make it together
    with contextlib.nullcontext(True) if several else claimed(run.folder) as ours:
        if not ours:
            raise UserError(
                f"another process is training {run.folder}", "wait for it, or end it; the run then resumes"
            )
        _make(
            experiment,
            run,
            machine,
            prepared,
            needed,
            cache,
            tensorboard,
            save_every_s,
            later_of(ahead, run.name),
        )
    return run


def _make(
    experiment: Experiment,
    run: Run,
    machine: Machine,
    prepared: Mapping[str, CachedCase],
    needed: Before,
    cache: Path | None,
    tensorboard: bool,
    save_every_s: float,
    later: Sequence[Ahead],
) -> None:
    """Trains, from the last checkpoint if there is one."""
    study, teachers = experiment.study, needed.teachers
    torch.manual_seed(study.seed)
    networks = {role: build(spec) for role, spec in experiment.networks.items()}
    if needed.start is not None:
        load_weights(networks["student"], needed.start.best)
    specs = dict(experiment.networks)
    for role, teacher in teachers.items():
        networks[role], specs[role] = load_teacher(role, teacher, experiment)
    shapes = {role: shapes_of(networks[role], spec) for role, spec in specs.items()}
    shapes |= {role: {} for role in needed.foreign}  # they answer, and have no features
    method = experiment.method(shapes, *([needed.prototypes] if needed.prototypes else []))
    check_shown(method, specs)
    maps, seen, why = record_teachers(experiment, method, teachers, networks, prepared, machine, cache)
    recorded = bool(maps)
    warn_of_terms(needed.foreign)
    answered, seen_by_others = answers_of_others(experiment, needed.foreign, prepared, cache)
    structures = {id: {**seen_by_others.get(id, {}), **seen.get(id, {})} for id in study.unlabelled}
    traps = traps_met(experiment, needed.foreign, prepared, cache)
    sampler, augmentation = make_sampler(experiment, prepared, structures), make_augmentation(experiment)
    objective = Objective(method, networks, recorded=[*(teachers if recorded else ()), *needed.foreign])
    maps = {id: {**maps.get(id, {}), **answered.get(id, {})} for id in {*maps, *answered}}
    precision, probed = choose_precision(experiment, machine, run, objective, sampler, maps)
    fabric = make_fabric(machine, precision)
    if fabric.is_global_zero:
        carried_out = {"precision": precision, "probed_s": probed}
        if teachers:
            carried_out["teacher_outputs"] = {"recorded": recorded, "why": why}
        control = control_name(experiment, prepared, cache)
        write_description(experiment, run, control, method, needed, carried_out, traps)
    fabric.barrier()

    objective.to(fabric.device)  # first: the optimizer's state and the averages live where the weights do
    optimizer = make_optimizer(objective.learned(), experiment.optimisation)

    settings, sampling = experiment.optimisation, experiment.sampling
    average = Average(networks["student"], settings.ema) if settings.ema else None
    state = State(signed=True)
    if run.state.is_file():
        state, kept = load_state(run.state, objective, optimizer, average)
        fabric.strategy.precision.load_state_dict(kept)
        say(f"{run.name}: resumes after step {state.step}")
    feed = batches(
        sampler,
        augmentation,
        batch_size=sampling.batch_size,
        first_step=state.step * settings.accumulate,
        steps=ENDLESS,
        rank=fabric.global_rank,
        world=fabric.world_size,
        workers=sampling.workers,
        maps=maps,
    )
    validation_cases = [prepared[id] for id in study.split.validation]
    validation_cases = validation_cases[: experiment.validation.validation_cases]
    inferer = make_inferer(experiment.inferer)
    see = method.roles["student"].input

    def shown(image: Tensor) -> Tensor:
        return see(Batch(image, image[:, :1]))

    def decide(logits: Tensor) -> Tensor:
        if experiment.answers == "classes":
            return logits.argmax(1)
        return painted_classes(logits, study.plan.paints)

    def validate() -> Mapping[str, float]:
        network = _averaged(networks["student"], average)
        return mean_dice(
            network,
            validation_cases,
            see=shown,
            inferer=inferer,
            decide=decide,
            classes=study.dataset.classes,
            fabric=fabric,
        )

    def save(state: State, average: Average | None, is_best: bool) -> None:
        if not fabric.is_global_zero:
            return
        if is_best:
            _save_student(run.best, experiment, networks["student"], average, state)
        save_state(run.state, state, objective, optimizer, average, fabric.strategy.precision.state_dict())

    observers = (
        _observers(experiment, run, method, state.step, tensorboard, later) if fabric.is_global_zero else []
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(denormals_flushed())
        for observer in observers:
            stack.callback(observer.close)
        stack.callback(objective.release)
        stack.callback(feed.close)  # type: ignore[attr-defined]
        state = train(
            objective,
            feed,
            fabric=fabric,
            optimizer=optimizer,
            optimisation=settings,
            budget=experiment.budget,
            steps_per_epoch=steps_per_epoch(experiment),
            validation=experiment.validation,
            validate=validate,
            save=save,
            seed=study.seed,
            state=state,
            average=average,
            observers=observers,
            save_every_s=save_every_s,
        )
    if fabric.is_global_zero:
        _save_student(run.last, experiment, networks["student"], average, state)
        write_status(experiment, run, state)
    fabric.barrier()


def _observers(
    experiment: Experiment, run: Run, method: Method, step: int, tensorboard: bool, later: Sequence[Ahead]
) -> list[Observer]:
    dataset = experiment.study.dataset
    by = dataset.labelled_by
    # TensorBoard first: it may be missing, and nothing is open yet.
    extra: list[Observer] = (
        [TensorBoard(run.own(run.folder / "tensorboard"), labelled_by=by)] if tensorboard else []
    )
    tables = Tables(run, list(method.weights), dataset.classes[1:], step=step)
    if sys.stderr.isatty():
        return [tables, Bar(run.name, labelled_by=by), *extra]
    learned = len(experiment.study.split.train) + len(experiment.study.unlabelled)
    validations = experiment.validation.count(experiment.budget, steps_per_epoch(experiment))
    times = "once" if validations == 1 else f"{validations} times"
    chosen_on = len(experiment.study.split.validation[: experiment.validation.validation_cases])
    lines = Lines(
        run.name,
        f"learns from {learned} case{'s' * (learned != 1)}, is validated {times} on {chosen_on}",
        steps=experiment.budget.total_steps(steps_per_epoch(experiment)),
        later=lambda step_s: sum(one.seconds(step_s) for one in later),
        labelled_by=by,
    )
    return [tables, lines, *extra]


def _averaged(network: nn.Module, average: Average | None) -> nn.Module:
    """The network to judge and to ship: its averaged weights, if averages are kept."""
    if average is None:
        return network
    twin = copy.deepcopy(network)
    twin.load_state_dict(average.weights)
    return twin


def _save_student(
    path: Path, experiment: Experiment, network: nn.Module, average: Average | None, state: State
) -> None:
    extra = {
        "step": state.step,
        "recipe": experiment.recipe,
        "validation_dice": state.best,
        "modalities": list(experiment.seen),
        "classes": list(experiment.study.plan.classes),
    }
    spec = experiment.networks["student"]
    save_weights(path, _averaged(network, average), spec, extra, signed=state.signed)
