"""What the pages ask of rows of runs: a row's scores, and paired tests of one less another.

p is corrected (Holm) within a question: the pairs of rows that it asks about.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distilseg.evaluation.significance import Interval, holm, paired
from distilseg.report import Comparison, compare_runs, words
from distilseg.report.comparison import Score, outcome_of
from distilseg.report.contenders import METRICS, Contender, Metric

DICE = METRICS["dice"]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Test:
    """One run less another, by case; p corrected within its question."""

    metric: Metric
    mean: float
    interval: Interval
    n: int
    p: float
    p_holm: float

    @property
    def shown(self) -> str:
        """Better, worse or none: both the interval and the corrected p must say so."""
        return {"helped": "better", "hurt": "worse", "none": "none"}[
            outcome_of(self.interval, self.p_holm, self.metric)
        ]

    @property
    def told(self) -> str:
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        one, other = (words.p_value(p).removeprefix("= ") for p in (self.p, self.p_holm))
        return (
            f"{words.number(self.mean, self.metric.decimals, sign=True)}{unit}"
            f" ({words.interval(self.interval, self.metric)}), p {one} ({other})"
        )


@dataclass(frozen=True)
class Evidence:
    """The rows that are there, by their short name, and what is asked of them."""

    comparison: Comparison
    rows: Mapping[str, Contender]
    questions: Mapping[str, Sequence[Pair]]

    def score(self, row: str, metric: str = "dice", structure: str | None = None) -> Score:
        return self.comparison.scores[self.rows[row].name, structure or self.comparison.overall, metric]

    def mean(self, row: str, metric: str = "dice") -> float:
        return self.score(row, metric).mean

    def cost(self, row: str, name: str) -> float:
        """What cost.json calls so; or seconds of training."""
        contender = self.rows[row]
        return float(contender.seconds or 0.0) if name == "training_seconds" else float(contender.cost[name])

    def by_seed(self, row: str) -> list[float]:
        """Mean Dice of each of its runs."""
        told = []
        for run in self.rows[row].runs:
            alone = compare_runs([run], metrics=["dice"])
            told.append(alone.scores[alone.contenders[0].name, alone.overall, "dice"].mean)
        return told

    def tests(self, question: str, metric: Metric = DICE) -> dict[Pair, Test]:
        """Of a question, each pair whose rows are both there."""
        done = {
            (a, b): paired(self.score(a, metric.name).values, self.score(b, metric.name).values)
            for a, b in self.questions[question]
            if {a, b} <= self.rows.keys()
        }
        corrected = holm([test.p_wilcoxon for test in done.values()])
        return {
            pair: Test(metric, test.mean_difference, test.interval, test.n, test.p_wilcoxon, p)
            for (pair, test), p in zip(done.items(), corrected, strict=True)
        }

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for contender in self.rows.values() for seed in contender.seeds})

    @property
    def noise(self) -> float:
        """Standard deviation of a row's mean Dice over seeds, pooled over rows; 0 of a single seed."""
        spreads = [statistics.variance(means) for row in self.rows if len(means := self.by_seed(row)) > 1]
        return statistics.fmean(spreads) ** 0.5 if spreads else 0.0
