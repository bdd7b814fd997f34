"""Whether two contenders have learned enough to be compared.

Networks that have hardly learned differ by chance, and those that are still on the steep part of their
training by who started faster. Over cases such differences can be as sure as one likes; what a longer
training would end at they do not say. So no verdict is given where

    both score a mean Dice below `NEAR_NOTHING`, or
    validation of either was still rising steeply: its best of the last quarter of the steps lies more than
    `STEEP` above its best before, on average over the contender's runs.

Where no validation was recorded, as of models that others trained, nothing is known of the second.
"""

from __future__ import annotations

import math
from statistics import fmean

from ..runs import Run
from .contenders import Contender
from .logged import curves

NEAR_NOTHING = 0.1  # Dice
STEEP = 0.05  # of the validation's mean, Dice too
LAST_PART = 0.25  # of the steps

HARDLY_LEARNED = (
    f"neither has learned much yet (Dice below {NEAR_NOTHING:g}). Train both longer; if that does not lift"
    " them, look for the reason in labels and plan (distilseg check)"
)
STILL_RISING = (
    "validation was still rising steeply (by {rises} in the last quarter of the steps). Train both longer,"
    " until it levels off, and compare again"
)


def too_early(own: Contender, control: Contender) -> str:
    """Why nothing can be said of the two yet, and what would help; "" where something can."""
    if max(level(own), level(control)) < NEAR_NOTHING:
        return HARDLY_LEARNED
    rises = {one.name: rise(one) for one in (own, control)}
    steep = [f"{told:.2f} for {name}" for name, told in rises.items() if told > STEEP]
    return STILL_RISING.format(rises=" and ".join(steep)) if steep else ""


def level(contender: Contender) -> float:
    """Mean Dice over the test cases of all structures; infinite where none was measured."""
    scores = [v for (_, name), of in contender.values.items() if name == "dice" for v in of.values()]
    finite = [score for score in scores if math.isfinite(score)]
    return fmean(finite) if finite else math.inf


def rise(contender: Contender) -> float:
    """What the best validation gained in the last part of the training, mean over runs; 0 where unknown."""
    known = [gained for run in contender.runs if math.isfinite(gained := _rise(run))]
    return fmean(known) if known else 0.0


def _rise(run: Run) -> float:
    steps, means = curves(run.validation).get("mean", ([], []))
    begins = (1 - LAST_PART) * max(steps, default=0.0)
    before = [mean for step, mean in zip(steps, means, strict=True) if step <= begins]
    after = [mean for step, mean in zip(steps, means, strict=True) if step > begins]
    return max(after) - max(before) if before and after else math.nan
