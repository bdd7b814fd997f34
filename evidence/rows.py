"""Rows: which runs are one line of the tables, and one row less another, tested and in words.

A question is a list of pairs of rows, first less second; p is corrected (Holm) within a question, as
docs/explanation/statistics.md says. Words for a difference follow its test, so that prose which uses them
cannot contradict the file.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distilseg.report import Comparison, Difference, Score, compare_runs, differences, words
from distilseg.report.contenders import METRICS, Contender, Metric, contenders
from distilseg.report.folds import fold_scores
from distilseg.runs import Run, find_runs

Pair = tuple[str, str]
NUMERALS = "none one two three four five six seven eight nine ten eleven twelve".split()


@dataclass(frozen=True)
class Told:
    """A difference in words."""

    difference: Difference
    metric: Metric

    @property
    def outcome(self) -> str:
        """helped, hurt or none."""
        return self.difference.outcome

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
        return corrected(self.difference.p, self.difference.p_holm)

    @property
    def p_t(self) -> str:
        """Of the t-test; in brackets corrected."""
        return corrected(self.difference.p_t, self.difference.p_t_holm)

    @property
    def verdict(self) -> str:
        """At the end of a line: what was shown."""
        return {"helped": "helped", "hurt": "hurt", "none": "no difference shown"}[self.outcome]

    @property
    def compares(self) -> str:
        """What stands between the names of the first and the second."""
        told = {"helped": "was better than", "hurt": "was worse than", "none": "was not shown to differ from"}
        return told[self.outcome]


@dataclass(frozen=True)
class Evidence:
    """The rows of a study by their key, what the tables call them, and what is asked of them."""

    comparison: Comparison
    rows: Mapping[str, Contender]
    labels: Mapping[str, str]
    questions: Mapping[str, Sequence[Pair]]
    _done: dict[Any, Any] = field(default_factory=dict)

    def label(self, row: str) -> str:
        return self.labels[row]

    def about(self, row: str | None = None) -> Any:
        """experiment.json of the row's first run; of the first row."""
        return self._first(row, "experiment")

    def plan(self, row: str | None = None) -> Any:
        return self._first(row, "plan")

    def split(self, row: str | None = None) -> Any:
        return self._first(row, "split")

    def _first(self, row: str | None, name: str) -> Any:
        run = self.rows[row or next(iter(self.rows))].runs[0]
        return run.read(getattr(run, name))

    # Scores and costs

    def score(self, row: str, metric: str = "dice", structure: str | None = None) -> Score:
        return self.comparison.scores[self.rows[row].name, structure or self.comparison.overall, metric]

    def mean(self, row: str, metric: str = "dice") -> str:
        return words.number(self.score(row, metric).mean, METRICS[metric].decimals)

    def scored(self, row: str, metric: str = "dice", structure: str | None = None) -> str:
        """The mean with its interval."""
        return interval_of(self.score(row, metric, structure), METRICS[metric])

    def by_seed(self, row: str, structure: str | None = None) -> dict[int, float]:
        """Mean Dice over cases of each run; of one structure, or of the mean over those that a case has."""
        key = ("by seed", row, structure)
        if key not in self._done:
            means = {}
            for run, seed in zip(self.rows[row].runs, self.rows[row].seeds, strict=True):
                of_case: dict[str, list[float]] = {}
                for (name, metric), values in contenders([run])[0].values.items():
                    for case, value in values.items():
                        if metric == "dice" and structure in (None, self.comparison.overall, name):
                            of_case.setdefault(case, []).extend([value] * math.isfinite(value))
                means[seed] = statistics.fmean(statistics.fmean(own) for own in of_case.values() if own)
            self._done[key] = means
        return self._done[key]

    def noise(self) -> str:
        """Standard deviation of a row's mean Dice over seeds, pooled over rows."""
        seeds = [list(self.by_seed(row).values()) for row in self.rows]
        return words.number(statistics.fmean(statistics.variance(s) for s in seeds if len(s) > 1) ** 0.5, 4)

    def costs(self, row: str) -> dict[str, str]:
        return words.costs(self.rows[row])

    def times(self, first: str, second: str, cost: str) -> float:
        """How many times the second costs what the first does; training_seconds, or a name of cost.json."""
        one, other = (
            row.seconds if cost == "training_seconds" else row.cost[cost]
            for row in (self.rows[first], self.rows[second])
        )
        return float(other / one)

    def command(self, row: str) -> str:
        return words.train_command(self.rows[row], self.about(row))

    def hours(self, rows: Iterable[str]) -> str:
        """Of training, over all runs of these rows."""
        runs = [run for row in rows for run in self.rows[row].runs]
        return f"{sum(run.read(run.status)['seconds'] for run in runs) / 3600:.1f}"

    def best(self, rows: Iterable[str], metric: str = "dice") -> str:
        """The row with the best mean."""
        worst_first = sorted(rows, key=lambda row: self.score(row, metric).mean)
        return worst_first[-1 if METRICS[metric].higher_is_better else 0]

    # Questions

    def tests(
        self, question: str, metric: str = "dice", structure: str | None = None
    ) -> dict[Pair, Difference]:
        """Every pair of a question. The mean over structures is corrected apart from single structures."""
        overall = self.comparison.overall
        family = [overall] if structure in (None, overall) else self.comparison.structures[:-1]
        key = (question, metric, len(family))
        if key not in self._done:
            values = {
                (pair, s): tuple(self.score(row, metric, s).values for row in pair)
                for pair in self.questions[question]
                for s in family
            }
            self._done[key] = differences(values, METRICS[metric])
        return {pair: d for (pair, s), d in self._done[key].items() if s == (structure or overall)}

    def less(self, question: str, first: str, second: str | None = None, metric: str = "dice") -> Told:
        """One pair of a question, by its first row, and its second where several begin so."""
        found = [
            Told(difference, METRICS[metric])
            for (a, b), difference in self.tests(question, metric).items()
            if a == first and second in (None, b)
        ]
        if len(found) != 1:
            raise KeyError(f"{len(found)} pairs of {question} are {first} less {second or 'any'}")
        return found[0]

    def which(self, question: str, outcome: str, among: Iterable[str] = ()) -> list[str]:
        """First rows of the pairs of a question with this outcome; of those `among`, where it is given."""
        pairs = [pair for pair in self.questions[question] if not among or pair[0] in among]
        return [a for a, b in pairs if self.less(question, a, b).outcome == outcome]

    def named(self, question: str, outcome: str, called: Mapping[str, str] | None = None) -> str:
        """The same as a list for a sentence; called: what it calls the rows that count."""
        return listed((called or self.labels)[row] for row in self.which(question, outcome, called or ()))

    def count(self, question: str, outcome: str) -> str:
        """How many of a question's pairs have this outcome, as a word."""
        return numeral(len(self.which(question, outcome)))

    def by_fold(self, first: str, second: str) -> list[float]:
        """One row less another: Dice of each fold."""
        scores, overall = fold_scores(self.comparison), self.comparison.overall
        one, other = (scores[self.rows[row].name, overall, "dice"].means for row in (first, second))
        return [a - b for a, b in zip(one, other, strict=True)]

    def made_with(self) -> str:
        """Versions, number format and threads of the runs."""
        machine, versions = self.about()["machine"], self.about()["versions"]
        return (
            f"distilseg {versions['distilseg']}, PyTorch {versions['torch']}, Python {versions['python']};"
            f" {machine['precision']}, {machine['threads']} thread a run"
        )


