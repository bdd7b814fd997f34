"""The training loop: the only place that runs networks forward for learning, back-propagates and steps.

Every recipe runs through it. One step, for the batch that `batches` gives at this step:

    total, terms = objective(batch, progress)
    w <- optimizer(w, d total / d w, learning_rate * factor(progress))

`progress` in [0, 1] is the part of the budget used up; all randomness is a function of (seed, step).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..errors import UserError
from ..types import Batch
from .budget import Budget
from .experiment import Optimisation, Validation
from .objective import Objective, arguments
from .schedule import factor
from .state import Average, State


@dataclass(frozen=True)
class Step:
    """What an observer learns of one step: numbers only."""

    step: int  # steps done, this one included
    progress: float
    learning_rate: float
    total: float
    terms: Mapping[str, float]


class Observer(Protocol):
    """Watches a run: logs, progress bars. It never changes what is learned."""

    def after_step(self, step: Step) -> None:
        """Called after each step of the optimizer."""

    def after_validation(self, step: int, dice: Mapping[str, float], best: bool) -> None:
        """Called with the validation cases' Dice by class; `best`: it is the highest mean so far."""

    def close(self) -> None:
        """Called once, however the run ends."""


def train(
    objective: Objective,
    batches: Iterator[Batch],
    *,
    fabric: Fabric,
    optimizer: torch.optim.Optimizer,
    optimisation: Optimisation,
    budget: Budget,
    steps_per_epoch: int,
    validation: Validation,
    validate: Callable[[], Mapping[str, float]],
    save: Callable[[State, Average | None, bool], None],
    seed: int,
    state: State,
    average: Average | None = None,
    observers: Sequence[Observer] = (),
    save_every_s: float = 120.0,
) -> State:
    """Trains until the budget is used up or validation no longer improves; returns the final state.

    `batches` starts at the batch of `state.step`. `validate()` returns mean Dice by class under "mean" and
    the class names. `save(state, average, is_best)` is called every `save_every_s` seconds, after each
    new best and at the end. A total that is not finite raises UserError with term, step and cases.
    """
    wrapped, stepping = fabric.setup(objective, optimizer)
    student = objective.tapped["student"].network
    clock = _Clock(state.elapsed_s)
    saved_s = clock.elapsed_s
    validations = validation.count(budget, steps_per_epoch)

    while not state.stopped:
        progress = budget.progress(state.step, state.elapsed_s, steps_per_epoch)
        learning_rate = optimisation.learning_rate * factor(
            optimisation.schedule, progress, warmup=optimisation.warmup
        )
        learning_rate *= optimisation.plateau_factor**state.lowered
        for group in optimizer.param_groups:
            group["lr"] = learning_rate

        stepping.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for part in range(optimisation.accumulate):
            batch = next(batches)
            torch.manual_seed(_mixed(seed, state.step, part, fabric.global_rank))
            more = part + 1 < optimisation.accumulate
            with fabric.no_backward_sync(wrapped, enabled=more):
                total, terms = wrapped(**arguments(batch.to(fabric.device)), progress=progress)
                fabric.backward(total / optimisation.accumulate)
            for name, value in {"total": total, **terms}.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float() / optimisation.accumulate
        numbers = _numbers(sums, fabric)
        _refuse_not_finite(numbers, state.step, batch.case_ids)
        if optimisation.clip is not None:
            fabric.clip_gradients(wrapped, stepping, max_norm=optimisation.clip, error_if_nonfinite=False)
        stepping.step()
        if average:
            average.update(student)

        state.step += 1
        state.elapsed_s = fabric.broadcast(clock.elapsed_s) if fabric.world_size > 1 else clock.elapsed_s
        progress = budget.progress(state.step, state.elapsed_s, steps_per_epoch)
        total_number = numbers.pop("total")
        for observer in observers:
            observer.after_step(Step(state.step, progress, learning_rate, total_number, numbers))
        if progress >= 1.0:
            state.stopped = budget.ended_by(state.step, steps_per_epoch)

        is_best = False
        due = math.floor(progress * validations)
        if due > state.validations or state.stopped:
            is_best = _validate(
                state,
                due,
                validate,
                validation,
                optimisation,
                observers,
            )
            state.elapsed_s = clock.elapsed_s
        if is_best or state.stopped or clock.elapsed_s - saved_s > save_every_s:
            save(state, average, is_best)
            saved_s = clock.elapsed_s
    return state


def make_optimizer(parameters: Sequence[torch.nn.Parameter], settings: Optimisation) -> torch.optim.Optimizer:
    """AdamW, Adam, SGD with momentum 0.99 and Nesterov's correction (nnU-Net's), or with 0.9 and without."""
    rate, decay = settings.learning_rate, settings.weight_decay
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(parameters, lr=rate, weight_decay=decay),
        "adam": lambda: torch.optim.Adam(parameters, lr=rate, weight_decay=decay),
        "sgd": lambda: torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=0.99, nesterov=True),
        "momentum": lambda: torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=0.9),
    }
    return makers[settings.optimizer]()


def _validate(
    state: State,
    due: int,
    validate: Callable[[], Mapping[str, float]],
    settings: Validation,
    optimisation: Optimisation,
    observers: Sequence[Observer],
) -> bool:
    """Judges the student, moves `state` on, and says whether it is the best so far."""
    dice = validate()
    is_best = dice["mean"] > state.best
    state.validations = due
    state.since_best = 0 if is_best else state.since_best + 1
    if is_best:
        state.best, state.best_step = dice["mean"], state.step
    if optimisation.schedule == "plateau":
        _lower_on_plateau(state, is_best, optimisation)
    if settings.patience is not None and state.since_best >= settings.patience:
        state.stopped = state.stopped or "patience"
    for observer in observers:
        observer.after_validation(state.step, dice, is_best)
    return is_best


def _lower_on_plateau(state: State, is_best: bool, settings: Optimisation) -> None:
    """After more than `plateau_patience` validations without a new best (as PyTorch's ReduceLROnPlateau does,
    there with the loss)."""
    state.since_lowered = 0 if is_best else state.since_lowered + 1
    if state.since_lowered > settings.plateau_patience:
        state.lowered, state.since_lowered = state.lowered + 1, 0


def _numbers(sums: Mapping[str, Tensor], fabric: Fabric) -> dict[str, float]:
    """The step's losses as floats, averaged over devices."""
    stacked = torch.stack(list(sums.values())).double()
    if fabric.world_size > 1:
        stacked = fabric.all_reduce(stacked, reduce_op="mean")
    return dict(zip(sums, stacked.tolist(), strict=True))


def _refuse_not_finite(numbers: Mapping[str, float], step: int, case_ids: Sequence[str]) -> None:
    if math.isfinite(numbers["total"]):
        return
    at_fault = {
        name: value for name, value in numbers.items() if name != "total" and not math.isfinite(value)
    }
    raise UserError(
        f"step {step}: the loss is not finite; terms at fault: {at_fault}; cases: {', '.join(case_ids)}",
        "check the scans with `distilseg check`, or lower --learning-rate; to resume, repeat the command",
    )


def _mixed(*numbers: int) -> int:
    """One 63-bit seed from several numbers (Fowler-Noll-Vo), the same on every machine."""
    value = 0xCBF29CE484222325
    for number in numbers:
        value = ((value ^ (number + 1)) * 0x100000001B3) % 2**63
    return value


class _Clock:
    def __init__(self, before_s: float) -> None:
        self._start = time.monotonic() - before_s

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start
