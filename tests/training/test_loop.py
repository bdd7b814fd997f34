from __future__ import annotations

import pytest
import torch

from distilseg.errors import UserError
from distilseg.training.experiment import OPTIMIZERS, Optimisation
from distilseg.training.loop import make_optimizer


def test_momentum_by_hand() -> None:
    """v <- 0.9 v + (g + decay w), w <- w - rate v, with w = 2 and a gradient of 1 at every step."""
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = make_optimizer([weight], Optimisation("momentum", 0.1, weight_decay=0.5))
    w, v = 2.0, 0.0
    for _ in range(3):
        weight.grad = torch.ones(1)
        optimizer.step()
        v = 0.9 * v + 1 + 0.5 * w
        w -= 0.1 * v
        assert weight.item() == pytest.approx(w)


def test_every_optimizer_that_may_be_named_is_there() -> None:
    for name in OPTIMIZERS:
        made = make_optimizer([torch.nn.Parameter(torch.zeros(1))], Optimisation(name, 0.25))
        assert made.param_groups[0]["lr"] == 0.25


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'momentum'"):
        Optimisation("momentun")
