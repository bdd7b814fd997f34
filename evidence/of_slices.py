"""Evidence on slices: every difference is tested over slices and again over the subjects that they are of.

Slices of one subject resemble each other. So a difference is shown only where both tests say so and it
exceeds what seeds alone do; everything else lies inside the noise.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from distilseg.evaluation.significance import summarise
from distilseg.report import Difference, Score, words
from distilseg.report.comparison import ALPHA
from distilseg.report.contenders import METRICS, Metric, Values

from .rows import Evidence, Told

DICE = METRICS["dice"]


@dataclass(frozen=True)
class Twice(Told):
    """A difference over slices, which is shown only where that over subjects and the seeds agree."""

    subjects: Difference
    by_seed: list[float]
    spread: float  # of mean Dice over seeds, standard deviation, pooled over both rows; NaN of one seed

    @property
    def doubts(self) -> list[str]:
        """Why it may be noise; nothing where it is shown, of these seeds."""
        tests = {"slices": self.difference, "subjects": self.subjects}
        wide = [name for name, one in tests.items() if not one.interval[0] * one.interval[1] > 0]
        large = [name for name, one in tests.items() if not one.p_holm < ALPHA]
        doubts = {
            f"the interval over {' and over '.join(wide)} includes 0": wide,
            f"corrected p over {' and over '.join(large)} is not below {ALPHA:g}": large,
            f"it is no more than the spread over seeds ({self.spread:.3f})": abs(self.difference.mean)
            <= self.spread,
        }
        return [doubt for doubt, holds in doubts.items() if holds]

    @property
    def outcome(self) -> str:
        early = self.difference.outcome == "early"
        return "none" if self.doubts and not early else self.difference.outcome

    @property
    def brief(self) -> str:
        shown = {"helped": "shown to be higher", "hurt": "shown to be lower", "none": "inside the noise"}
        return shown.get(self.outcome, self.verdict)

    @property
    def whole(self) -> str:
        """With its doubts, and whether there is a seed to compare with."""
        one = "; of one seed, so that how seeds vary is not known" if len(self.by_seed) == 1 else ""
        return f"{self.brief}{': ' if self.doubts else ''}{'; '.join(self.doubts)}{one}"

    @property
    def cells(self) -> list[str]:
        """Of a table: slices, subjects, how many gain, Cohen's d with his word for it, seed by seed."""
        values, over = list(self.subjects.values.values()), Told(self.subjects, DICE)
        effect = self.subjects.mean / statistics.stdev(values)
        size = ("negligible", "small", "medium", "large")[sum(abs(effect) >= d for d in (0.2, 0.5, 0.8))]
        gain = f"{sum(value > 0 for value in values)} of {len(values)}"
        told = f"{words.number(effect, 2, sign=True)}, {size}"
        slices = f"{self.gain} ({self.interval})"
        seeds = ", ".join(words.number(value, 3, sign=True) for value in self.by_seed)
        return [slices, self.p, over.interval, over.p, gain, told, seeds]


class OfSlices(Evidence):
    """Rows of slices, which are called SUBJECT-NUMBER."""

    @cache
    def score(self, row: str, metric: str = "dice", structure: str | None = None) -> Score:
        """Over the slices that hold the structure; for the mean those of the first structure come first.

        The order matters to the bootstrap, which draws by place.
        """
        *single, overall = self.comparison.structures
        parts = single if structure in (None, overall) else [structure]
        scores = [Evidence.score(self, row, metric, one).values for one in parts]
        held = dict.fromkeys(case for of in scores for case, value in of.items() if math.isfinite(value))
        whole = Evidence.score(self, row, metric, structure)
        values = {case: whole.values[case] for case in held}
        summary = summarise(list(values.values()))
        return replace(whole, values=values, mean=summary.mean, interval=summary.interval)

    def _told(self, difference: Difference, metric: Metric, *where: Any) -> Twice:
        question, pair, structure = where
        subjects = self.tests(question, metric.name, structure, over=by_subject)[pair]
        one, other = ([*self.by_seed(row, structure).values()] for row in pair)
        several = len(one) > 1
        spread = statistics.fmean(map(statistics.variance, (one, other))) ** 0.5 if several else math.nan
        return Twice(difference, metric, subjects, [a - b for a, b in zip(one, other, strict=True)], spread)


def by_subject(values: Values) -> Values:
    """Each subject's mean over its slices, which are called SUBJECT-NUMBER."""
    found: dict[str, list[float]] = {}
    for slice in sorted(values):
        found.setdefault(slice.rpartition("-")[0], []).append(values[slice])
    return {subject: statistics.fmean(own) for subject, own in found.items()}
