"""What every test may use: one torch thread, costs measured on the spot, the real scans where they are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from distilseg.export import cost
from distilseg.runs import Run

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public scans: `DISTILSEG_DATA`, or `../shared/data` beside the project."""
    root = Path(__file__).resolve().parents[1]
    places = [os.environ.get("DISTILSEG_DATA"), root.parent / "shared" / "data"]
    for place in places:
        if place and (Path(place) / "Task04_Hippocampus").is_dir():
            return Path(place)
    pytest.skip("the public scans are neither at $DISTILSEG_DATA nor at ../shared/data")


@pytest.fixture(scope="module", autouse=True)
def judged_costs_are_measured_here() -> Iterator[None]:
    """A judged run's cost, in this process: a fresh one takes four seconds to import what is here already.

    Tests of the fresh process itself put `measure_cost` back.
    """
    with mock.patch("distilseg.judge.measure_cost", measured_here):
        yield


def measured_here(
    run: Run, cases: Mapping[str, cost.Scans], *, device: str, trust: str | None
) -> dict[str, Any]:
    """As `cost.measure_cost`, without a process of its own."""
    return cost._measure(run.folder, cases, device, None, trust, again=False, began=time.time())
