"""Dice and cross-entropy: worked by hand, transcribed to NumPy, and against MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss

from distilseg.functional.segmentation import cross_entropy, dice_cross_entropy, one_hot, soft_dice


def example(shape: tuple[int, ...] = (2, 3, 4, 5, 6), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, shape[1], (shape[0], 1, *shape[2:]))
    return torch.tensor(3 * rng.normal(size=shape)), torch.tensor(label, dtype=torch.uint8)


def numpy_dice_cross_entropy(z: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Spec section 2, DCE: one case, class and voxel at a time where that is what the equation says."""
    exp = np.exp(z - z.max(1, keepdims=True))
    P = exp / exp.sum(1, keepdims=True)
    Y = np.stack([label[:, 0] == k for k in range(z.shape[1])], 1).astype(float)
    dice = []
    for b in range(z.shape[0]):
        for k in range(z.shape[1]):
            overlap, sizes = (P[b, k] * Y[b, k]).sum(), P[b, k].sum() + Y[b, k].sum()
            dice.append(1 - (2 * overlap + 1e-5) / (sizes + 1e-5))
    true_class = np.take_along_axis(P, label.astype(int), 1)
    return float(np.mean(dice)), float(-np.log(true_class).mean())


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (1, 2, 7, 3), (3, 5, 11)])
def test_equals_the_equation_in_numpy(shape: tuple[int, ...]) -> None:
    logits, label = example(shape)
    dice, entropy = numpy_dice_cross_entropy(logits.numpy(), label.numpy())
    hot = one_hot(label, shape[1], like=logits)
    assert soft_dice(logits.softmax(1), hot).item() == pytest.approx(dice, abs=1e-14)
    assert cross_entropy(logits.log_softmax(1), hot).item() == pytest.approx(entropy, abs=1e-14)
    assert dice_cross_entropy(logits, label).item() == pytest.approx(dice + entropy, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_monai(dtype: torch.dtype) -> None:
    logits, label = example()
    ours, theirs = (logits.to(dtype).requires_grad_() for _ in range(2))
    loss, reference = (
        dice_cross_entropy(ours, label),
        DiceCELoss(to_onehot_y=True, softmax=True)(theirs, label),
    )
    torch.testing.assert_close(loss, reference)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_two_voxels_by_hand() -> None:
    # P(class 1) is 3/4 at the first voxel, 1/2 at the second; the label is 1 then 0.
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]], dtype=torch.float64)
    label = torch.tensor([[[1, 0]]])
    # class 0: overlap 1/2, sizes 3/4 + 1;  class 1: overlap 3/4, sizes 5/4 + 1
    dice = ((1 - 1 / 1.75) + (1 - 1.5 / 2.25)) / 2
    entropy = (math.log(4 / 3) + math.log(2)) / 2
    assert dice_cross_entropy(logits, label).item() == pytest.approx(dice + entropy, abs=1e-5)


def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_almost_one_dice() -> None:
    label = torch.tensor([[[0, 0, 1, 1]]])
    right = 100 * one_hot(label, 2, like=torch.zeros(1, dtype=torch.float64))
    assert dice_cross_entropy(right, label).item() == pytest.approx(0, abs=1e-12)
    hot = one_hot(label, 2, like=right)
    assert soft_dice(right.flip(1).softmax(1), hot).item() == pytest.approx(1, abs=1e-5)


def test_a_class_absent_from_both_counts_as_perfect() -> None:
    label = torch.zeros(1, 1, 5, dtype=torch.long)
    logits = torch.tensor([200.0, 0.0, 0.0], dtype=torch.float64)[None, :, None].expand(1, 3, 5)
    assert dice_cross_entropy(logits, label).item() == pytest.approx(0, abs=1e-12)


def test_one_hot_made_once_gives_the_same() -> None:
    logits, label = example()
    hot = one_hot(label, 3, like=logits)
    assert torch.equal(dice_cross_entropy(logits, label, one_hot_BKS=hot), dice_cross_entropy(logits, label))
    assert torch.equal(hot.argmax(1, keepdim=True), label.long())
    assert torch.equal(hot.sum(1), torch.ones_like(hot[:, 0]))


def test_gradient() -> None:
    logits, label = example((2, 3, 2, 3))
    assert torch.autograd.gradcheck(lambda z: dice_cross_entropy(z, label), logits.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_judged_in_float32(dtype: torch.dtype) -> None:
    logits, label = example()
    rounded = logits.to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        loss = dice_cross_entropy(rounded, label)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, dice_cross_entropy(rounded.float(), label), rtol=0, atol=0)


def test_extreme_logits_stay_finite() -> None:
    label = torch.tensor([[[0, 1]]])
    logits = torch.tensor([[[-1e4, 1e4], [1e4, -1e4]]]).requires_grad_()
    loss = dice_cross_entropy(logits, label)
    loss.backward()
    assert loss.item() == pytest.approx(2e4 + 1)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(-50, 50))
def test_a_constant_added_to_all_classes_changes_nothing(seed: int, classes: int, constant: float) -> None:
    logits, label = example((1, classes, 3, 4), seed)
    torch.testing.assert_close(
        dice_cross_entropy(logits + constant, label), dice_cross_entropy(logits, label)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_voxels_does_not_matter(seed: int) -> None:
    logits, label = example((2, 3, 12), seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(12))
    shuffled = dice_cross_entropy(logits[..., order], label[..., order])
    torch.testing.assert_close(shuffled, dice_cross_entropy(logits, label))


def test_impossible_labels_are_refused_with_their_values() -> None:
    logits, label = example()
    with pytest.raises(ValueError, match="class indices 0 to 7; 3 classes allow 0 to 2"):
        dice_cross_entropy(logits, torch.where(label == 2, 7, label))
    with pytest.raises(ValueError, match=r"a label is \[B 1 \*S\], this one is \(2, 4, 5, 6\)"):
        dice_cross_entropy(logits, label[:, 0])
