"""Rows: which runs are one line of the tables, and one row less another, tested and in words.

A question is a list of pairs of rows, first less second; p is corrected (Holm) within a question, as
docs/explanation/statistics.md says. Words for a difference follow its test, so that prose which uses them
cannot contradict the file.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from distilseg.report import RELEVANT, Comparison, Difference, Score, compare_runs, differences, words
from distilseg.report.contenders import METRICS, Contender, Metric, Values, contenders
from distilseg.report.folds import fold_scores
from distilseg.report.learned import too_early
from distilseg.runs import Run, find_runs

Pair = tuple[str, str]
Found = TypeVar("Found", bound="Evidence")
VERDICTS = {
    "helped": "helped",
    "hurt": "hurt",
    "small": f"shown, but smaller than {RELEVANT:g}",
    "none": "no difference shown",
    "early": "too early to say",
}
COMPARES = {
    "helped": "was better than",
    "hurt": "was worse than",
    "small": "was hardly different from",
    "none": "was not shown to differ from",
    "early": "cannot yet be compared with",
}
NUMERALS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")


@dataclass(frozen=True)
class Told:
    """A difference in words."""

    difference: Difference
    metric: Metric

    @property
    def outcome(self) -> str:
        """What may be said of it: a key of `VERDICTS`."""
        return self.difference.outcome

    @property
    def verdict(self) -> str:
        return VERDICTS[self.outcome]

    @property
    def compares(self) -> str:
        """What stands between the names of the first and the second."""
        return COMPARES[self.outcome]

    @property
    def gain(self) -> str:
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        return words.number(self.difference.mean, self.metric.decimals, sign=True) + unit

    @property
    def interval(self) -> str:
        return words.interval(self.difference.interval, self.metric)

    @property
    def p(self) -> str:
        """Of Wilcoxon's test; in brackets corrected."""
        return f"{p_of(self.difference.p)} ({p_of(self.difference.p_holm)})"

    @property
    def p_t(self) -> str:
        """Of the t-test; in brackets corrected."""
        return f"{p_of(self.difference.p_t)} ({p_of(self.difference.p_t_holm)})"


@dataclass(frozen=True, eq=False)
class Evidence:
    """The rows of a study by their key, what the tables call them, and what is asked of them."""

    comparison: Comparison
    rows: Mapping[str, Contender]
    labels: Mapping[str, str]
    questions: Mapping[str, Sequence[Pair]]

    def about(self, row: str | None = None, file: str = "experiment") -> Any:
        """A JSON file of the row's first run; of the first row."""
        run = self.rows[row or next(iter(self.rows))].runs[0]
        return run.read(getattr(run, file))

    def score(self, row: str, metric: str = "dice", structure: str | None = None) -> Score:
        return self.comparison.scores[self.rows[row].name, structure or self.comparison.overall, metric]

    def scored(self, row: str, metric: str = "dice", structure: str | None = None) -> str:
        """The mean with its interval."""
        return interval_of(self.score(row, metric, structure), METRICS[metric])

    def best(self, rows: Iterable[str], metric: str = "dice") -> str:
        """The row with the best mean."""
        pick = max if METRICS[metric].higher_is_better else min
        return pick(rows, key=lambda row: self.score(row, metric).mean)

    @cache
    def by_seed(self, row: str, structure: str | None = None) -> dict[int, float]:
        """Mean Dice over cases of each run; of one structure, or of the mean over those that a case has."""
        means = {}
        for run, seed in zip(self.rows[row].runs, self.rows[row].seeds, strict=True):
            of_case: dict[str, list[float]] = {}
            for (name, metric), values in contenders([run])[0].values.items():
                if metric == "dice" and structure in (None, self.comparison.overall, name):
                    for case, value in values.items():
                        of_case.setdefault(case, []).extend([value] * math.isfinite(value))
            means[seed] = statistics.fmean(statistics.fmean(own) for own in of_case.values() if own)
        return means

    def by_shared_seed(self, first: str, second: str) -> list[float]:
        """One row less another: mean Dice of each seed that both have."""
        one, other = self.by_seed(first), self.by_seed(second)
        return [mean - other[seed] for seed, mean in one.items() if seed in other]

    def noise(self) -> str:
        """Standard deviation of a row's mean Dice over seeds, pooled over rows."""
        seeds = [list(self.by_seed(row).values()) for row in self.rows]
        return words.number(statistics.fmean(statistics.variance(s) for s in seeds if len(s) > 1) ** 0.5, 4)

    def by_fold(self, first: str, second: str) -> list[float]:
        """One row less another: Dice of each fold."""
        scores, overall = fold_scores(self.comparison), self.comparison.overall
        one, other = (scores[self.rows[row].name, overall, "dice"].means for row in (first, second))
        return [a - b for a, b in zip(one, other, strict=True)]

    def costs(self, row: str) -> dict[str, str]:
        return words.costs(self.rows[row])

    def times(self, first: str, second: str, cost: str) -> float:
        """How many times the second costs what the first does; cost: its name in cost.json."""
        return float(self.rows[second].cost[cost] / self.rows[first].cost[cost])

    def command(self, row: str) -> str:
        return words.train_command(self.rows[row], self.about(row))

    def budget(self, rows: Iterable[str]) -> str:
        return budget_of(run for row in rows for run in self.rows[row].runs)

    def made_with(self) -> str:
        """Versions, number format and threads of the runs."""
        machine, versions = self.about()["machine"], self.about()["versions"]
        software = {"distilseg": "distilseg", "PyTorch": "torch", "Python": "python"}
        told = ", ".join(f"{name} {versions[key]}" for name, key in software.items())
        return f"{told}; {machine['precision']}, {machine['threads']} thread a run"

    def tests(
        self,
        question: str,
        metric: str = "dice",
        structure: str | None = None,
        over: Callable[[Values], Values] = dict,
    ) -> dict[Pair, Difference]:
        """Every pair of a question. The mean over structures is corrected apart from single structures.

        over: values by case as those that are compared, such as means over the cases of a subject.
        """
        *single, overall = self.comparison.structures
        family = (overall,) if structure in (None, overall) else tuple(single)
        tested = self._tested(question, metric, family, over)
        return {pair: d for (pair, of), d in tested.items() if of == (structure or overall)}

    @cache
    def _tested(
        self, question: str, metric: str, family: tuple[str, ...], over: Callable[[Values], Values]
    ) -> dict[tuple[Pair, str], Difference]:
        keys = [(pair, structure) for pair in self.questions[question] for structure in family]
        values = {
            ((a, b), s): (over(self.score(a, metric, s).values), over(self.score(b, metric, s).values))
            for (a, b), s in keys
        }
        early = {(a, b) for (a, b), _ in values if too_early(self.rows[a], self.rows[b])}
        return {
            key: replace(difference, outcome="early") if key[0] in early else difference
            for key, difference in differences(values, METRICS[metric]).items()
        }

    def less(
        self,
        question: str,
        first: str,
        second: str | None = None,
        metric: str = "dice",
        structure: str | None = None,
    ) -> Told:
        """One pair of a question, by its first row, and its second where several begin so."""
        tests = self.tests(question, metric, structure)
        (pair,) = (pair for pair in tests if pair[0] == first and second in (None, pair[1]))
        return self._told(tests[pair], METRICS[metric], question, pair, structure)

    def _told(self, difference: Difference, metric: Metric, *where: Any) -> Told:
        """where: question, pair and structure, for studies that ask more of a difference than its test."""
        return Told(difference, metric)

    def all_less(self, question: str) -> dict[str, Told]:
        """Every pair of a question, by its first row."""
        return {a: self.less(question, a, b) for a, b in self.questions[question]}

    def all_by_fold(self, question: str) -> dict[str, list[float]]:
        """The same fold by fold."""
        return {a: self.by_fold(a, b) for a, b in self.questions[question]}

    def which(self, question: str, outcome: str, among: Iterable[str] = ()) -> list[str]:
        """First rows of the pairs of a question with this outcome; of those `among`, where it is given."""
        pairs = [pair for pair in self.questions[question] if not among or pair[0] in among]
        return [a for a, b in pairs if self.less(question, a, b).outcome == outcome]

    def named(self, question: str, outcome: str, called: Mapping[str, str] | None = None) -> str:
        """The same as a list for a sentence; called: what it calls the rows that count."""
        return listed((called or self.labels)[row] for row in self.which(question, outcome, called or ()))

    def count(self, question: str, outcome: str) -> str:
        """How many, as a word."""
        return numeral(len(self.which(question, outcome)))


