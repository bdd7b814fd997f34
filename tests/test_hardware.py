"""How busy the machine was."""

from __future__ import annotations

import pytest

from distilseg import hardware
from distilseg.hardware import Waiting


def test_waiting_is_counted_over_threads_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread ran for 90 and waited for 10 ns more; another began meanwhile and waited for 10."""
    states = iter([{"1": (100, 10)}, {"1": (190, 20), "2": (0, 10)}])
    monkeypatch.setattr(hardware, "_scheduled", lambda: next(states))
    assert Waiting().share() == pytest.approx(20 / 110)


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_scheduled", dict)
    assert Waiting().share() is None


def test_this_system() -> None:
    waiting = Waiting()
    sum(range(10**6))
    share = waiting.share()
    assert share is None or 0 <= share < 1
