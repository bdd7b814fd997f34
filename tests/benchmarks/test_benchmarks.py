"""Each claim runs and says what it must; nothing here is timed."""

from __future__ import annotations

import importlib

import pytest
from benchmarks.__main__ import CLAIMS, SHOWN
from benchmarks.common import in_turns, ratio_row


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_claim_gives_rows_with_every_column(name: str) -> None:
    rows = importlib.import_module(f"benchmarks.{name}").main(quick=True)
    assert rows
    for row in rows:
        assert set(SHOWN) <= row.keys()
        assert row["ratio"] > 0
        assert row["met"] in ("yes", "no")


def test_contestants_take_turns_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []
    seconds = in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    slower = ratio_row("c", "w", [1.0, 2.0, 9.0], [1.0, 1.0, 3.0], aim="<= 1.5", peer_name="p")
    assert (slower["ratio"], slower["met"]) == (2.0, "no")
    faster = ratio_row("c", "w", [1.0, 1.0, 3.0], [10.0, 20.0, 90.0], aim=">= 10", peer_name="p")
    assert (faster["ratio"], faster["met"]) == (20.0, "yes")
