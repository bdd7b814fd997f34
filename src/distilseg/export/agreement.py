"""How far another program's label maps agree with the run's own on real cases; it is read back here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.case import Source
from ..data.scans.reading import read_scans
from ..errors import UserError
from ..evaluation.overlap import count, dice
from ..predict import Predictor
from ..teachers.teacher import Teacher

LEAST_DICE = 0.9  # below it something is wrong, and no matter of windows


@dataclass(frozen=True)
class Agreement:
    """One case, by the run and by the other program."""

    case: str
    voxels: int  # with another label
    of_voxels: int
    dice: Mapping[str, float]  # of the two label maps, by the structures that either holds

    @property
    def least(self) -> float:
        """Dice of the structure that agrees least."""
        return min(self.dice.values(), default=1.0)


def agreements(
    predictor: Predictor,
    teacher: Teacher,
    values: Mapping[int, int],
    cases: Mapping[str, Mapping[str, Source]],
    *,
    progress: Callable[[int, int], object] | None = None,
) -> list[Agreement]:
    """Each case (its images by modality) through both; `values`: the teacher's label values -> the run's."""
    found = []
    names = dict(zip(predictor.plan.modalities, teacher.modalities, strict=True))
    for done, (case, images) in enumerate(cases.items(), start=1):
        scans = read_scans(images)
        theirs = {names[name]: scan for name, scan in scans.items()}
        answered = teacher.labels(teacher.answer(theirs, case=case), theirs)
        labels = predictor.segment(scans, case=case)
        found.append(_agreement(case, labels, _renumbered(answered, values), predictor.plan.labels))
        if progress is not None:
            progress(done, len(cases))
    return found


def refuse_below(found: list[Agreement], tolerance: float, program: str) -> None:
    """Raises UserError, naming the worst case, where Dice is further below 1 than `tolerance`."""
    worst = min(found, key=lambda one: one.least)
    if worst.least >= 1 - tolerance:
        return
    raise UserError(
        f"{program} would not give what the run gives: case {worst.case} has a Dice of {worst.least:.4f}"
        f" against the run; nothing was written",
        "export it --to onnx, which gives the same, or allow it with --tolerance",
    )


def record(found: list[Agreement]) -> dict[str, Any]:
    """For what leaves the house: cases are counted and not named. Means are over cases."""
    structures = sorted({name for one in found for name in one.dice})
    dices = {name: [one.dice[name] for one in found if name in one.dice] for name in structures}
    return {
        "cases": len(found),
        "voxels_that_differ": sum(one.voxels for one in found),
        "of_voxels": sum(one.of_voxels for one in found),
        "dice": {name: float(np.mean(scores)) for name, scores in dices.items()},
        "least_dice": min(one.least for one in found),
    }


def _renumbered(labels: NDArray[Any], values: Mapping[int, int]) -> NDArray[Any]:
    table = np.zeros(max(values) + 1, np.int64)
    for theirs, ours in values.items():
        table[theirs] = ours
    made: NDArray[Any] = table[labels]
    return made


def _agreement(case: str, labels: NDArray[Any], others: NDArray[Any], names: Mapping[int, str]) -> Agreement:
    there = [int(k) for k in np.union1d(np.unique(labels), np.unique(others)) if k]
    scores = {names[k]: dice(count(labels == k, others == k)) for k in there}
    return Agreement(case, int(np.count_nonzero(labels != others)), int(labels.size), scores)
