"""Learning-rate schedules: pure functions of progress in [0, 1], each returning a factor of the base rate.

Progress rather than epochs, so that one schedule serves a budget of steps, of epochs or of minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ..errors import unknown


def constant(progress: float) -> float:
    """1: the hippocampus and UNETR runs of dual self-distillation."""
    return 1.0


def halving(progress: float) -> float:
    """0.5^floor(6 progress): StepLR with a step of a sixth of the epochs (dual self-distillation, MMWHS)."""
    return float(0.5 ** min(5, math.floor(6 * progress)))


def steps(progress: float) -> float:
    """1, then 0.1 after 7 and 0.01 after 9 tenths (Thickened 2D Networks: 70 000, 90 000 of 100 000)."""
    return 1.0 if progress < 0.7 else 0.1 if progress < 0.9 else 0.01


def polynomial(progress: float) -> float:
    """(1 - progress)^0.9: nnU-Net."""
    return float((1 - min(progress, 1.0)) ** 0.9)


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2 (Loshchilov & Hutter, 2017)."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def plateau(progress: float) -> float:
    """1, lowered by the loop whenever validation stops improving (KD-Net); see `Optimisation`."""
    return 1.0


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    function.__name__: function for function in (constant, cosine, polynomial, halving, steps, plateau)
}


def factor(schedule: str, progress: float, *, warmup: float = 0.0) -> float:
    """The factor at `progress`, after a linear rise over the first `warmup` (a fraction of the budget)."""
    if schedule not in SCHEDULES:
        raise unknown("schedule", schedule, SCHEDULES)
    rise = min(1.0, (progress + 1e-3) / warmup) if warmup else 1.0
    return rise * SCHEDULES[schedule](progress)