def read(
    results: Path,
    row_of: Callable[[Mapping[str, Any]], str | None],
    labels: Mapping[str, str],
    questions: Mapping[str, Sequence[Pair]],
    *,
    metrics: Sequence[str] = ("dice", "hd95", "nsd"),
    kind: type[Evidence] = Evidence,
) -> Evidence:
    """The rows of `labels`, in that order. row_of: experiment.json -> its row; None: not on the page.

    Raises `SystemExit` where a row has no run, or holds runs of several kinds.
    """
    of_run = {run: row for run in find_runs(results) if (row := row_of(run.read(run.experiment))) is not None}
    if lacking := [label for row, label in labels.items() if row not in of_run.values()]:
        raise SystemExit(f"{results} has no run of: {'; '.join(lacking)}; run and collect them first")
    place = {row: n for n, row in enumerate(labels)}

    def order(run: Run) -> tuple[int, int]:
        return place[of_run[run]], run.read(run.experiment)["seed"]

    comparison = compare_runs(sorted(of_run, key=order), metrics=metrics)
    rows = {of_run[contender.runs[0]]: contender for contender in comparison.contenders}
    if len(rows) < len(comparison.contenders):
        told = ", ".join(contender.name for contender in comparison.contenders)
        raise SystemExit(f"some rows hold runs of several kinds: {told}")
    return kind(comparison, {row: rows[row] for row in labels}, labels, questions)


def corrected(p: float, p_holm: float) -> str:
    """p, and in brackets p corrected."""
    one, other = (words.p_value(value).removeprefix("= ") for value in (p, p_holm))
    return f"{one} ({other})"


def interval_of(score: Any, metric: Metric) -> str:
    """A mean with its interval."""
    return (
        f"{words.number(score.mean, metric.decimals)} ({words.interval(score.interval, metric, sign=False)})"
    )


def listed(names: Iterable[str]) -> str:
    """`none`, `a`, `a and b`, `a, b and c`; names that hold commas are kept apart by semicolons."""
    names = list(names)
    if len(names) < 2 or any("," in name for name in names):
        return "; ".join(names) or "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def numeral(n: int) -> str:
    return NUMERALS[n] if n < len(NUMERALS) else str(n)
