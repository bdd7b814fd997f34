"""Students of 8, 16 or all subjects' slices: alone, trained on (the control), or with prototypes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from distilseg.evaluation.significance import summarise
from distilseg.report import compare_runs
from distilseg.report.contenders import Contender, contenders
from distilseg.report.sizes import size_curves
from distilseg.runs import find_runs

from .of_slices import DICE, OfSlices, by_subject
from .rows import budget_of, interval_of
from .rows import read as read_rows
from .slices_of_others import SUBJECTS

SIZES = tuple(str(n or "all") for n in SUBJECTS)
WAYS = {"alone": "alone", "control": "trained on, labels alone", "taught": "trained on with prototypes"}
LABELS = {f"{size} {way}": f"{size} patients, {said}" for size in SIZES for way, said in WAYS.items()}
QUESTIONS = {
    "distilled": [(f"{size} taught", f"{size} control") for size in SIZES],
    "longer": [(f"{size} control", f"{size} alone") for size in SIZES],
}


class Prototypes(OfSlices):
    """The students, and beside them the teacher of volumes."""

    @cached_property
    def teacher(self) -> Contender:
        every = find_runs(self.rows["all taught"].runs[0].folder.parent)
        return contenders([run for run in every if row_of(run.read(run.experiment)) is None])[0]


def row_of(about: Mapping[str, Any]) -> str | None:
    """The row of a student's run; None of the teacher's."""
    if about["recipe"] == "supervised":
        return None
    way = {"prototype_distillation_student": "alone", "prototype_distillation_control": "control"}
    drawn = about["subjects"]["drawn"]
    return f"{about['subjects']['training'] if drawn else 'all'} {way.get(about['recipe'], 'taught')}"


def read(results: Path) -> Prototypes:
    return read_rows(results, row_of, LABELS, QUESTIONS, metrics=["dice"], kind=Prototypes)


def names(found: Prototypes) -> dict[str, Any]:
    """The teacher on volumes, who judges, and what was trained."""
    tables = [values for (_, metric), values in found.teacher.values.items() if metric == "dice"]
    on_volumes = summarise([statistics.fmean(of[case] for of in tables) for case in tables[0]])
    run = found.teacher.runs[0]
    return {
        "teacher_dice": interval_of(on_volumes, DICE),
        "teacher_cases": len(run.read(run.split)["train"]),
        "everyone": found.about("all taught")["subjects"]["training"],
        "judges": len(by_subject(found.score("all taught").values)),
        "trained": budget_of(run for one in (found.teacher, *found.rows.values()) for run in one.runs),
        "gains": {size: found.less("distilled", f"{size} taught") for size in SIZES},
    }


def draw(found: Prototypes) -> dict[str, str]:
    """Dice against subjects, control and distilled."""
    runs = [run for row, one in found.rows.items() if not row.endswith("alone") for run in one.runs]
    return {"": size_curves(compare_runs(runs, metrics=["dice"]))}
