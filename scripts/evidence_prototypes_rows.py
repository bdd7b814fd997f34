"""The rows of the prototype evidence: which run is which, paired tests by slice and by subject, what is noise.

A row is a network, its number of training subjects, and how it was taught: alone, control (trained on), or
with the prototypes of a teacher, A, B or C. A slice's value is the mean over seeds; two rows are compared over
the seeds that both have.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from evidence_prototypes import STUDENTS, TEACHERS

from distilseg.evaluation.significance import Interval, Summary, holm, paired, summarise
from distilseg.report import words
from distilseg.report.comparison import ALPHA, MEAN
from distilseg.report.contenders import METRICS, Contender, contenders
from distilseg.runs import Run, find_runs

DICE = METRICS["dice"]
ALONE, CONTROL = "alone", "control"
WAYS = (ALONE, CONTROL, *TEACHERS)
EVERYONE = 64  # training subjects
LIGHT = "dynunet"  # the network of the low-data curve and of the swap of teachers
SIZES = (8, 16, 32, EVERYONE)
LABELS = {
    "deeplab_v3": "DeepLabv3",
    LIGHT: "light U-Net",
    "swin_unet": "Swin-Unet",
    "missformer": "MISSFormer",
}
# Mean Dice over six abdominal organs: without distillation, teacher of BTCV, teacher of non-contrast CT.
PAPER = {
    "deeplab_v3": (0.806, 0.825, 0.824),
    "swin_unet": (0.811, 0.824, 0.821),
    "missformer": (0.841, 0.842, 0.845),
}


class Row(NamedTuple):
    network: str
    subjects: int
    way: str


Pair = tuple[Row, Row]
# Question -> the pairs that it asks about, first less second; p is corrected within a question.
QUESTIONS: Mapping[str, tuple[Pair, ...]] = {
    "distilled": tuple((Row(n, EVERYONE, "A"), Row(n, EVERYONE, CONTROL)) for n in LABELS),
    "longer": tuple((Row(n, EVERYONE, CONTROL), Row(n, EVERYONE, ALONE)) for n in LABELS),
    "both": tuple((Row(n, EVERYONE, "A"), Row(n, EVERYONE, ALONE)) for n in LABELS),
    "teachers": tuple((Row(LIGHT, EVERYONE, t), Row(LIGHT, EVERYONE, CONTROL)) for t in TEACHERS),
    "swap": tuple((Row(LIGHT, EVERYONE, a), Row(LIGHT, EVERYONE, b)) for a, b in combinations(TEACHERS, 2)),
    "few": tuple((Row(LIGHT, n, "A"), Row(LIGHT, n, CONTROL)) for n in SIZES),
}


@dataclass(frozen=True)
class Test:
    """One row less another, by slice and by subject; p corrected within its question."""

    mean: float
    interval: Interval  # over slices
    slices: int
    p: float
    p_holm: float
    subject_interval: Interval
    subjects: int
    better: int  # subjects whose mean over slices rose
    effect: float  # Cohen's d: mean over standard deviation of the subjects' differences
    p_subject: float
    p_subject_holm: float
    by_seed: tuple[float, ...]
    spread: float  # of mean Dice over seeds, standard deviation, pooled over both rows; NaN of one seed

    @property
    def doubts(self) -> list[str]:
        """Why the difference may be noise; nothing where it is shown, of these seeds."""
        intervals = {"slices": self.interval, "subjects": self.subject_interval}
        corrected = {"slices": self.p_holm, "subjects": self.p_subject_holm}
        found = []
        if over := [name for name, (low, high) in intervals.items() if not low * high > 0]:
            found.append(f"the interval over {' and over '.join(over)} includes 0")
        if over := [name for name, p in corrected.items() if not p < ALPHA]:
            found.append(f"corrected p over {' and over '.join(over)} is not below {ALPHA:g}")
        if abs(self.mean) <= self.spread:
            found.append(f"it is no more than the spread over seeds ({words.number(self.spread, 3)})")
        return found

    @property
    def shown(self) -> str:
        return "none" if self.doubts else "higher" if self.mean > 0 else "lower"

    @property
    def verdict(self) -> str:
        one = "; of one seed, so that how seeds vary is not known" if self.one_seed else ""
        told = f"inside the noise: {'; '.join(self.doubts)}" if self.doubts else f"shown to be {self.shown}"
        return told + one

    @property
    def one_seed(self) -> bool:
        return len(self.by_seed) == 1

    @property
    def size(self) -> str:
        """In Cohen's words, whose bounds are 0.2, 0.5 and 0.8."""
        names = ("negligible", "small", "medium", "large")
        return names[sum(abs(self.effect) >= bound for bound in (0.2, 0.5, 0.8))]

    @property
    def told(self) -> str:
        """The mean with its interval over slices."""
        return f"{signed(self.mean)} ({words.interval(self.interval, DICE)})"


