"""What every test may use: one torch thread, costs measured on the spot, the real scans where they are."""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from distilseg.export import cost_of_model
from distilseg.export.cost import Model

torch.set_num_threads(1)
os.environ["DISTILSEG_KEEP_COMPILED"] = "no"  # tests leave nothing in the user's cache


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

    Tests of the fresh processes themselves put `measure_costs` back.
    """
    with mock.patch("distilseg.judge.measure_costs", measured_here):
        yield


def measured_here(models: Sequence[Model], *, device: str) -> list[dict[str, Any]]:
    """As `cost.measure_costs`, without processes of their own."""
    names = [model.path.name for model in models]
    return [_measured(model, device) | {"in_turns_with": names} for model in models]


def _measured(model: Model, device: str) -> dict[str, Any]:
    given = Namespace(
        model=model.path,
        device=device,
        threads=None,
        trust=model.trust,
        again=model.again,
        began=time.time(),
    )
    return cost_of_model._measure(given, iter([json.dumps(model.cases), "turn"]))
