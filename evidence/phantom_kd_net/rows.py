"""Teacher, control, ceiling and taught students at each contrast; the Dice of the lesion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rows import Evidence
from ..rows import read as read_rows
from .jobs import CONTRASTS_HU, LABELS

NOISE_HU = 15
WAYS = {
    "teacher": "teacher, CT and PET",
    "control": "control",
    "full": "KD-Net",
    "gt_kd": "GT+KD",
    "answers": "GT+KD, answers for the other cases",
    "ceiling": "ceiling, all labels",
}
TAUGHT = ("full", "gt_kd", "answers")
LABELLED = {f"{hu} {way}": f"{hu} HU, {said}" for hu in CONTRASTS_HU for way, said in WAYS.items()}
QUESTIONS = {"control": [(f"{hu} {way}", f"{hu} control") for hu in CONTRASTS_HU for way in TAUGHT]}
OF = "lesion"


def row_of(about: Mapping[str, Any]) -> str:
    way = str(about["recipe"]).removeprefix("kd_net_")
    if way == "kd_net":
        way = "full"
    if way == "control" and not about["subjects"]["drawn"]:
        way = "ceiling"
    if way == "gt_kd" and about.get("unlabelled"):
        way = "answers"
    return f"{about['asked']['hu']} {way}"


def read(results: Path) -> Evidence:
    return read_rows(results, row_of, LABELLED, QUESTIONS)


def names(found: Evidence) -> dict[str, Any]:
    """Dice of the lesion by contrast and way, and what share of the way to the ceiling is covered."""
    dice = {hu: {way: found.score(f"{hu} {way}", structure=OF).mean for way in WAYS} for hu in CONTRASTS_HU}
    covered = {
        hu: {way: (own[way] - own["control"]) / (own["ceiling"] - own["control"]) for way in TAUGHT}
        for hu, own in dice.items()
    }
    return {"dice": dice, "covered": covered, "labels_given": LABELS}