def read(
    results: Path,
    row_of: Callable[[Mapping[str, Any]], str | None],
    labels: Mapping[str, str],
    questions: Mapping[str, Sequence[Pair]],
    *,
    kind: Callable[..., Found] = Evidence,  # type: ignore[assignment]
    metrics: Sequence[str] = ("dice", "hd95", "nsd"),
) -> Found:
    """The rows of `labels`, in that order. row_of: experiment.json -> its row; None: not on the page.

    Raises `SystemExit` where a row has no run, or holds runs of several kinds.
    """
    of_run = {run: row for run in find_runs(results) if (row := row_of(run.read(run.experiment))) is not None}
    if lacking := [label for row, label in labels.items() if row not in of_run.values()]:
        raise SystemExit(f"{results} has no run of: {'; '.join(lacking)}; run and collect them first")
    place = {row: n for n, row in enumerate(labels)}
    runs = sorted(of_run, key=lambda run: (place[of_run[run]], run.read(run.experiment)["seed"]))
    comparison = compare_runs(runs, metrics=metrics)
    rows = {of_run[contender.runs[0]]: contender for contender in comparison.contenders}
    if len(rows) < len(comparison.contenders):
        told = ", ".join(contender.name for contender in comparison.contenders)
        raise SystemExit(f"some rows hold runs of several kinds: {told}")
    return kind(comparison, {row: rows[row] for row in labels}, labels, questions)


def budget_of(runs: Iterable[Run]) -> str:
    """What the runs took together."""
    seconds = [status_of(run)["seconds"] for run in runs]
    return f"{len(seconds)} runs, {sum(seconds) / 3600:.1f} hours of training in all"


def status_of(run: Run) -> Any:
    return run.read(run.status)


def interval_of(score: Any, metric: Metric) -> str:
    """A mean with its interval, marked where it is incomplete."""
    mean = words.number(score.mean, metric.decimals)
    told = words.interval(score.interval, metric, sign=False)
    return f"{mean} ({told}){words.mark(score, metric)}"


def p_of(p: float) -> str:
    return words.p_value(p).removeprefix("= ")


def listed(names: Iterable[str]) -> str:
    """`none`, `a`, `a and b`, `a, b and c`; names that hold commas are kept apart by semicolons."""
    names = list(names)
    if len(names) < 2 or any("," in name for name in names):
        return "; ".join(names) or "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def numeral(n: int) -> str:
    return NUMERALS[n] if n < len(NUMERALS) else str(n)
