"""Binary cross-entropy and Dice over classes or regions: saturated logits, masks, and a region alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distilseg.functional.binary import dice_and_binary_cross_entropy, hard_labels, region_masks

REGIONS = ((1, 2), (2,))


def test_masks_of_overlapping_regions() -> None:
    label = torch.tensor([[[0, 1, 2]]])
    masks = region_masks(label, REGIONS, like=torch.zeros(1))
    assert masks.tolist() == [[[0, 1, 1], [0, 0, 1]]]


def test_hard_labels() -> None:
    logits = torch.tensor([[[3.0, -1.0], [2.0, -0.5]]])  # two voxels, two channels
    assert hard_labels(logits, "softmax").tolist() == [[[1, 0], [0, 1]]]
    assert hard_labels(logits, "sigmoid").tolist() == [[[1, 0], [1, 0]]]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_finite_with_usable_gradients_where_logits_are_saturated(activation: str, dtype: torch.dtype) -> None:
    logits = torch.tensor([[[60.0, -60.0, 0.0], [-60.0, 60.0, 0.0]]], dtype=dtype, requires_grad=True)
    target = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]])
    loss = dice_and_binary_cross_entropy(logits, target, target, activation)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    assert gradient.isfinite().all()
    assert gradient[0, 0, 2] < 0 < gradient[0, 1, 2]


def test_a_perfect_answer_costs_nothing() -> None:
    target = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]])
    logits: Tensor = (target * 2 - 1) * 40
    for activation in ("softmax", "sigmoid"):
        loss = dice_and_binary_cross_entropy(logits, target, target, activation)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(0, abs=1e-5)
