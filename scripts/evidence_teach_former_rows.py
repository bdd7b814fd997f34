"""The rows of the Teach-Former evidence: which run is which, what the paper has for it, and paired tests."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilseg.evaluation.significance import Interval, holm, paired
from distilseg.report import Comparison, compare_runs, words
from distilseg.report.comparison import outcome_of
from distilseg.report.contenders import METRICS, Contender
from distilseg.report.folds import fold_scores
from distilseg.runs import Run, find_runs

FOLDS = 3
DICE = METRICS["dice"]

LABELS = {
    "T1": "T1 H-DenseFormer",
    "T2": "T2 Swin UNETR, truncated",
    "T3": "T3 UNETR",
    "control": "light control",
    "t1": "taught by T1",
    "t2": "taught by T2",
    "t3": "taught by T3",
    "t12": "taught by T1+T2",
    "t13": "taught by T1+T3",
    "t23": "taught by T2+T3",
    "t123": "taught by all three",
    "afs": "all three, AFS only",
    "pwd": "all three, PWD only",
}
TEACHERS, STUDENTS = ("T1", "T2", "T3"), tuple(LABELS)[4:]
UNDISTILLED = {"h_denseformer": "T1", "swin_unetr": "T2", "unetr": "T3", "h_denseformer_light": "control"}
# Dice in percent on the test cases of HECKTOR21, with the light H-DenseFormer as student.
PAPER = {
    "T1": 75.88, "T2": 71.99, "T3": 64.78, "control": 72.45, "t1": 75.88, "t2": 76.15, "t3": 73.26,
    "t12": 74.72, "t13": 75.37, "t23": 76.75, "t123": 76.58, "afs": 73.27, "pwd": 74.12,
}  # fmt: skip
# Millions of parameters, and "GFLOPs" of a volume of 144³ as thop counts them.
PAPER_COST = {"T1": (11.38, 960.38), "T2": (5.38, 280.91), "T3": (95.76, 282.18), "control": (1.53, 62.73)}


@dataclass(frozen=True)
class Test:
    """One run less another, by case; p by both tests, each corrected within its table."""

    mean: float
    interval: Interval
    n: int
    p: float
    p_holm: float
    t: float
    t_holm: float

    @property
    def shown(self) -> str:
        """Helped, hurt or none: both the interval and the corrected Wilcoxon p must say so."""
        return outcome_of(self.interval, self.p_holm, DICE)

    @property
    def told(self) -> str:
        return (
            f"{signed(self.mean)} (95 % interval {words.interval(self.interval, DICE)},"
            f" Wilcoxon p {corrected(self.p, self.p_holm)}, t-test p {corrected(self.t, self.t_holm)})"
        )


def tests(pairs: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, Test]:
    """Each first less its second, corrected for their number (Holm)."""
    done = {key: paired(first, second) for key, (first, second) in pairs.items()}
    wilcoxon = holm([test.p_wilcoxon for test in done.values()])
    students = holm([test.p_t for test in done.values()])
    return {
        key: Test(test.mean_difference, test.interval, test.n, test.p_wilcoxon, p, test.p_t, t)
        for (key, test), p, t in zip(done.items(), wilcoxon, students, strict=True)
    }


@dataclass(frozen=True)
class Evidence:
    """The complete rows, by their short name, and what is asked of them."""

    comparison: Comparison
    rows: Mapping[str, Contender]
    waiting: Sequence[str]  # labels of rows with folds missing

    def values(self, row: str, metric: str = "dice") -> Mapping[str, float]:
        return self.comparison.scores[self.rows[row].name, self.comparison.overall, metric].values

    def mean(self, row: str) -> float:
        return statistics.fmean(self.values(row).values())

    def against(self, row: str, others: Sequence[str]) -> dict[str, Test]:
        """`row` less each of the others."""
        return tests({o: (self.values(row), self.values(o)) for o in others if {row, o} <= self.rows.keys()})

    def over(self, rows: Sequence[str], other: str) -> dict[str, Test]:
        """Each of the rows less the other."""
        return tests(
            {r: (self.values(r), self.values(other)) for r in rows if {r, other} <= self.rows.keys()}
        )

    def by_fold(self, row: str, other: str) -> list[float]:
        scores = fold_scores(self.comparison)
        own, theirs = (scores[self.rows[r].name, self.comparison.overall, "dice"].means for r in (row, other))
        return [a - b for a, b in zip(own, theirs, strict=True)]


def read(results: Path) -> Evidence | None:
    """Rows of which every fold is there; None if the control or all others are not."""
    by_row: dict[str, list[Run]] = {}
    for run in find_runs(results):
        by_row.setdefault(row_of(run.read(run.experiment)), []).append(run)
    complete = {row: by_row[row] for row in LABELS if len(by_row.get(row, ())) >= FOLDS}
    if "control" not in complete or len(complete) < 2:
        return None
    comparison = compare_runs([run for runs in complete.values() for run in runs])
    rows = {row_of(c.runs[0].read(c.runs[0].experiment)): c for c in comparison.contenders}
    if len(rows) < len(comparison.contenders):
        raise SystemExit(
            "some rows hold runs of several kinds: " + ", ".join(c.name for c in comparison.contenders)
        )
    waiting = [LABELS[row] for row in LABELS if row not in complete]
    return Evidence(comparison, {row: rows[row] for row in LABELS if row in rows}, waiting)


def row_of(about: Mapping[str, Any]) -> str:
    recipe = str(about["recipe"])
    if recipe == "teach_former_control":
        return UNDISTILLED[about["options"]["student"]]
    return recipe.removeprefix("teach_former_") if recipe != "teach_former" else "t123"


def signed(value: float) -> str:
    return words.number(value, 3, sign=True)


def corrected(p: float, p_holm: float) -> str:
    """p, and in brackets p corrected."""
    one, other = (words.p_value(value).removeprefix("= ") for value in (p, p_holm))
    return f"{one} ({other})"


def points(row: str, other: str) -> str:
    """The paper's difference, in points of Dice."""
    return words.number(PAPER[row] - PAPER[other], 2, sign=True)


def listed(values: Sequence[float]) -> str:
    return ", ".join(map(signed, values))
