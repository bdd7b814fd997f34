"""The rows of the thickened evidence: which run is which, what it is compared with, and paired tests."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evidence_thickened import STRIDES, THICKNESS, THICKNESSES, row_of

from distilseg.evaluation.significance import Interval, holm, paired
from distilseg.report import Comparison, compare_runs, words
from distilseg.report.comparison import Score, outcome_of
from distilseg.report.contenders import METRICS, Contender, Metric
from distilseg.runs import find_runs

SHOWN = ("dice", "hd95", "slice_similarity")
DICE, SLICES = METRICS["dice"], METRICS["slice_similarity"]
SSA = f"k{THICKNESS}"
SWEEP = tuple(f"k{thickness}" for thickness in THICKNESSES)
VIEWS = (SSA, "coronal", "sagittal")
STRIDED = tuple(f"stride{stride}" for stride in STRIDES)
RIVALS = ("dynunet_steps", "dynunet_time", "dynunet_fused")
LABELS = {
    **{f"k{k}": f"axial, {k} slice{'s' * (k > 1)}" for k in THICKNESSES},
    **{f"groupk{k}": f"axial, {k} slices, queries of each group" for k in THICKNESSES[1:]},
    "groupcoronal": f"coronal, {THICKNESS} slices, queries of each group",
    "groupsagittal": f"sagittal, {THICKNESS} slices, queries of each group",
    **{f"stride{s}": f"axial, {THICKNESS} slices, windows {s} apart" for s in STRIDES},
    "plain": f"axial, {THICKNESS} slices as channels",
    "esm": "axial, multiplexing alone",
    "concat": "axial, multiplexing and concatenation",
    "dot": "axial, multiplexing and product",
    "coronal": f"coronal, {THICKNESS} slices",
    "sagittal": f"sagittal, {THICKNESS} slices",
    "fused": "three views, by vote",
    "dynunet_steps": "3D DynUNet: cost of a view, as many steps",
    "dynunet_time": "3D DynUNet: cost of a view, time of a view",
    "dynunet_fused": "3D DynUNet: cost and time of three views",
}
# Question -> the pairs that it asks about, first less second; p is corrected within a question.
QUESTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "thickness": tuple((row, "k1") for row in SWEEP[1:]),
    "wiring": tuple((row, f"group{row}") for row in (*SWEEP[1:], *VIEWS[1:])),
    "strides": tuple((row, SSA) for row in STRIDED),
    "parts": (("esm", "plain"), (SSA, "esm"), (SSA, "plain"), (SSA, "concat"), (SSA, "dot")),
    "views": tuple(("fused", view) for view in VIEWS),
    "3D": ((SSA, "dynunet_steps"), (SSA, "dynunet_time"), ("fused", "dynunet_fused")),
}
# Dice of the superior mesenteric artery in percent, three views fused.
PAPER_SWEEP = {3: 72.61, 6: 73.21, 9: 74.05, 12: 74.17, 15: 74.55, 18: 73.61, 21: 74.17, 24: 73.78}
PAPER_PARTS = {"plain": 71.07, "esm": 73.63, "concat": 73.07, "dot": 73.74, SSA: 74.17}


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

    def tests(self, question: str, metric: Metric = DICE) -> dict[tuple[str, str], Test]:
        """Of a question, each pair whose rows are both there."""
        done = {
            (a, b): paired(self.score(a, metric.name).values, self.score(b, metric.name).values)
            for a, b in QUESTIONS[question]
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
    def waiting(self) -> list[str]:
        """Labels of rows that are not there, or of which a seed is not."""
        return [
            label
            for row, label in LABELS.items()
            if row not in self.rows
            or (len(self.rows[row].seeds) < len(self.seeds) and not row.startswith("group"))
        ]

    @property
    def noise(self) -> float:
        """Standard deviation of a row's mean Dice over seeds, pooled over rows; 0 of a single seed."""
        spreads = [statistics.variance(means) for row in self.rows if len(means := self.by_seed(row)) > 1]
        return statistics.fmean(spreads) ** 0.5 if spreads else 0.0


def read(results: Path) -> Evidence | None:
    """None where fewer than two rows are there."""
    runs = find_runs(results)
    steps = max((int(run.read(run.experiment)["budget"]["steps"]) for run in runs), default=0)
    of_run = {run: row_of(run.read(run.experiment), steps) for run in runs}
    if len(set(of_run.values())) < 2:
        return None
    order: Sequence[str] = list(LABELS)
    runs = sorted(runs, key=lambda run: (order.index(of_run[run]), run.read(run.experiment)["seed"]))
    comparison = compare_runs(runs, metrics=SHOWN)
    rows = {of_run[contender.runs[0]]: contender for contender in comparison.contenders}
    if len(rows) < len(comparison.contenders):
        raise SystemExit(
            "some rows hold runs of several kinds: " + ", ".join(c.name for c in comparison.contenders)
        )
    return Evidence(comparison, rows)
