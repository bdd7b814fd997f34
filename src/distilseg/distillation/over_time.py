"""Weights of terms that change while a network trains: a number times a function of progress in [0, 1].

A teacher that is the network itself knows nothing at first, and in the end what it taught is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import unknown
from .method import Weight


def growing(progress: float, full: float = 0.5) -> float:
    """exp(-5 (1 - progress / full)^2), then 1: 0.007 at first.

    Laine & Aila, "Temporal ensembling for semi-supervised learning", ICLR 2017; there over 80 of 300 epochs.
    """
    return math.exp(-5 * (1 - min(1.0, progress / full)) ** 2)


def fading(progress: float) -> float:
    """(1 + cos(pi progress)) / 2: 1 at first and 0 in the end, when labels alone decide."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


OVER_TIME: Mapping[str, Callable[[float], float]] = {"growing": growing, "fading": fading}
CONSTANT = "constant"


@dataclass(frozen=True)
class OverTime:
    """A weight at its full value times one of `OVER_TIME`."""

    full: float
    how: str

    def __call__(self, progress: float) -> float:
        """The weight at `progress`."""
        return self.full * OVER_TIME[self.how](progress)

    def __str__(self) -> str:
        """As it is written down: "1 growing"."""
        return f"{self.full:g} {self.how}"


def over_time(weight: float, how: str = CONSTANT) -> Weight:
    """`weight`, `how` it changes: "constant", "growing" or "fading"; another name raises UserError.

    A weight of 0 stays a number: its term is left out; so does one that no method takes.
    """
    if how not in (CONSTANT, *OVER_TIME):
        raise unknown("change of weights over time", how, (CONSTANT, *OVER_TIME))
    return OverTime(weight, how) if how != CONSTANT and 0 < weight < math.inf else weight
