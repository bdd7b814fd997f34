from __future__ import annotations

import itertools

import pytest

from distilseg.errors import UserError
from distilseg.training.schedule import SCHEDULES, factor


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_one_and_never_rises(name: str) -> None:
    factors = [factor(name, i / 100) for i in range(101)]
    assert factors[0] == 1.0
    assert all(a >= b >= 0 for a, b in itertools.pairwise(factors))


def test_halving_is_a_step_of_a_sixth_of_the_budget() -> None:
    assert [factor("halving", p) for p in (0.0, 0.16, 0.17, 0.5, 0.99, 1.0)] == [
        1,
        1,
        0.5,
        0.125,
        1 / 32,
        1 / 32,
    ]


def test_steps_fall_at_7_and_9_tenths() -> None:
    steps = [0, 69_999, 70_000, 89_999, 90_000, 100_000]
    assert [factor("steps", step / 100_000) for step in steps] == [1, 1, 0.1, 0.1, 0.01, 0.01]


def test_known_values() -> None:
    assert factor("polynomial", 0.5) == pytest.approx(0.5**0.9)
    assert factor("cosine", 0.5) == pytest.approx(0.5)
    assert factor("cosine", 1.0) == pytest.approx(0.0)


def test_warm_up_rises_linearly_and_is_never_zero() -> None:
    assert 0 < factor("constant", 0.0, warmup=0.1) < 0.02
    assert factor("constant", 0.05, warmup=0.1) == pytest.approx(0.51)
    assert factor("constant", 0.2, warmup=0.1) == 1.0


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"unknown schedule 'cosin'; did you mean 'cosine'\? known: constant, cosine"
    ):
        factor("cosin", 0.0)
