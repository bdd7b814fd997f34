"""Dice on cases that judge: what int8 and other windows are allowed to cost is said in points of its mean."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..data.case import Dataset
from ..data.scans.reading import read_label, read_scans
from ..errors import UserError
from ..evaluation.evaluate import evaluate_case, summarise_rows
from ..runtime.predictor import ArtefactPredictor

MOST_JUDGING = 20  # cases, where none are named
MOST_TUNING = 10  # others, by which is chosen before

Scores = dict[str, float]  # structure -> mean Dice


def dice_scores(predictor: ArtefactPredictor, dataset: Dataset, ids: Sequence[str]) -> Scores:
    """Mean Dice of each structure, in the scans' own space; what is rightly found absent counts as 1."""
    rows: list[dict[str, Any]] = []
    plan = predictor.plan
    for id in ids:
        case = dataset.case(id)
        if case.label is None:
            raise UserError(f"case {id} has no label map", "only labelled cases can judge an artefact")
        scans, reference = read_scans({name: case.images[name] for name in plan.modalities}), read_label(case)
        rows += evaluate_case(
            reference.array,
            predictor.segment(scans, case=id),
            case=id,
            labels=plan.regions or plan.labels,
            spacing_mm=reference.geometry.spacing_mm,
            metrics=["dice"],
            empty="one",
            unknown_value=plan.unknown,
        )
    return {row["label"]: row["mean"] for row in summarise_rows(rows)}


def mean_dice(scores: Mapping[str, float]) -> float:
    """Over the structures."""
    return statistics.fmean(scores.values())


def drop(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Points of the mean Dice over the structures."""
    return 100 * (mean_dice(before) - mean_dice(after))
