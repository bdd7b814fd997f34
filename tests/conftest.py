"""What every test may use: one torch thread, and the real scans where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

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
