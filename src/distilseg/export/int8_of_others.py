"""Int8 of a model of others: calibrated on some of the scans, judged by the model's own answers to others."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.case import Case, Dataset
from ..data.planning.plan import Plan
from ..data.planning.splits import Split
from ..data.scans.reading import read_scans, write_label_map
from ..errors import UserError
from ..names import component
from ..teachers.teacher import Labels, Teacher
from .cases import MOST_CASES
from .int8 import quantise
from .quantised import Quantised

MOST_TUNING = 2  # cases by which layers are given back to float: each is answered by the model once


@dataclass(frozen=True, eq=False)
class Judged:
    """Which scans do what; what the model answered to them is noted in `labels`."""

    judging: list[Case]
    calibrating: list[Case] = field(default_factory=list)
    tuning: list[Case] = field(default_factory=list)
    labels: dict[str, Labels] = field(default_factory=dict)


def cases_for_int8(cases: Sequence[Case], judging: Sequence[Case] | None, calibration_cases: int) -> Judged:
    """The cases `judging`, or half of all, up to five; of the others two tune, where there are more, and the
    rest calibrates."""
    chosen = list(cases[: min(MOST_CASES, len(cases) // 2)]) if judging is None else list(judging)
    others = [case for case in cases if case not in chosen]
    if not chosen or not others:
        raise UserError(
            "int8 is calibrated on other scans than those that judge it, and there are none",
            "give more scans with --data, or name fewer --cases",
        )
    tuning = others[1 : 1 + MOST_TUNING]
    calibrating = [case for case in others if case not in tuning][:calibration_cases]
    return Judged(chosen, calibrating, tuning)


def quantised_by_answers(
    network: Path,
    artefact: Any,
    teacher: Teacher,
    judged: Judged,
    plan: Plan,
    *,
    max_dice_drop: float,
    calibration_cases: int,
    even_if_slower: bool,
) -> Quantised:
    """As `int8.quantise`, with the model's answers in place of labels."""
    labelled = [*judged.judging, *(judged.tuning or judged.calibrating)]
    with tempfile.TemporaryDirectory() as folder:
        answered = [_answered(Path(folder), case, teacher, judged) for case in labelled]
        there = {case.id for case in answered}
        rest = tuple(case for case in judged.calibrating if case.id not in there)
        dataset = Dataset(
            name=plan.dataset,
            folder=Path(folder),
            layout="answered",
            modalities=plan.modalities,
            labels=plan.labels,
            cases=tuple(answered),
            unlabelled=rest,
            labelled_by=teacher.name,
        )
        split = Split(
            train=tuple(case.id for case in judged.calibrating),
            validation=tuple(case.id for case in judged.tuning),
            test=tuple(case.id for case in judged.judging),
        )
        return quantise(
            network,
            artefact,
            dataset,
            split,
            split.test,
            max_dice_drop=max_dice_drop,
            calibration_cases=calibration_cases,
            even_if_slower=even_if_slower,
        )


def _answered(folder: Path, case: Case, teacher: Teacher, judged: Judged) -> Case:
    """The case with the model's label map."""
    scans = read_scans(case.images)
    labels = judged.labels.get(case.id)
    if labels is None:
        labels = teacher.labels(teacher.answer(scans, case=case.id), scans)
    path = folder / component(case.id, ".nii.gz", kind="case")
    write_label_map(path, labels, next(iter(scans.values())))
    return case.with_label(path)
