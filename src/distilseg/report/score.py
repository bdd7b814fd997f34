"""One metric of one structure, over the test cases of one contender."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from ..evaluation.significance import summarise
from .contenders import Values


@dataclass(frozen=True)
class Score:
    """Mean and spread over the cases that have a value, in the metric's own unit."""

    values: Values  # case -> value
    mean: float
    std: float  # sample standard deviation over cases
    interval: tuple[float, float]  # 95 %, bootstrap over cases
    n: int
    excluded: int  # cases without a value
    lacking: int = 0  # of a mean over structures: single ones that cases were averaged without

    @property
    def incomplete(self) -> bool:
        """Whether the mean was made without some values; means of distances are then marked: they flatter."""
        return bool(self.excluded or self.lacking)

    @classmethod
    def of(cls, values: Values, lacking: int = 0) -> Self:
        """The score of these cases; values that are no number are left out and counted."""
        finite = [value for value in values.values() if math.isfinite(value)]
        summary = summarise(finite)
        return cls(
            values,
            summary.mean,
            summary.std,
            summary.interval,
            len(finite),
            len(values) - len(finite),
            lacking,
        )
