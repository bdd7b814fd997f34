"""A network, its number of training subjects, and how it was taught: alone, control (trained on), or by A, B or C.

Slices of one subject resemble each other. So a difference is tested twice, over slices and over subjects, and is shown
only where both say so and it exceeds what seeds alone do; everything else lies inside the noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from distilseg.evaluation.significance import summarise
from distilseg.report import Difference, Score, differences, words
from distilseg.report.comparison import ALPHA
from distilseg.report.contenders import METRICS, Contender, contenders
from distilseg.runs import Run, find_runs

from ..rows import Evidence, Pair, Told, interval_of
from ..rows import read as read_rows
from .jobs import STUDENTS, TEACHERS

DICE = METRICS["dice"]
EVERYONE = 64  # training subjects
LIGHT = "dynunet"  # the network of the low-data curve and of the swap of teachers
SIZES = (8, 16, 32, EVERYONE)
NETWORKS = {
    "deeplab_v3": "DeepLabv3",
    LIGHT: "light U-Net",
    "swin_unet": "Swin-Unet",
    "missformer": "MISSFormer",
}
WAYS = {"alone": "alone", "control": "control", **{name: f"prototypes of {name}" for name in TEACHERS}}
LABELS = {
    f"{student.network} {subjects or EVERYONE} {way}": f"{label}, {said}"
    for network, label in NETWORKS.items()
    for student in STUDENTS
    if student.network == network
    for subjects in student.subjects[::-1]
    for way, said in WAYS.items()
    if way in ("alone", "control", *(student.teachers if subjects is None else student.teachers[:1]))
}
QUESTIONS = {
    "distilled": [(f"{n} {EVERYONE} A", f"{n} {EVERYONE} control") for n in NETWORKS],
    "longer": [(f"{n} {EVERYONE} control", f"{n} {EVERYONE} alone") for n in NETWORKS],
    "both": [(f"{n} {EVERYONE} A", f"{n} {EVERYONE} alone") for n in NETWORKS],
    "teachers": [(f"{LIGHT} {EVERYONE} {t}", f"{LIGHT} {EVERYONE} control") for t in TEACHERS],
    "swap": [tuple(f"{LIGHT} {EVERYONE} {t}" for t in two) for two in combinations(TEACHERS, 2)],
    "few": [(f"{LIGHT} {n} A", f"{LIGHT} {n} control") for n in SIZES],
}
# Mean Dice over six abdominal organs: without distillation, teacher of BTCV, teacher of non-contrast CT.
PAPER = {
    "deeplab_v3": (0.806, 0.825, 0.824),
    "swin_unet": (0.811, 0.824, 0.821),
    "missformer": (0.841, 0.842, 0.845),
}


@dataclass(frozen=True)
class Twice(Told):
    """A difference over slices, which is shown only where that over subjects and the seeds agree."""

    subjects: Difference
    by_seed: tuple[float, ...]
    spread: float  # of mean Dice over seeds, standard deviation, pooled over both rows; NaN of one seed

    @property
    def doubts(self) -> list[str]:
        """Why it may be noise; nothing where it is shown, of these seeds."""
        tests = {"slices": self.difference, "subjects": self.subjects}
        found = []
        if over := [name for name, one in tests.items() if not one.interval[0] * one.interval[1] > 0]:
            found.append(f"the interval over {' and over '.join(over)} includes 0")
        if over := [name for name, one in tests.items() if not one.p_holm < ALPHA]:
            found.append(f"corrected p over {' and over '.join(over)} is not below {ALPHA:g}")
        if abs(self.difference.mean) <= self.spread:
            found.append(f"it is no more than the spread over seeds ({words.number(self.spread, 3)})")
        return found

    @property
    def outcome(self) -> str:
        return "none" if self.doubts else "helped" if self.difference.mean > 0 else "hurt"

    @property
    def brief(self) -> str:
        return {"helped": "shown to be higher", "hurt": "shown to be lower", "none": "inside the noise"}[
            self.outcome
        ]

    @property
    def whole(self) -> str:
        """With its doubts, and whether there is a seed to compare with."""
        one = "; of one seed, so that how seeds vary is not known" if len(self.by_seed) == 1 else ""
        return ": ".join([self.brief, *(["; ".join(self.doubts)] if self.doubts else [])]) + one

    @property
    def p_corrected(self) -> str:
        return words.p_value(self.difference.p_holm).removeprefix("= ")

    @property
    def p_subjects(self) -> str:
        return words.p_value(self.subjects.p_holm).removeprefix("= ")

    @property
    def cells(self) -> list[str]:
        """Of a table: slices, subjects, how many gain, the effect in Cohen's words, seed by seed."""
        values = list(self.subjects.values.values())
        effect = self.subjects.mean / statistics.stdev(values) if statistics.stdev(values) else 0.0
        size = ("negligible", "small", "medium", "large")[
            sum(abs(effect) >= bound for bound in (0.2, 0.5, 0.8))
        ]
        over = Told(self.subjects, DICE)
        gain = sum(value > 0 for value in values)
        return [
            f"{self.gain} ({self.interval})", self.p, over.interval, over.p, f"{gain} of {len(values)}",
            f"{words.number(effect, 2, sign=True)}, {size}",
            ", ".join(words.number(one, 3, sign=True) for one in self.by_seed),
        ]  # fmt: skip


