"""What training costs beyond the network: the loop, the distillation terms, the sampler.

- The loop with its log against a bare PyTorch loop on the same network and the same patches: <= 1.03.
- A step of dual self-distillation against a plain step of the same network: <= 1.05 (the paper: 0.17/0.15);
  as published, and with side outputs at their own resolution.
- Patches that one core draws and augments against patches that a training step consumes: >= 3.

One thread each, 32³ patches, batch 2, on a phantom.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.sampling.batches import batches
from distilseg.networks.build import build
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.runs import Run
from distilseg.training.budget import Budget
from distilseg.training.cases import make_augmentation, make_sampler, prepare
from distilseg.training.experiment import Experiment, Study
from distilseg.training.loop import make_optimizer, train
from distilseg.training.machine import Machine, make_fabric
from distilseg.training.memory import keep_freed_memory
from distilseg.training.objective import Objective, arguments
from distilseg.training.observers import Tables
from distilseg.training.state import State
from distilseg.training.studies import make_study
from distilseg.types import Batch

from .common import Row, in_turns, ratio_row

WIDTHS = {"16...256": [16, 32, 64, 128, 256], "8...128": [8, 16, 32, 64, 128]}
WAYS = {  # recipe -> what the row calls it, its note
    "dual_self_distillation": (
        "DSD",
        "processor time; heads and softmaxes at full size: profile-dsd-step.csv",
    ),
    "dsd_own_resolution": ("DSD at own resolution", "processor time; other ways: dsd-step-options.csv"),
}


def main(quick: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        study, prepared, ready = made_ready(Path(folder), quick)
        return [
            *_loop(study, ready, Path(folder), quick),
            *distillation(study, ready, quick),
            *_sampler(study, prepared, ready, quick),
        ]


def made_ready(folder: Path, quick: bool) -> tuple[Study, dict, list[Batch]]:  # type: ignore[type-arg]
    """A study on a phantom, its prepared cases, and some batches; one thread from now on."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    data = write_phantom(folder / "scans", cases=6, shape=(40, 40, 40), modalities=("MR",))
    study = make_study(data, patch=(16, 16, 16) if quick else (32, 32, 32))
    experiment = make_experiment(study, "supervised", "8...128")
    prepared = prepare(experiment, folder / "cache")
    sampler, augmentation = make_sampler(experiment, prepared), make_augmentation(experiment)
    return study, prepared, list(batches(sampler, augmentation, batch_size=2, first_step=0, steps=8))


def make_experiment(study: Study, recipe: str, width: str) -> Experiment:
    return find(recipe)(study, network_options={"filters": WIDTHS[width]})


def make_objective(experiment: Experiment) -> Objective:
    torch.manual_seed(0)
    spec = experiment.networks["student"]
    network = build(spec)
    method = experiment.method({"student": feature_shapes(network, (1, spec.in_channels, *spec.patch))})
    return Objective(method, {"student": network})


def _loop(study: Study, ready: list[Batch], folder: Path, quick: bool) -> list[Row]:
    steps = 4 if quick else 30
    experiment = make_experiment(study, "supervised", "8...128")
    fabric = make_fabric(Machine(device="cpu"), "32-true")

    def ours() -> None:
        objective = make_objective(experiment)
        run = Run(folder / "run")
        run.folder.mkdir(exist_ok=True)
        tables = Tables(run, list(objective.method.weights), study.plan.classes[1:], step=0)
        train(
            objective,
            itertools.cycle(ready),
            fabric=fabric,
            optimizer=make_optimizer(objective.learned(), experiment.optimisation),
            optimisation=experiment.optimisation,
            budget=Budget(steps=steps),
            steps_per_epoch=10,
            validation=experiment.validation,
            validate=lambda: {"mean": 0.0, **dict.fromkeys(study.plan.classes[1:], 0.0)},
            save=lambda state, average, best: None,
            seed=0,
            state=State(),
            observers=[tables],
        )
        tables.close()
        objective.release()

    def bare() -> None:
        objective = make_objective(experiment)
        network, method = objective.tapped["student"].network, objective.method
        optimizer = make_optimizer(objective.learned(), experiment.optimisation)
        for batch in itertools.islice(itertools.cycle(ready), steps):
            optimizer.zero_grad(set_to_none=True)
            loss = _plain_loss(network, method, batch)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 12.0)
            optimizer.step()
            loss.item()

    seconds = in_turns({"ours": ours, "bare": bare}, repeats=1 if quick else 7)
    return [
        ratio_row(
            "training loop",
            f"{steps} steps, DynUNet 8...128",
            seconds["ours"],
            seconds["bare"],
            aim="<= 1.03",
            peer_name="bare PyTorch loop",
        )
    ]


def _plain_loss(network: nn.Module, method: nn.Module, batch: Batch) -> torch.Tensor:
    from distilseg.functional.segmentation import dice_cross_entropy

    return dice_cross_entropy(network(batch.image), batch.label)


def distillation(study: Study, ready: list[Batch], quick: bool) -> list[Row]:
    rows = []
    for width in WIDTHS:
        steppers = {}
        for recipe in (*WAYS, "supervised"):
            experiment = make_experiment(study, recipe, width)
            objective = make_objective(experiment)
            optimizer = make_optimizer(objective.learned(), experiment.optimisation)
            steppers[recipe] = stepper(objective, optimizer, itertools.cycle(ready))
        # Processor time: what else the machine does then counts for little.
        seconds = in_turns(steppers, repeats=2 if quick else 40, clock=time.process_time)
        rows += [
            ratio_row(
                "distillation step",
                f"{way}, DynUNet {width}, patch {'x'.join(map(str, study.plan.patch))}",
                seconds[recipe],
                seconds["supervised"],
                aim="<= 1.05",
                peer_name="plain step",
                note=note,
            )
            for recipe, (way, note) in WAYS.items()
        ]
    return rows


def stepper(
    objective: Objective, optimizer: torch.optim.Optimizer, feed: Iterator[Batch]
) -> Callable[[], None]:
    """One step of training per call."""

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        total, _ = objective(**arguments(next(feed)), progress=0.0)
        total.backward()
        optimizer.step()

    return step


def _sampler(study: Study, prepared: dict, ready: list[Batch], quick: bool) -> list[Row]:  # type: ignore[type-arg]
    rows = []
    for preset in ("none", "light"):
        experiment = make_experiment(study, "supervised", "8...128").with_settings(augmentation=preset)
        sampler, augmentation = make_sampler(experiment, prepared), make_augmentation(experiment)
        objective = make_objective(experiment)
        optimizer = make_optimizer(objective.learned(), experiment.optimisation)
        step = stepper(objective, optimizer, itertools.cycle(ready))
        made = batches(sampler, augmentation, batch_size=2, first_step=0, steps=10_000)
        count = 2 if quick else 10

        def draw(made: Iterator[Batch] = made, count: int = count) -> None:
            for _ in range(count):
                next(made)

        def consume(step: object = step, count: int = count) -> None:
            for _ in range(count):
                step()  # type: ignore[operator]

        seconds = in_turns({"ours": draw, "network": consume}, repeats=1 if quick else 7)
        made.close()  # type: ignore[attr-defined]
        rows.append(
            ratio_row(
                "sampler",
                f"{count} batches, augmentation {preset}, against steps of DynUNet 8...128",
                seconds["ours"],
                seconds["network"],
                aim=">= 3",
                peer_name="training steps that use them",
            )
        )
    return rows
