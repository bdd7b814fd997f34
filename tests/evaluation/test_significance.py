"""Significance, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.evaluation.significance import holm, mean_interval, paired, summarise


def by_case(values: list[float]) -> dict[str, float]:
    return {f"case_{i}": value for i, value in enumerate(values)}


def test_six_cases_all_better_are_the_fewest_that_show() -> None:
    # All six ranks positive: 2 of the 2^6 sign patterns are as extreme.
    six = paired(by_case([0.81, 0.82, 0.83, 0.84, 0.85, 0.86]), by_case([0.80, 0.80, 0.80, 0.80, 0.80, 0.80]))
    assert six.p_wilcoxon == pytest.approx(2 / 64)
    five = paired([1.0, 2, 3, 4, 5], [0.0] * 5)
    assert five.p_wilcoxon == pytest.approx(2 / 32)
    assert six.mean_difference == pytest.approx(0.035)
    assert 0.01 < six.interval[0] < 0.035 < six.interval[1] < 0.06


def test_t_by_hand() -> None:
    # d = 1, 2, 3: mean 2, std 1, t = 2 sqrt(3) with 2 degrees of freedom: p = 1 - t / sqrt(t² + 2).
    t = 2 * math.sqrt(3)
    assert paired([1.0, 2, 3], [0.0, 0, 0]).p_t == pytest.approx(1 - t / math.sqrt(t * t + 2))


def test_t_of_differences_that_only_rounding_tells_apart() -> None:
    """0.1 + 0.2 and 0.3: no spread, and no warning about lost precision either."""
    assert paired([0.1 + 0.2, 0.3, 0.3], [0.0] * 3).p_t == 0
    assert paired([0.3, 0.2, 0.1], [0.3, 0.2, 0.1]).p_t == 1


def test_t_is_of_the_pairs_alone() -> None:
    """A value that is not finite takes its partner with it; the rest is SciPy's `ttest_rel`."""
    from scipy.stats import ttest_rel

    a, b = [0.9, 0.8, math.nan, 0.7, 0.95], [0.85, 0.81, 0.5, 0.6, math.inf]
    assert paired(a, b).p_t == pytest.approx(ttest_rel([0.9, 0.8, 0.7], [0.85, 0.81, 0.6]).pvalue)


def test_zero_differences_are_dropped_from_the_ranks() -> None:
    assert paired([1.0, 2, 3, 4, 5, 6, 0, 0], [0.0] * 8).p_wilcoxon == pytest.approx(2 / 64)


def test_equal_runs() -> None:
    equal = paired(by_case([0.1, 0.2, 0.3]), by_case([0.1, 0.2, 0.3]))
    assert (equal.mean_difference, equal.interval, equal.p_wilcoxon, equal.p_t) == (0, (0, 0), 1, 1)


def test_the_same_shift_in_every_case() -> None:
    shifted = paired([2.0] * 6, [1.0] * 6)
    assert shifted.interval == (1, 1)
    assert shifted.p_t == 0
    assert shifted.p_wilcoxon < 0.05


def test_swapping_the_runs_only_turns_the_sign() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.8, 0.1, 20), random.normal(0.78, 0.1, 20)
    there, back = paired(a, b), paired(b, a)
    assert back.mean_difference == pytest.approx(-there.mean_difference)
    assert back.p_wilcoxon == pytest.approx(there.p_wilcoxon)
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=0.005)


def test_cases_without_a_partner_are_dropped_and_counted() -> None:
    a = {"a": 1.0, "b": 2.0, "c": math.nan, "only_a": 5.0}
    b = {"b": 1.0, "a": 0.5, "c": 1.0, "only_b": 5.0, "other": math.inf}
    result = paired(a, b)
    assert (result.n, result.n_excluded) == (2, 4)
    assert result.mean_difference == pytest.approx((0.5 + 1.0) / 2)


def test_no_common_case() -> None:
    with pytest.raises(UserError, match="no case in common"):
        paired({"a": 1.0}, {"b": 1.0})


def test_sequences_of_different_length_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="one length"):
        paired([1.0], [1.0, 2.0])


def test_one_case_says_nothing() -> None:
    one = paired({"a": 1.0}, {"a": 0.5})
    assert one.mean_difference == 0.5
    assert all(math.isnan(value) for value in (*one.interval, one.p_wilcoxon, one.p_t))


def test_no_finite_case_says_nothing() -> None:
    none = paired({"a": math.nan}, {"a": 0.5})
    assert (none.n, none.n_excluded) == (0, 1)
    assert math.isnan(none.mean_difference)


def test_interval_is_seeded_and_narrows_with_confidence() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    wide, narrow = mean_interval(values), mean_interval(values, confidence=0.5)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        low, high = mean_interval(random.normal(size=40), resamples=500)
        covered += low <= 0 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_summary_by_hand() -> None:
    summary = summarise([1.0, 2.0, 6.0, math.nan, math.inf])
    assert (summary.n, summary.n_excluded, summary.mean, summary.median) == (3, 2, 3, 2)
    assert summary.std == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert summary.interval[0] < 3 < summary.interval[1]
    assert math.isnan(summarise([]).mean)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, never falling.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


def test_holm_does_not_count_what_could_not_be_tested() -> None:
    corrected = holm([0.01, math.nan, 0.04])
    assert corrected[0] == pytest.approx(0.02)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.04)


def test_what_differs_by_rounding_alone_has_a_point_for_an_interval():
    low, high = mean_interval([0.1 + 0.2, 0.3, 0.3, 0.3])
    assert low == high == pytest.approx(0.3)
