"""The loss of Swin-Unet's and MISSFormer's recipes, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distilseg.functional.squared_dice import squared_dice_cross_entropy


def test_equals_the_equation_in_numpy() -> None:
    random = np.random.default_rng(0)
    logits, label = random.normal(size=(2, 3, 4, 5)), random.integers(0, 3, (2, 4, 5))
    e = np.exp(logits)
    p = e / e.sum(1, keepdims=True)
    entropy = -np.mean([np.log(p[b, label[b, i, j], i, j]) for b, i, j in np.ndindex(2, 4, 5)])
    dice = 0.0
    for k in range(3):
        q, y = p[:, k], (label == k).astype(float)
        dice += (1 - (2 * (q * y).sum() + 1e-5) / ((q * q).sum() + (y * y).sum() + 1e-5)) / 3
    found = squared_dice_cross_entropy(torch.tensor(logits), torch.tensor(label)[:, None])
    assert found.item() == pytest.approx(0.4 * entropy + 0.6 * dice, rel=1e-12)


def test_a_sure_and_right_answer_costs_nothing() -> None:
    label = torch.tensor([[[[0, 1], [2, 0]]]])
    logits = torch.zeros(1, 4, 2, 2).scatter_(1, label, 50.0)  # class 3 is absent and not predicted
    assert squared_dice_cross_entropy(logits, label).item() == pytest.approx(0, abs=1e-5)