@dataclass(frozen=True)
class Evidence:
    """Each row's runs by their seed; the teachers' runs by their name."""

    rows: Mapping[Row, Mapping[int, Contender]]
    teachers: Mapping[str, Contender]

    @cached_property
    def structures(self) -> tuple[str, ...]:
        """The classes, and last their mean."""
        classes = (name for name, metric in self.any.values if metric == DICE.name)
        return (*dict.fromkeys(classes), MEAN)

    @property
    def any(self) -> Contender:
        """A student, for what all share."""
        return next(iter(next(iter(self.rows.values())).values()))

    def values(self, row: Row, structure: str = MEAN, seeds: Sequence[int] = ()) -> dict[str, float]:
        """Slice -> Dice, the mean over `seeds` (else over all); without slices that lack the structure."""
        tables = [_values(self.rows[row][seed], structure) for seed in seeds or self.rows[row]]
        return {slice: statistics.fmean(table[slice] for table in tables) for slice in tables[0]}

    def score(self, row: Row, structure: str = MEAN) -> Summary:
        return summarise(list(self.values(row, structure).values()))

    def by_seed(self, row: Row) -> dict[int, float]:
        """Mean Dice over slices of each seed."""
        return {seed: statistics.fmean(self.values(row, seeds=[seed]).values()) for seed in self.rows[row]}

    def tests(self, question: str, structure: str = MEAN) -> dict[Pair, Test]:
        """Of a question, each pair whose rows have a seed in common.

        The mean over structures is one question; p of single structures is corrected over all of them.
        """
        there = {
            (a, b): seeds
            for a, b in QUESTIONS[question]
            if (seeds := sorted(self.rows.get(a, {}).keys() & self.rows.get(b, {}).keys()))
        }
        family = [MEAN] if structure == MEAN else self.structures[:-1]
        told = [(pair, s, self._measured(*pair, there[pair], s)) for pair in there for s in family]
        by_slice = holm([each["p"] for _, _, each in told])
        by_subject = holm([each["p_subject"] for _, _, each in told])
        return {
            pair: Test(**each, p_holm=p, p_subject_holm=p_subject)
            for (pair, s, each), p, p_subject in zip(told, by_slice, by_subject, strict=True)
            if s == structure
        }

    def _measured(self, a: Row, b: Row, seeds: Sequence[int], structure: str) -> dict[str, Any]:
        one, other = (self.values(row, structure, seeds) for row in (a, b))
        slices = paired(one, other)
        differences = _by_subject({slice: one[slice] - other[slice] for slice in one.keys() & other.keys()})
        subjects = summarise(differences)
        by_subject = paired(differences, [0.0] * len(differences))
        means = [
            [statistics.fmean(self.values(row, structure, [seed]).values()) for seed in seeds]
            for row in (a, b)
        ]
        return {
            "mean": slices.mean_difference,
            "interval": slices.interval,
            "slices": slices.n,
            "p": slices.p_wilcoxon,
            "subject_interval": by_subject.interval,
            "subjects": subjects.n,
            "better": sum(difference > 0 for difference in differences),
            "effect": subjects.mean / subjects.std if subjects.std else 0.0,
            "p_subject": by_subject.p_wilcoxon,
            "by_seed": tuple(x - y for x, y in zip(*means, strict=True)),
            "spread": _pooled(means),
        }

    @cached_property
    def prototypes(self) -> dict[str, list[float]]:
        """Teacher -> its prototypes, class after class."""
        found = {}
        for row, by_seed in self.rows.items():
            if row.way in TEACHERS:
                run = next(iter(by_seed.values())).runs[0]
                told = run.read(run.experiment)["prototypes"]["prototypes"]
                found[row.way] = [value for of_class in told.values() for value in of_class]
        return dict(sorted(found.items()))

    def alike(self) -> dict[tuple[str, str], float]:
        """Pearson's correlation of two teachers' prototypes over all their entries."""
        return {
            (a, b): statistics.correlation(self.prototypes[a], self.prototypes[b])
            for a, b in combinations(self.prototypes, 2)
        }

    @property
    def waiting(self) -> list[str]:
        """What is not complete: each network and number of subjects, with the seeds that each row has."""
        found = [f"teacher {name}" for name in TEACHERS if name not in self.teachers]
        for student in STUDENTS:
            for subjects in student.subjects:
                teachers = student.teachers if subjects is None else student.teachers[:1]
                rows = [Row(student.network, subjects or EVERYONE, w) for w in (ALONE, CONTROL, *teachers)]
                seeds = {row.way: len(self.rows.get(row, {})) for row in rows}
                if min(seeds.values()) < len(student.seeds):
                    has = ", ".join(f"{way} {n}" for way, n in seeds.items())
                    of = f"of {len(student.seeds)} seed{'s' * (len(student.seeds) > 1)}"
                    found.append(f"{LABELS[student.network]}, {subjects or EVERYONE} subjects ({has}, {of})")
        return found


