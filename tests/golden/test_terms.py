"""The objectives are what they were: term values for fixed inputs (see `record.py`)."""

from __future__ import annotations

import json

import pytest

from .record import RECORDED, measured


def test_every_term_has_its_recorded_value() -> None:
    recorded, now = json.loads(RECORDED.read_text(encoding="utf-8")), measured()
    assert now.keys() == recorded.keys()
    for method, values in now.items():
        assert values == pytest.approx(recorded[method], rel=1e-9), method
