"""Studies that choose: runs that are validated, and judged on no test case until the choice is made."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilseg.runs import Run, find_runs, read_rows

from . import collecting
from .jobs import processor

if TYPE_CHECKING:
    from distilseg.training.experiment import Experiment


def train_only(experiment: Experiment, runs: str) -> Run:
    """The finished run, found or made."""
    from distilseg.training.trained import trained

    return trained(experiment, runs=Path(runs), machine=processor())


def collect(runs: str, results: Path) -> None:
    """Each finished run's settings and validations, and the metrics of those that confirm a choice."""
    collecting.collect(runs, results, judged=False)


@dataclass(frozen=True)
class Validated:
    """A finished run's best validation: mean Dice, and by structure; its steps and its minutes."""

    dice: float
    by_structure: Mapping[str, float]
    steps: int
    best_step: int
    minutes: float


@dataclass(frozen=True)
class Row:
    """The runs of one setting, by seed."""

    runs: Mapping[int, Validated]

    @property
    def dice(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(run.dice for run in self.runs.values())

    @property
    def minutes(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(run.minutes for run in self.runs.values())

    def by_structure(self) -> dict[str, float]:
        """Mean over seeds of each structure at the best validation."""
        names = next(iter(self.runs.values())).by_structure
        return {n: statistics.fmean(run.by_structure[n] for run in self.runs.values()) for n in names}

    def less(self, other: Row) -> list[float]:
        """The gain over another row in each seed that both have."""
        return [self.runs[seed].dice - other.runs[seed].dice for seed in self.runs if seed in other.runs]


def read(results: Path, key_of: Callable[[Mapping[str, Any]], str], keys: Sequence[str]) -> dict[str, Row]:
    """Rows by key, in this order. key_of: experiment.json -> its row. `SystemExit` where one has no run."""
    found: dict[str, dict[int, Validated]] = {key: {} for key in keys}
    for run in find_runs(results):
        about = run.read(run.experiment)
        if (key := key_of(about)) in found:
            found[key][about["seed"]] = _validated(run)
    if lacking := [key for key, runs in found.items() if not runs]:
        raise SystemExit(f"{results} has no run of: {'; '.join(lacking)}; run and collect them first")
    return {key: Row(dict(sorted(runs.items()))) for key, runs in found.items()}


def _validated(run: Run) -> Validated:
    status = run.read(run.status)
    at_best = next(row for row in read_rows(run.validation) if int(row["step"]) == status["best_step"])
    own = {name: float(value) for name, value in at_best.items() if name not in ("step", "mean")}
    minutes = status["seconds"] / 60
    return Validated(status["best_validation_dice"], own, status["steps"], status["best_step"], minutes)
