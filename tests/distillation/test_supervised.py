"""The control's objective is one term."""

from __future__ import annotations

import pytest
import torch

from distilseg.distillation import Combined, Supervised
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.types import Batch, Outputs


def example() -> tuple[dict[str, Outputs], Batch]:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    return {"student": Outputs(logits)}, Batch(
        torch.randn(2, 1, 4, 4, 4), torch.randint(0, 3, (2, 1, 4, 4, 4))
    )


def test_one_term_and_its_weight() -> None:
    outputs, batch = example()
    losses = Supervised(weights={"seg": 2.0})(outputs, batch)
    expected = dice_cross_entropy(outputs["student"].logits, batch.label)
    assert losses.terms.keys() == {"seg"}
    assert torch.equal(losses.terms["seg"], expected)
    assert torch.equal(losses.total, 2 * expected)


def test_it_needs_no_feature_and_learns_nothing_itself() -> None:
    method = Supervised()
    assert method.roles["student"].taps == ()
    assert not list(method.parameters())


def test_a_weight_may_follow_the_progress() -> None:
    outputs, batch = example()
    method = Supervised(weights={"seg": lambda progress: 1 - progress})
    start, end = method(outputs, batch, 0.25).total, method(outputs, batch, 1.0).total
    assert start.item() == pytest.approx(0.75 * method(outputs, batch).terms["seg"].item())
    assert end.item() == 0


def test_a_sum_of_methods_keeps_their_terms_apart() -> None:
    outputs, batch = example()
    both = Combined(first=Supervised(), second=Supervised(weights={"seg": 0.5}))
    losses = both(outputs, batch)
    assert losses.terms.keys() == {"first/seg", "second/seg"}
    assert losses.total.item() == pytest.approx(1.5 * losses.terms["first/seg"].item())


def test_nothing_to_learn_is_an_error() -> None:
    outputs, batch = example()
    with pytest.raises(ValueError, match="every term has weight 0"):
        Supervised(weights={"seg": 0})(outputs, batch)