def read(results: Path) -> Evidence | None:
    """None where no student is there."""
    rows: dict[Row, dict[int, Contender]] = {}
    volumes: list[Run] = []
    for run in find_runs(results):
        about = run.read(run.experiment)
        if about["recipe"] == "supervised":
            volumes.append(run)
            continue
        row = row_of(about)
        (contender,) = contenders([run])
        if about["seed"] in rows.setdefault(row, {}):
            raise SystemExit(f"{row} has two runs of seed {about['seed']}; the second is {run.name}")
        rows[row][about["seed"]] = contender
    order = [Row(n, s, way) for n in LABELS for s in SIZES[::-1] for way in WAYS]
    in_order = {row: dict(sorted(rows[row].items())) for row in order if row in rows}
    return Evidence(in_order, _teachers(volumes)) if in_order else None


def row_of(about: Mapping[str, Any]) -> Row:
    """The row that a student's run belongs to, by its experiment.json."""
    recipe, options = about["recipe"], about["options"]
    if recipe == "prototype_distillation":
        way = Path(options["prototypes"]).stem.removeprefix("prototypes-")
    else:
        way = {"prototype_distillation_student": ALONE, "prototype_distillation_control": CONTROL}[recipe]
    return Row(options["network"], int(about["subjects"]["training"]), way)


def listed(values: Sequence[float]) -> str:
    return ", ".join(map(signed, values))


def signed(value: float) -> str:
    return words.number(value, DICE.decimals, sign=True)


def _teachers(runs: Sequence[Run]) -> dict[str, Contender]:
    """By name: A knows all subjects of the volumes' half, the others parts of them, in order."""
    cases = {run: sorted(case for part in run.read(run.split).values() for case in part) for run in runs}
    everyone = max(cases.values(), key=len, default=[])
    parts = {
        part: everyone[round(low * len(everyone)) : round(high * len(everyone))]
        for part, (low, high) in TEACHERS.items()
    }
    return {
        part: contenders([run])[0] for part, own in parts.items() for run in runs if cases[run] == own and own
    }


def _values(run: Contender, structure: str) -> dict[str, float]:
    """Slice -> Dice, where it holds the structure; MEAN: over the structures that it holds."""
    tables = {
        label: values
        for (label, metric), values in run.values.items()
        if metric == DICE.name and structure in (label, MEAN)
    }
    found: dict[str, list[float]] = {}
    for values in tables.values():
        for slice, value in values.items():
            if math.isfinite(value):
                found.setdefault(slice, []).append(value)
    return {slice: statistics.fmean(own) for slice, own in found.items()}


def _by_subject(values: Mapping[str, float]) -> list[float]:
    """Each subject's mean over slices, which are called SUBJECT-NUMBER."""
    found: dict[str, list[float]] = {}
    for slice in sorted(values):
        found.setdefault(slice.rpartition("-")[0], []).append(values[slice])
    return [statistics.fmean(own) for own in found.values()]


def _pooled(means: Sequence[Sequence[float]]) -> float:
    """Standard deviation over seeds, pooled over rows; NaN of a single seed."""
    if len(means[0]) < 2:
        return math.nan
    return statistics.fmean(statistics.variance(of_row) for of_row in means) ** 0.5
