"""Finding a finished run, resuming an unfinished one, or making it: `trained(experiment) -> Run`.

A run's folder is named by everything that determines its weights: the experiment's identity and the contents
of the scans it learns from. So asking twice trains once, and a kill at any moment costs at most the steps
since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..data import augment
from ..data.batches import batches
from ..data.cache import CachedCase, cache_cases
from ..data.patches import PatchSampler
from ..data.plan import save_plan
from ..data.splits import save_split
from ..distillation.method import Method
from ..errors import UserError, unknown
from ..files import write_json
from ..inference.build import make_inferer
from ..networks.build import NetworkSpec, build
from ..networks.checkpoint import load_network, save_weights
from ..networks.features import feature_shapes
from ..runs import Run
from ..types import Batch
from .experiment import Experiment
from .loop import Observer, make_optimizer, train
from .machine import Machine, fastest_precision, make_fabric
from .objective import Objective, arguments
from .observers import Bar, Tables, TensorBoard, announce
from .state import Average, State, load_state, save_state
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
) -> Run:
    """The finished run of `experiment` below `runs`/<dataset>, found or made.

    Teachers are found or made first. `cache` is the folder of prepared cases (default: the user's cache).
    Raises UserError for what the user can mend: data, budget, device, a loss that is not finite.
    """
    machine = machine or Machine()
    study = experiment.study
    # Threads of PyTorch leave denormals slow, and they creep in as activations die out.
    torch.set_flush_denormal(True)
    teachers = {
        role: trained(teacher, runs=runs, machine=machine, cache=cache, save_every_s=save_every_s)
        for role, teacher in experiment.teachers.items()
    }
    prepared = _prepare(experiment, cache)
    run = Run(Path(runs) / study.dataset.name / experiment.run_name(_content(prepared)))
    if run.finished:
        announce(f"{run.name}: found, finished")
        return run
    if machine.devices * machine.nodes == 1:
        with _claimed(run):
            _make(experiment, run, machine, prepared, teachers, tensorboard, save_every_s)
    else:
        _make(experiment, run, machine, prepared, teachers, tensorboard, save_every_s)
    return run


def _make(
    experiment: Experiment,
    run: Run,
    machine: Machine,
    prepared: Mapping[str, CachedCase],
    teachers: Mapping[str, Run],
    tensorboard: bool,
    save_every_s: float,
) -> None:
    """Trains, from the last checkpoint if there is one."""
    study = experiment.study
    torch.manual_seed(study.seed)
    networks = {role: build(spec) for role, spec in experiment.networks.items()}
    networks |= {role: load_network(teacher.best)[0] for role, teacher in teachers.items()}
    specs = {
        **experiment.networks,
        **{role: t.networks["student"] for role, t in experiment.teachers.items()},
    }
    method = experiment.method({role: _shapes(networks[role], spec) for role, spec in specs.items()})
    objective = Objective(method, networks)
    learned = objective.learned()
    optimizer = make_optimizer(learned, experiment.optimisation)

    train_cases = [prepared[id] for id in study.split.train]
    validation_cases = [prepared[id] for id in study.split.validation][
        : experiment.validation.validation_cases
    ]
    sampler = _sampler(experiment, train_cases)
    augmentation = _augmentation(experiment.sampling.augmentation, experiment.sampling.flip_axes)
    precision, probed = _precision(experiment, machine, run, objective, sampler)
    fabric = make_fabric(machine, precision)
    if fabric.is_global_zero:
        _describe(
            experiment,
            run,
            _content(prepared),
            method,
            teachers,
            {"precision": precision, "probed_s": probed},
        )
    fabric.barrier()

    settings, sampling = experiment.optimisation, experiment.sampling
    average = Average(networks["student"], settings.ema) if settings.ema else None
    state = State()
    if run.state.is_file():
        state, kept = load_state(run.state, objective, optimizer, average)
        fabric.strategy.precision.load_state_dict(kept)
        announce(f"{run.name}: resumes after step {state.step}")
    feed = batches(
        sampler,
        augmentation,
        batch_size=sampling.batch_size,
        first_step=state.step * settings.accumulate,
        steps=ENDLESS,
        rank=fabric.global_rank,
        world=fabric.world_size,
        workers=sampling.workers,
    )
    inferer = make_inferer(experiment.inferer)
    see = method.roles["student"].input

    def shown(image: Tensor) -> Tensor:
        return see(Batch(image, image[:, :1]))

    def validate() -> Mapping[str, float]:
        network = _averaged(networks["student"], average)
        return mean_dice(
            network,
            validation_cases,
            see=shown,
            inferer=inferer,
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
        _observers(run, method, study.dataset.classes, state.step, tensorboard)
        if fabric.is_global_zero
        else []
    )
    with contextlib.ExitStack() as stack:
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
            steps_per_epoch=_steps_per_epoch(experiment),
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
        write_json(run.status, _ended(state, experiment))
    fabric.barrier()


def _ended(state: State, experiment: Experiment) -> dict[str, Any]:
    patches = state.step * experiment.sampling.batch_size * experiment.optimisation.accumulate
    return {
        "steps": state.step,
        "patches": patches,
        "seconds": round(state.elapsed_s, 1),
        "stopped_because": state.stopped,
        "best_step": state.best_step,
        "best_validation_dice": state.best,
    }


def _prepare(experiment: Experiment, cache: Path | None) -> dict[str, CachedCase]:
    """The cases to learn from and to validate on, prepared and memory-mapped."""
    from rich.progress import Progress

    study = experiment.study
    ids = [*study.split.train, *study.split.validation]
    if not study.split.train or not study.split.validation:
        raise UserError(
            f"{study.dataset.name}: the split has {len(study.split.train)} cases to train and"
            f" {len(study.split.validation)} to validate on",
            "each needs at least one; label more cases or give another --split",
        )
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("preparing cases", total=len(ids))
        return cache_cases(
            study.dataset,
            ids,
            study.plan,
            folder=cache,
            progress=lambda done, total: bar.update(task, completed=done),
        )


def _content(prepared: Mapping[str, CachedCase]) -> str:
    """A digest of the voxels that are learned from: cache entries are named by their content."""
    names = "\n".join(f"{id} {case.folder.name}" for id, case in sorted(prepared.items()))
    return hashlib.blake2b(names.encode(), digest_size=16).hexdigest()


def _sampler(experiment: Experiment, cases: list[CachedCase]) -> PatchSampler:
    sampling = experiment.sampling
    return PatchSampler(
        cases,
        experiment.study.plan.patch,
        experiment.study.seed,
        foreground_fraction=sampling.foreground_fraction,
        pad=sampling.pad,
        patches_per_case=sampling.patches_per_case,
    )


def _steps_per_epoch(experiment: Experiment) -> int:
    patches = len(experiment.study.split.train) * experiment.sampling.patches_per_case
    return max(1, math.ceil(patches / (experiment.sampling.batch_size * experiment.optimisation.accumulate)))


def _augmentation(preset: str, flip_axes: tuple[int, ...] | None) -> augment.Augmentation:
    presets = {
        name.lower(): value
        for name, value in vars(augment).items()
        if isinstance(value, augment.Augmentation)
    }
    if preset not in presets:
        raise unknown("augmentation", preset, presets)
    return replace(presets[preset], flip_axes=flip_axes)


def _shapes(network: nn.Module, spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    try:
        return feature_shapes(network, (1, spec.in_channels, *spec.patch))
    except UserError:  # a network without a feature table serves methods that tap nothing
        return {}


def _precision(
    experiment: Experiment, machine: Machine, run: Run, objective: Objective, sampler: PatchSampler
) -> tuple[str, dict[str, float]]:
    """As asked for; as the run began, if it resumes; else by measurement of this very step."""
    if run.experiment.is_file():
        began = run.read(run.experiment).get("machine", {})
        if machine.precision in ("auto", began.get("precision")):
            return began["precision"], began.get("probed_s", {})
    if machine.precision != "auto":
        return machine.precision, {}

    def measure() -> tuple[str, dict[str, float]]:
        share = experiment.sampling.batch_size // (machine.devices * machine.nodes)
        feed = batches(sampler, augment.NONE, batch_size=max(1, share), first_step=0, steps=1)
        device = torch.device(machine.kind)
        probe = copy.deepcopy(objective).to(device)
        given = arguments(next(feed).to(device))

        def step() -> None:
            total, _ = probe(**given, progress=0.0)
            total.backward()

        # Without the recipe: a control and its student, which are compared, get the same number format.
        about = repr([{r: s.to_dict() for r, s in experiment.networks.items()}, share])
        return fastest_precision(step, machine.kind, about=about)

    if machine.devices * machine.nodes == 1:
        return measure()
    scout = make_fabric(machine, "32-true")  # all processes must agree: the first one measures
    found: tuple[str, dict[str, float]] = scout.broadcast(measure() if scout.is_global_zero else ("", {}))
    return found


def _describe(
    experiment: Experiment,
    run: Run,
    content: str,
    method: Method,
    teachers: Mapping[str, Run],
    machine: Mapping[str, Any],
) -> None:
    """Writes down what this run is, before its first step."""
    study, control = experiment.study, experiment.control
    dataset = study.dataset
    save_plan(run.plan, study.plan)
    save_split(run.split, study.split)
    about = {
        "recipe": experiment.recipe,
        "options": dict(experiment.options),
        "asked": dict(experiment.asked),
        "dataset": {
            "name": dataset.name,
            "folder": str(dataset.folder.absolute()),
            "layout": dataset.layout,
            "licence": dataset.licence,
            "reference": dataset.reference,
        },
        "modalities": list(study.plan.modalities),
        "networks": {role: spec.to_dict() for role, spec in experiment.networks.items()},
        "teachers": {role: teacher.name for role, teacher in teachers.items()},
        "weights": {
            name: w if isinstance(w, int | float) else "scheduled" for name, w in method.weights.items()
        },
        "sampling": asdict(experiment.sampling),
        "optimisation": asdict(experiment.optimisation),
        "validation": asdict(experiment.validation),
        "budget": {name: value for name, value in asdict(experiment.budget).items() if value is not None},
        "inferer": dict(experiment.inferer),
        "seed": study.seed,
        "control": None if control is None else control.run_name(content),
        "machine": {
            **machine,
            "processor": platform.processor() or platform.machine(),
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


def _observers(
    run: Run, method: Method, classes: tuple[str, ...], step: int, tensorboard: bool
) -> list[Observer]:
    # TensorBoard first: it may not be installed, and nothing is open yet.
    # TensorBoard first: it may be missing, and nothing is open yet.
    extra: list[Observer] = [TensorBoard(run.folder / "tensorboard")] if tensorboard else []
    return [Tables(run, list(method.weights), classes[1:], step=step), Bar(run.name), *extra]


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
    extra = {"step": state.step, "recipe": experiment.recipe, "validation_dice": state.best}
    save_weights(path, _averaged(network, average), experiment.networks["student"], extra)


@contextlib.contextmanager
def _claimed(run: Run) -> Iterator[None]:
    """One process at a time makes a run; the claim ends with its process, however that ends."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / ".claim").open("a") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: no advisory lock in the standard library
            pass
        except OSError:
            raise UserError(
                f"another process is training {run.folder}", "wait for it, or end it; the run then resumes"
            ) from None
        yield
