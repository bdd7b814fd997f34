"""Is one run better than another, or was it the draw of the test cases?

Two runs are compared case by case on the cases both measured: d = a - b.

    interval     of mean d: bootstrap over cases, bias-corrected and accelerated (Efron, 1987), seeded
    p_wilcoxon   signed-rank test that d is symmetric about 0; differences of exactly 0 are dropped, as
                 Wilcoxon (1945) did; 1 if all are 0; exact up to 50 cases without ties (SciPy's choice)
    p_t          paired t-test that the mean of d is 0, for comparison with papers that report it; without
                 spread (all d the same, but for rounding) 1 if they are 0, else 0
    holm         corrects the p of several structures for their number (Holm, 1979)

All are two-sided. A value that is not finite (an empty structure), or that only one side has, has no
partner: the case is dropped and counted in `n_excluded`. Below two cases nothing can be inferred: intervals
and p are NaN. Below about six, no Wilcoxon p can be under 0.05, whatever the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UserError

Interval = tuple[float, float]
NOTHING: Interval = (math.nan, math.nan)
ROUNDING = 1e-12  # of the largest difference: a smaller spread is the arithmetic's, not the cases'


@dataclass(frozen=True)
class Summary:
    """One run's values of one metric; those not finite are left out and counted."""

    n: int
    n_excluded: int
    mean: float
    std: float  # of the cases, n - 1
    median: float
    interval: Interval  # of the mean


@dataclass(frozen=True)
class Paired:
    """Run a less run b."""

    n: int
    n_excluded: int
    mean_difference: float
    interval: Interval
    p_wilcoxon: float
    p_t: float


def summarise(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Summary:
    """Mean with its bootstrap interval, standard deviation, median; NaN where there are too few values."""
    everything = np.asarray(values, dtype=np.float64)
    finite = everything[np.isfinite(everything)]
    return Summary(
        n=finite.size,
        n_excluded=everything.size - finite.size,
        mean=float(finite.mean()) if finite.size else math.nan,
        std=float(finite.std(ddof=1)) if finite.size > 1 else math.nan,
        median=float(np.median(finite)) if finite.size else math.nan,
        interval=mean_interval(finite, confidence=confidence, resamples=resamples, seed=seed),
    )


def paired(
    a: Mapping[str, float] | Sequence[float],
    b: Mapping[str, float] | Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Paired:
    """The difference a - b of two runs: values by case, or of the same cases in the same order.

    Raises `UserError` if the two share no case.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        shared = [case for case in a if case in b]
        if not shared:
            raise UserError("the two runs have no case in common", "compare runs that tested the same split")
        d_N = np.array([a[case] - b[case] for case in shared], dtype=np.float64)
        cases = len(a.keys() | b.keys())
    elif not isinstance(a, Mapping) and not isinstance(b, Mapping) and len(a) == len(b):
        d_N = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
        cases = len(a)
    else:
        raise ValueError("give two mappings by case, or two sequences of one length")
    d_N = d_N[np.isfinite(d_N)]
    return Paired(
        n=d_N.size,
        n_excluded=cases - d_N.size,
        mean_difference=float(d_N.mean()) if d_N.size else math.nan,
        interval=mean_interval(d_N, confidence=confidence, resamples=resamples, seed=seed),
        p_wilcoxon=_wilcoxon(d_N),
        p_t=_t_test(d_N),
    )


def mean_interval(
    values: Sequence[float] | npt.NDArray[np.float64],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Bootstrap (BCa) interval of the mean of finite values; NaN below two, a point if all are equal, but for
    rounding."""
    from scipy.stats import bootstrap

    values = np.asarray(values, dtype=np.float64)
    if values.size < 2:
        return NOTHING
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        return float(values[0]), float(values[0])
    result = bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="BCa",
        random_state=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p corrected for their number, in the same order; at most 1. NaN stays NaN and does not count.

    With p_(1) <= ... <= p_(m):  p'_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).
    """
    corrected = [math.nan] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def _wilcoxon(d_N: npt.NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    if d_N.size < 2:
        return math.nan
    changed = d_N[d_N != 0]
    return float(wilcoxon(changed).pvalue) if changed.size else 1.0


def _t_test(d_N: npt.NDArray[np.float64]) -> float:
    from scipy.stats import ttest_1samp

    if d_N.size < 2:
        return math.nan
    largest = np.abs(d_N).max()
    if np.ptp(d_N) <= ROUNDING * largest:
        return 1.0 if largest == 0 else 0.0
    return float(ttest_1samp(d_N, 0.0).pvalue)
