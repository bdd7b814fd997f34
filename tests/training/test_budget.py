from __future__ import annotations

import pytest

from distilseg.errors import UserError
from distilseg.training.budget import Budget


def test_the_first_limit_reached_ends_the_run() -> None:
    budget = Budget(steps=100, minutes=2)
    assert budget.progress(50, 30, steps_per_epoch=10) == 0.5
    assert budget.progress(50, 90, steps_per_epoch=10) == 0.75
    assert budget.progress(10, 121, steps_per_epoch=10) == 1.0
    assert budget.ended_by(10, 10) == "minutes"
    assert budget.ended_by(100, 10) == "steps"


def test_epochs_are_steps() -> None:
    assert Budget(epochs=2.5).total_steps(steps_per_epoch=10) == 25
    assert Budget(epochs=5, steps=30).total_steps(steps_per_epoch=10) == 30
    assert Budget(minutes=1).total_steps(steps_per_epoch=10) is None


@pytest.mark.parametrize("wrong", [{}, {"steps": 0}, {"minutes": -1.0}, {"epochs": 0.0}])
def test_an_empty_budget_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="the budget is"):
        Budget(**wrong)  # type: ignore[arg-type]