class Prototypes(Evidence):
    """Rows of slices, and beside them the teachers of volumes."""

    @property
    def teachers(self) -> dict[str, Contender]:
        """By name: A knows all subjects of the volumes' half, the others parts of them, in order."""
        every = find_runs(next(iter(self.rows.values())).runs[0].folder.parent)
        runs = [run for run in every if row_of(run.read(run.experiment)) is None]
        cases: dict[Run, list[str]] = {run: sorted(sum(run.read(run.split).values(), [])) for run in runs}
        everyone = max(cases.values(), key=len)
        of = {name: [round(share * len(everyone)) for share in part] for name, part in TEACHERS.items()}
        return {
            n: contenders([run])[0] for n, (a, b) in of.items() for run in runs if cases[run] == everyone[a:b]
        }

    @property
    def prototypes(self) -> dict[str, list[float]]:
        """A teacher's prototypes, class after class."""
        told = {
            name: self.about(f"{LIGHT} {EVERYONE} {name}")["prototypes"]["prototypes"] for name in TEACHERS
        }
        return {name: [value for own in classes.values() for value in own] for name, classes in told.items()}

    def score(self, row: str, metric: str = "dice", structure: str | None = None) -> Score:
        """Over the slices that hold the structure, for the mean those of the first structure first.

        The order matters to the bootstrap, which draws by place.
        """
        key = ("score", row, metric, structure)
        if key not in self._done:
            whole = super().score(row, metric, structure)
            single = (
                [structure]
                if structure not in (None, self.comparison.overall)
                else self.comparison.structures[:-1]
            )
            held = [Evidence.score(self, row, metric, one).values for one in single]
            order = dict.fromkeys(
                case for values in held for case, value in values.items() if math.isfinite(value)
            )
            values = {case: whole.values[case] for case in order}
            summary = summarise(list(values.values()))
            self._done[key] = replace(whole, values=values, mean=summary.mean, interval=summary.interval)
        return self._done[key]

    def twice(
        self, question: str, first: str, second: str | None = None, structure: str | None = None
    ) -> Twice:
        slices = self.tests(question, structure=structure)
        pair = next(p for p in slices if p[0] == first and second in (None, p[1]))
        subjects = self._subjects(question, structure)[pair]
        seeds = [self.by_seed(row, structure) for row in pair]
        by_seed = tuple(seeds[0][seed] - seeds[1][seed] for seed in seeds[0])
        several = len(by_seed) > 1
        spread = (
            statistics.fmean(statistics.variance(s.values()) for s in seeds) ** 0.5 if several else math.nan
        )
        return Twice(slices[pair], DICE, subjects, by_seed, spread)

    def _subjects(self, question: str, structure: str | None) -> dict[Pair, Difference]:
        """The same differences, each subject's slices averaged first; slices are called SUBJECT-NUMBER."""
        overall = self.comparison.overall
        family = [overall] if structure in (None, overall) else self.comparison.structures[:-1]
        key = ("subjects", question, len(family))
        if key not in self._done:
            pairs = {}
            for one in family:
                for pair, difference in self.tests(question, structure=one).items():
                    of: dict[str, list[float]] = {}
                    for slice in sorted(difference.values):
                        of.setdefault(slice.rpartition("-")[0], []).append(difference.values[slice])
                    means = {subject: statistics.fmean(values) for subject, values in of.items()}
                    pairs[pair, one] = (means, dict.fromkeys(means, 0.0))
            self._done[key] = differences(pairs, DICE)
        return {pair: d for (pair, one), d in self._done[key].items() if one == (structure or overall)}

    def less(self, question: str, first: str, second: str | None = None, metric: str = "dice") -> Told:
        return self.twice(question, first, second)


