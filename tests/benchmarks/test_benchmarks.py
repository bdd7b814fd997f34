"""Each claim runs and says what it must; nothing here is timed."""

from __future__ import annotations

import importlib
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from benchmarks.__main__ import CLAIMS, SHOWN
from benchmarks.common import in_turns, ratio_row
from benchmarks.latency import QUICK, Sizes, _slabs, _window, extrapolated, walked

from distilseg.functional.windows import even_starts, step_starts
from distilseg.inference.inferer import Inferer


def rows_of(name: str) -> list[dict[str, Any]]:
    """A claim's rows; made in a process of its own, as engines and their threads do not outlive it there."""
    torch.set_num_threads(1)
    made: list[dict[str, Any]] = importlib.import_module(f"benchmarks.{name}").main(quick=True)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_gives_rows_with_every_column(name: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        rows = pool.submit(rows_of, name).result()
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


def test_windows_of_the_whole_case_by_hand() -> None:
    """13 x 13 x 22 patches; 394 - 12 + 1 slabs, or one every 6 slices and the last one."""
    sizes = Sizes()
    axes = zip(sizes.case, sizes.patch, _window(sizes).strides, strict=True)
    assert [len(even_starts(*axis)) for axis in axes] == [13, 13, 22]
    assert [len(step_starts(394, 12, step)) for step in (1, 6)] == [383, 65]


@pytest.mark.parametrize("inferer", [_window(QUICK), _slabs(QUICK, "coronal", 1), _slabs(QUICK, "axial", 3)])
def test_what_is_extrapolated_is_what_a_case_takes(inferer: Inferer) -> None:
    """With a network that takes 20 ms for a window."""

    def network(window: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        windows.append(tuple(window.shape[2:]))
        return window.expand(-1, 2, -1, -1, -1)

    windows: list[tuple[int, ...]] = []
    walk = walked(inferer, QUICK.case)
    start = time.perf_counter()
    inferer(torch.zeros(1, 1, *QUICK.case), network)
    taken_s = time.perf_counter() - start
    assert windows == [walk.window] * walk.windows
    assert extrapolated([(walk, 0.02)]) == pytest.approx(taken_s, rel=0.5)
