"""Where labels go so that they cover neither each other nor what is drawn. In inches, from the lower left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> float:
        """Of its height."""
        return (self.bottom + self.top) / 2

    def overlap(self, other: Box) -> float:
        """The area that the two share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def outside(self, other: Box) -> float:
        """The area of this one that `other` does not cover."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(other)

    def moved(self, right: float = 0.0, up: float = 0.0) -> Box:
        return replace(
            self,
            left=self.left + right,
            right=self.right + right,
            bottom=self.bottom + up,
            top=self.top + up,
        )


def spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Middles of labels of these heights, none over another, as near `wanted` (ascending) as can be.

    Minimises the squared moves: with c_i the heights stacked up to i, z_i = y_i - c_i must not fall, so z is
    the isotonic regression of wanted_i - c_i.
    """
    from scipy.optimize import isotonic_regression

    halves = np.asarray(heights, dtype=np.float64) / 2
    stacked = np.concatenate([[0.0], np.cumsum(halves[:-1] + halves[1:])])
    risen = isotonic_regression(np.asarray(wanted, dtype=np.float64) - stacked).x
    return [float(y) for y in risen + stacked]


def least_covering(
    candidates: Iterable[Sequence[Box]], taken: Sequence[Box], room: Box, *, shifts: Sequence[float]
) -> list[Box]:
    """Of blocks of labels, each tried at every vertical shift, the one that covers least of `taken`.

    Then the one that leaves the `room` least; then the smallest shift; then the first.
    """
    tried = [[box.moved(up=shift) for box in block] for shift in shifts for block in candidates]

    def cost(block: Sequence[Box]) -> float:
        covered = sum(box.overlap(other) for box in block for other in taken)
        return round(covered + sum(box.outside(room) for box in block), 6)

    return min(tried, key=cost)
