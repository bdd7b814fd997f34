"""Cross-validation: the mean over the cases of each fold, and their mean and spread.

The runs of a contender that tested different cases are its folds; several seeds of one fold are averaged case
by case before. The spread over folds is no interval: folds share most of their training cases, so it says how
much the result depends on which cases were held out, and nothing about chance. What is certain is told by the
paired differences over all held-out cases.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from .comparison import Comparison, natural
from .contenders import Contender


@dataclass(frozen=True)
class FoldScore:
    """One metric of one structure of a contender, fold by fold."""

    means: tuple[float, ...]  # over the cases of each fold that have a value; NaN where none has

    @property
    def mean(self) -> float:
        """Over folds."""
        known = [value for value in self.means if math.isfinite(value)]
        return statistics.fmean(known) if known else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation over folds."""
        known = [value for value in self.means if math.isfinite(value)]
        return statistics.stdev(known) if len(known) > 1 else math.nan


def folds_of(contender: Contender) -> list[frozenset[str]]:
    """The cases that each fold tested; one set where there are no folds.

    In the order of their first cases, so that the n-th fold is the same for every contender.
    """
    return sorted(set(contender.tested), key=lambda cases: sorted(map(natural, cases)))


def has_folds(comparison: Comparison) -> bool:
    """Whether any contender was cross-validated."""
    return any(len(folds_of(contender)) > 1 for contender in comparison.contenders)


def fold_scores(comparison: Comparison) -> dict[tuple[str, str, str], FoldScore]:
    """(contender, structure, metric) -> its folds, for every score of a cross-validated contender."""
    found = {}
    for (name, structure, metric), score in comparison.scores.items():
        folds = folds_of(comparison.contender(name))
        if len(folds) > 1:
            means = []
            for cases in folds:
                values = [v for case, v in score.values.items() if case in cases and math.isfinite(v)]
                means.append(statistics.fmean(values) if values else math.nan)
            found[name, structure, metric] = FoldScore(tuple(means))
    return found
