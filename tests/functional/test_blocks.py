"""By blocks equals repeating every coarse voxel and comparing at full resolution; so do the gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from distilseg.functional.blocks import (
    are_nested,
    block_dice_cross_entropy,
    block_divergence,
    block_mean,
    block_means,
    repeated,
)
from distilseg.functional.divergence import soft_label_divergence
from distilseg.functional.segmentation import dice_cross_entropy, one_hot

# The finest is the patch; halved, halved along some axes, thirds.
GRIDS = [[(8,), (4,), (1,)], [(6, 8), (6, 4), (2, 4)], [(4, 8, 8), (4, 4, 4), (2, 4, 2), (1, 2, 1)]]


def logits(grid: Sequence[int], seed: int, classes: int = 3) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(2, classes, *grid, dtype=torch.float64, generator=made).mul_(3).requires_grad_()


def same(ours: Callable[[], Tensor], direct: Callable[[], Tensor], leaves: Sequence[Tensor]) -> None:
    """In value and in gradient."""
    values, gradients = [], []
    for loss in (ours, direct):
        value = loss()
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value, list(leaves)))
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-14)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("grids", GRIDS, ids=str)
@pytest.mark.parametrize("teacher", [0, 1, -1])
@pytest.mark.parametrize("include_background", [True, False])
def test_divergence(grids: list[tuple[int, ...]], teacher: int, include_background: bool) -> None:
    maps = [logits(grid, seed, classes=4) for seed, grid in enumerate(grids)]
    students = [n for n in range(len(maps)) if n != teacher % len(maps)]
    how = {"temperature": 2.5, "include_background": include_background}
    same(
        lambda: block_divergence([maps[n] for n in students], maps[teacher], **how),
        lambda: soft_label_divergence(
            [repeated(maps[n], grids[0]) for n in students], repeated(maps[teacher], grids[0]), **how
        ),
        maps,
    )
    assert block_divergence([maps[0]], maps[0]).item() == pytest.approx(0, abs=1e-14)


def test_divergence_of_grids_that_cross() -> None:
    """Each is the finer along an axis of its own."""
    one, other = logits((8, 2), 0), logits((4, 4), 1)
    same(
        lambda: block_divergence([one], other, 3.0),
        lambda: soft_label_divergence([repeated(one, (8, 4))], repeated(other, (8, 4)), 3.0),
        [one, other],
    )


@pytest.mark.parametrize("grids", GRIDS, ids=str)
def test_dice_cross_entropy(grids: list[tuple[int, ...]]) -> None:
    """One class is absent, where the term that keeps Dice finite decides."""
    patch = grids[0]
    label = torch.randint(0, 2, (2, 1, *patch), generator=torch.Generator().manual_seed(5))
    hot = one_hot(label, 3, like=torch.zeros(1, dtype=torch.float64))
    shares = block_means(hot, grids)
    for seed, grid in enumerate(grids):
        z = logits(grid, seed)
        block = hot[0, 0].numel() // z[0, 0].numel()
        same(
            lambda z=z, grid=grid, block=block: block_dice_cross_entropy(z, shares[grid], block),  # type: ignore[misc]
            lambda z=z: dice_cross_entropy(repeated(z, patch), label),  # type: ignore[misc]
            [z],
        )


def test_at_full_resolution_it_is_the_loss_itself() -> None:
    student, teacher = logits((4, 6), 0), logits((4, 6), 1)
    label = torch.randint(0, 3, (2, 1, 4, 6))
    hot = one_hot(label, 3, like=student)
    assert block_mean(hot, (4, 6)) is hot
    torch.testing.assert_close(
        block_divergence([student], teacher, 3.0), soft_label_divergence([student], teacher, 3.0)
    )
    assert torch.equal(block_dice_cross_entropy(student, hot, 1), dice_cross_entropy(student, label))


def test_block_means_by_hand_and_each_from_the_finer_one() -> None:
    map_ = torch.arange(16.0).view(1, 1, 4, 4)
    means = block_means(map_, [(1, 1), (2, 2), (2, 4)])
    assert means[2, 2].tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert means[2, 4].tolist() == [[[[2, 3, 4, 5], [10, 11, 12, 13]]]]
    assert means[1, 1].item() == 7.5
    uneven = block_means(torch.arange(6.0).view(1, 1, 6), [(3,), (2,)])
    assert uneven[2,].tolist() == [[[1, 4]]]  # no mean of three is one of two
    assert are_nested([(2, 3), (4, 1), (8, 6)])
    assert not are_nested([(6,), (3,), (2,)])
