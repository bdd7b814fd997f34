"""Weights of terms that change while a network trains."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch

from distilseg.distillation.method import Method, Role
from distilseg.distillation.over_time import fading, growing, over_time
from distilseg.errors import UserError
from distilseg.types import Batch, Outputs


def test_values() -> None:
    assert growing(0.0) == pytest.approx(math.exp(-5))
    assert growing(0.25) == pytest.approx(math.exp(-1.25))
    assert growing(0.5) == growing(1.0) == 1.0
    assert fading(0.0) == 1.0
    assert fading(0.5) == pytest.approx(0.5)
    assert fading(1.0) == 0.0


def test_what_stays_a_number() -> None:
    """A constant, a term that is left out, and what no method takes, which it then refuses."""
    assert over_time(2.0) == 2.0
    assert over_time(0.0, "growing") == 0.0
    assert over_time(-1.0, "growing") == -1.0


def test_an_unknown_change_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="rising"):
        over_time(1.0, "rising")


class Two(Method):
    """Terms of 1 and 10."""

    roles: ClassVar = {"student": Role()}
    paper_weights: ClassVar = {"seg": 1.0, "other": 1.0}

    def terms(self, outputs: object, batch: Batch) -> dict[str, torch.Tensor]:
        return {"seg": torch.tensor(1.0), "other": torch.tensor(10.0)}


@pytest.mark.parametrize(
    ("how", "progress", "total"), [("fading", 0.0, 21.0), ("fading", 1.0, 1.0), ("growing", 0.5, 21.0)]
)
def test_a_method_weighs_by_progress(how: str, progress: float, total: float) -> None:
    method = Two({"other": over_time(2.0, how)})
    image = torch.zeros(1, 1, 2, 2)
    losses = method({"student": Outputs(image, {})}, Batch(image, image), progress)
    assert losses.total.item() == pytest.approx(total)
