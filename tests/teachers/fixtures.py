"""Models that others made, with their own answers: read in place, never copied.

They lie at `DISTILSEG_FIXTURES`, or `../shared/fixtures` beside the project; tests skip where they do not.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def teachers() -> Path:
    """The folder of models and their answers; skips, with the reason, where there is none."""
    root = Path(__file__).resolve().parents[2]
    places = [os.environ.get("DISTILSEG_FIXTURES"), root.parent / "shared" / "fixtures"]
    for place in places:
        if place and (Path(place) / "teachers").is_dir():
            return Path(place) / "teachers"
    pytest.skip("the models of others are neither at $DISTILSEG_FIXTURES nor at ../shared/fixtures")
