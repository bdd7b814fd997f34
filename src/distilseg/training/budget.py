"""How long a run may train: steps, epochs or minutes, whichever ends first.

    progress = max(step / steps, elapsed / minutes) in [0, 1]

Everything that depends on the length (schedule, validations, term weights) is a function of progress. With
steps or epochs a run is a function of its seed alone; with minutes it also depends on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..errors import UserError
from .setting import Setting, check


@dataclass(frozen=True)
class Budget:
    """At least one of the three; the first that is used up ends the run."""

    steps: Annotated[int | None, Setting("Of the optimizer.")] = None
    epochs: Annotated[float | None, Setting("Until every case has given its patches.")] = None
    # Of training and validation; pauses between resumptions are not counted.
    minutes: Annotated[float | None, Setting("Of each network: student and control take twice as long.")] = (
        None
    )

    def __post_init__(self) -> None:
        check(self)
        given = {k: v for k, v in vars(self).items() if v is not None}
        if not given:
            raise UserError("the budget is empty", "give --steps, --epochs or --minutes")
        for name, value in given.items():
            if not value > 0:
                raise UserError(f"the budget is {value} {name}", "give a number above 0")

    def part(self, share: float) -> Budget:
        """`share` of it, at least a step."""
        if not share > 0:
            raise UserError(f"the share of the budget is {share}", "give a number above 0")
        return Budget(
            steps=None if self.steps is None else max(1, round(share * self.steps)),
            epochs=None if self.epochs is None else share * self.epochs,
            minutes=None if self.minutes is None else share * self.minutes,
        )

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """Steps after which it is used up, if that is known in advance."""
        by_epochs = None if self.epochs is None else max(1, round(self.epochs * steps_per_epoch))
        known = [steps for steps in (self.steps, by_epochs) if steps is not None]
        return min(known) if known else None

    def progress(self, step: int, elapsed_s: float, steps_per_epoch: int) -> float:
        """The part that is used up after `step` steps and `elapsed_s` seconds; 1.0 means: stop."""
        steps = self.total_steps(steps_per_epoch)
        by_steps = step / steps if steps else 0.0
        by_minutes = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_minutes))

    def ended_by(self, step: int, steps_per_epoch: int) -> str:
        """Which part of the budget ended a run after `step` steps."""
        steps = self.total_steps(steps_per_epoch)
        return "steps" if steps is not None and step >= steps else "minutes"
