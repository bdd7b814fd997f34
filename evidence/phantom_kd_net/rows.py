"""Teacher, control, ceiling and taught students at each contrast; the Dice of the lesion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilseg.report import differences
from distilseg.report.contenders import METRICS

from ..rows import VERDICTS, Evidence
from ..rows import read as read_rows
from .jobs import CONTRASTS_HU

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
OF = "lesion"


def row_of(about: Mapping[str, Any]) -> str:
    way = str(about["recipe"]).removeprefix("kd_net_")
    if way == "kd_net":
        way = "full"
    if way == "control" and not about["subjects"]["drawn"]:
        way = "ceiling"
    if way == "gt_kd" and about.get("unlabelled"):
        way = "answers"
    return way


def read(results: Path) -> dict[int, Evidence]:
    """By contrast: runs that differ in nothing else are compared apart."""
    question = {"control": [(way, "control") for way in TAUGHT]}
    return {hu: read_rows(results / f"{hu}-hu", row_of, WAYS, question) for hu in CONTRASTS_HU}


def names(found: Mapping[int, Evidence]) -> dict[str, Any]:
    """Dice of the lesion by contrast and way, what could cross, and what each taught student gained."""
    dice = {hu: {way: one.score(way, structure=OF).mean for way in WAYS} for hu, one in found.items()}
    pairs = {
        (hu, way): tuple(one.score(each, structure=OF).values for each in (way, "control"))
        for hu, one in found.items()
        for way in TAUGHT
    }
    tests = differences(pairs, METRICS["dice"])  # type: ignore[arg-type]
    return {
        "found": found,
        "dice": dice,
        "gap": [own["ceiling"] - own["control"] for own in dice.values()],
        "tests": tests,
        "hurt": sum(test.outcome == "hurt" for test in tests.values()),
        "answers_worst": all(own["answers"] == min(own[way] for way in TAUGHT) for own in dice.values()),
        "at_5_hu": {way: found[5].by_seed(way, OF) for way in ("full", "control")},
        "most_lost": min(TAUGHT, key=lambda way: sum(tests[hu, way].mean for hu in found)),
        "verdict_set": sorted({test.outcome for test in tests.values()}),
        "verdicts": VERDICTS,
    }
