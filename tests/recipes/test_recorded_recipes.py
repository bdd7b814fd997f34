"""Every recipe offers what it did, and its runs are found again (see `record_recipes.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from distilseg.recipes import recipes
from distilseg.training import experiment

from .record_recipes import RECORDED, measured

THEN = json.loads(RECORDED.read_text(encoding="utf-8"))
AGAIN = "if that is wanted: python -m tests.recipes.record_recipes"


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))
        patch.setattr(experiment, "TRAINS_AS", THEN["version"])  # of which every name depends, by design
        yield measured()["recipes"]


def test_every_recipe_is_recorded() -> None:
    assert set(THEN["recipes"]) == set(recipes()), AGAIN


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_offers_what_it_did_and_finds_its_runs(name: str, now: dict[str, Any]) -> None:
    assert now[name] == THEN["recipes"][name], AGAIN
