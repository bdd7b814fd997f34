"""A network, its training subjects, and how it was taught: alone, control (trained on), or by A, B or C."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import cached_property
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from distilseg.evaluation.significance import summarise
from distilseg.report import words
from distilseg.report.comparison import ALPHA
from distilseg.report.contenders import Contender, contenders
from distilseg.runs import Run, find_runs

from ..of_slices import DICE, OfSlices, by_subject
from ..rows import budget_of, interval_of
from ..rows import read as read_rows
from .jobs import STUDENTS, TEACHERS

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


class Prototypes(OfSlices):
    """Rows of slices, and beside them the teachers of volumes."""

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