def row_of(about: Mapping[str, Any]) -> str | None:
    """The row of a student's run; None of a teacher's."""
    recipe, options = about["recipe"], about["options"]
    if recipe == "supervised":
        return None
    way = {"prototype_distillation_student": "alone", "prototype_distillation_control": "control"}.get(recipe)
    way = way or Path(options["prototypes"]).stem.removeprefix("prototypes-")
    return f"{options['network']} {about['subjects']['training']} {way}"


def read(results: Path) -> Prototypes:
    found = read_rows(results, row_of, LABELS, QUESTIONS, metrics=["dice"], kind=Prototypes)
    assert isinstance(found, Prototypes)
    return found


def names(found: Prototypes) -> dict[str, Any]:
    """Parts of rows, the teachers with their prototypes, and what was trained on whom."""
    taught, entries = found.teachers, found.prototypes
    most, least = (found.score(f"{LIGHT} {n} control").mean for n in (EVERYONE, SIZES[0]))
    costly = {f"teacher {name}, 3D": one for name, one in taught.items()}
    costly |= {found.label(row): one for row, one in found.rows.items() if row.split()[1] == str(EVERYONE)}
    split, every = found.split(), [*found.rows.values(), *found.teachers.values()]
    return {
        "networks": NETWORKS,
        "everyone": EVERYONE,
        "light": LIGHT,
        "sizes": SIZES,
        "paper": PAPER,
        "subjects_of": lambda row: row.split()[1],
        "row": lambda network, way, subjects=EVERYONE: f"{network} {subjects} {way}",
        "called": {f"{network} {EVERYONE} A": label for network, label in NETWORKS.items()},
        "longer": {f"{network} {EVERYONE} control": label for network, label in NETWORKS.items()},
        "taught": taught,
        "taught_on": {
            name: len(one.runs[0].read(one.runs[0].split)["train"]) for name, one in taught.items()
        },
        "on_volumes": {name: _on_volumes(teacher) for name, teacher in taught.items()},
        "alike": lambda a, b: (
            "" if a == b else words.number(statistics.correlation(entries[a], entries[b]), 3)
        ),
        "judges": len({slice.rpartition("-")[0] for slice in split["test"]}),
        "runs": sum(len(contender.runs) for contender in every),
        "all_hours": sum(run.read(run.status)["seconds"] for one in every for run in one.runs) / 3600,
        "costs_of": {name: words.costs(contenders(one.runs[:1])[0]) for name, one in costly.items()},
        "trained_for": {name: words.duration(one.seconds) for name, one in costly.items()},
        "paper_inside": [
            NETWORKS[network]
            for network, (none, *gained) in PAPER.items()
            for low, high in [found.twice("distilled", f"{network} {EVERYONE} A").subjects.interval]
            if low <= max(gained) - none <= high
        ],
        "few": {f"{LIGHT} {n} A": str(n) for n in SIZES},
        "best_gain": max(SIZES, key=lambda n: found.twice("few", f"{LIGHT} {n} A").difference.mean),
        "more_subjects": words.number(most - least, 3, sign=True),
        "by_slice_alone": [
            f"{found.label(a)}, {a.split()[1]} subjects"
            for question in ("distilled", "teachers", "swap", "few")
            for a, b in QUESTIONS[question]
            if (one := found.twice(question, a, b)).difference.p_holm < ALPHA <= one.subjects.p_holm
        ],
        "least_alike": min(
            statistics.correlation(entries[a], entries[b]) for a, b in combinations(TEACHERS, 2)
        ),
        "commands": [_command(found, network) for network in NETWORKS],
    }


def _on_volumes(teacher: Contender) -> str:
    """Mean Dice over structures of the volumes that judge it."""
    tables = [values for (_, metric), values in teacher.values.items() if metric == "dice"]
    return interval_of(summarise([statistics.fmean(t[case] for t in tables) for case in tables[0]]), DICE)


def _command(found: Prototypes, network: str) -> str:
    """What trains a student, its control and the distilled one at once."""
    row = f"{network} {EVERYONE} A"
    about, steps = found.about(row), found.rows[f"{network} {EVERYONE} alone"].steps or 0
    asked = {**about["asked"], "prototypes": "prototypes.json"}
    dataset = {**about["dataset"], "folder": "SLICES_OR_VOLUMES"}
    told = {**about, "asked": asked, "dataset": dataset, "budget": {"steps": round(steps)}}
    return words.train_command(found.rows[row], told)
