"""A network, its training subjects, and how it was taught: alone, control (trained on), or by A, B or C.

Slices of one subject resemble each other. So a difference is tested twice, over slices and over subjects, and
is shown only where both say so and it exceeds what seeds alone do; everything else lies inside the noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from distilseg.evaluation.significance import summarise
from distilseg.report import Difference, Score, words
from distilseg.report.comparison import ALPHA
from distilseg.report.contenders import METRICS, Contender, Metric, Values, contenders
from distilseg.runs import Run, find_runs

from ..rows import Evidence, Told, budget_of, interval_of
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
PAPER_GAINS = {network: max(taught) - alone for network, (alone, *taught) in PAPER.items()}
CALLED = {f"{network} {EVERYONE} A": label for network, label in NETWORKS.items()}
LONGER = {f"{network} {EVERYONE} control": label for network, label in NETWORKS.items()}
FEW = {f"{LIGHT} {n} A": f"{n}" for n in SIZES}


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


class Prototypes(Evidence):
    """Rows of slices, and beside them the teachers of volumes."""

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

    @cached_property
    def teachers(self) -> dict[str, Contender]:
        """By name: A knows all subjects of the volumes' half, the others parts of them, in order."""
        every = find_runs(self.rows[f"{LIGHT} {EVERYONE} A"].runs[0].folder.parent)
        runs = [run for run in every if row_of(run.read(run.experiment)) is None]
        cases: dict[Run, list[str]] = {run: sorted(chain(*run.read(run.split).values())) for run in runs}
        half = max(cases.values(), key=len)
        of = {name: [round(share * len(half)) for share in part] for name, part in TEACHERS.items()}
        return {
            n: contenders([run])[0] for n, (a, b) in of.items() for run in runs if cases[run] == half[a:b]
        }


def by_subject(values: Values) -> Values:
    """Each subject's mean over its slices, which are called SUBJECT-NUMBER."""
    found: dict[str, list[float]] = {}
    for slice in sorted(values):
        found.setdefault(slice.rpartition("-")[0], []).append(values[slice])
    return {subject: statistics.fmean(own) for subject, own in found.items()}


def row_of(about: Mapping[str, Any]) -> str | None:
    """The row of a student's run; None of a teacher's."""
    recipe, options = about["recipe"], about["options"]
    if recipe == "supervised":
        return None
    way = {"prototype_distillation_student": "alone", "prototype_distillation_control": "control"}.get(recipe)
    way = way or Path(options["prototypes"]).stem.removeprefix("prototypes-")
    return f"{options['network']} {about['subjects']['training']} {way}"


def read(results: Path) -> Prototypes:
    return read_rows(results, row_of, LABELS, QUESTIONS, metrics=["dice"], kind=Prototypes)


def names(found: Prototypes) -> dict[str, Any]:
    """Rows by their parts; teachers, and how alike their prototypes are; what was trained, and its cost."""
    taught = found.teachers
    entries = {name: _entries(found.about(f"{LIGHT} {EVERYONE} {name}")) for name in TEACHERS}
    alike = {(a, b): statistics.correlation(entries[a], entries[b]) for a in TEACHERS for b in TEACHERS}
    costly = {f"teacher {name}, 3D": teacher for name, teacher in taught.items()}
    costly |= {LABELS[row]: one for row, one in found.rows.items() if row.split()[1] == str(EVERYONE)}
    every = [*taught.values(), *found.rows.values()]
    asked = [(q, a, b) for q in ("distilled", "teachers", "swap", "few") for a, b in QUESTIONS[q]]
    doubtful = [(a, found.less(q, a, b)) for q, a, b in asked]
    return {
        "row": lambda network, way, subjects=EVERYONE: f"{network} {subjects} {way}",
        "taught_on": {n: len(one.runs[0].read(one.runs[0].split)["train"]) for n, one in taught.items()},
        "on_volumes": {name: _on_volumes(teacher) for name, teacher in taught.items()},
        "alike": lambda a, b: "" if a == b else words.number(alike[a, b], 3),
        "least_alike": min(alike.values()),
        "judges": len(by_subject(found.score(f"{LIGHT} {EVERYONE} A").values)),
        "costly": {n: (words.costs(contenders(one.runs[:1])[0]), one.seconds) for n, one in costly.items()},
        "trained": budget_of(run for one in every for run in one.runs),
        "by_slice_alone": [
            LABELS[a] for a, d in doubtful if d.difference.p_holm < ALPHA <= d.subjects.p_holm
        ],
        "paper_inside": [NETWORKS[n] for n, gain in PAPER_GAINS.items() if _holds(found, n, gain)],
        "best_few": max(FEW, key=lambda row: found.less("few", row).difference.mean),
        "commands": [_command(found, network) for network in NETWORKS],
    }


def _entries(about: Mapping[str, Any]) -> list[float]:
    """Of a teacher's prototypes, class after class."""
    return [value for of_class in about["prototypes"]["prototypes"].values() for value in of_class]


def _on_volumes(teacher: Contender) -> str:
    """Mean Dice over structures of the volumes that judge it."""
    tables = [values for (_, metric), values in teacher.values.items() if metric == "dice"]
    return interval_of(summarise([statistics.fmean(t[case] for t in tables) for case in tables[0]]), DICE)


def _holds(found: Prototypes, network: str, gain: float) -> bool:
    """Whether the interval over subjects holds this gain."""
    low, high = found.less("distilled", f"{network} {EVERYONE} A").subjects.interval
    return low <= gain <= high


def _command(found: Prototypes, network: str) -> str:
    """What trains a student, its control and the distilled one at once."""
    row, alone = (f"{network} {EVERYONE} {way}" for way in ("A", "alone"))
    about = found.about(row)
    asked = {**about["asked"], "prototypes": "prototypes.json"}
    dataset = {**about["dataset"], "folder": "SLICES_OR_VOLUMES"}
    told = {
        **about,
        "asked": asked,
        "dataset": dataset,
        "budget": {"steps": round(found.rows[alone].steps or 0)},
    }
    return words.train_command(found.rows[row], told)
