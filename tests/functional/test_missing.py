"""A channel that holds NaN is a modality that is missing; training loses some at random, never all."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from distilseg.functional.missing import present_modalities, random_subset


def test_any_nan_in_a_channel_makes_it_missing() -> None:
    image = torch.zeros(2, 3, 4, 4, 4)
    image[0, 1] = torch.nan
    image[1, 2, 3, 0, 1] = torch.nan  # one voxel is enough
    image[1, 0, 0, 0, 0] = torch.inf  # not NaN
    assert present_modalities(image).tolist() == [[True, False, True], [True, True, False]]


@pytest.mark.parametrize("present", [p for p in product([False, True], repeat=3) if any(p)])
def test_a_subset_is_never_empty_and_never_invents(present: tuple[bool, ...]) -> None:
    torch.manual_seed(0)
    of_case = torch.tensor([present] * 500)
    kept = random_subset(of_case)
    assert not (kept & ~of_case).any()
    assert kept.any(1).all()
    assert len({tuple(row) for row in kept.tolist()}) == 2 ** sum(present) - 1  # each subset occurs


def test_sizes_are_drawn_uniformly_then_modalities() -> None:
    torch.manual_seed(0)
    kept = random_subset(torch.ones(30_000, 4, dtype=torch.bool))
    shares = torch.bincount(kept.sum(1), minlength=5) / len(kept)
    # The standard deviation of a share of 1/4 in 30,000 draws is 0.0025.
    torch.testing.assert_close(shares, torch.tensor([0, 0.25, 0.25, 0.25, 0.25]), atol=0.0125, rtol=0)
    alone = kept[kept.sum(1) == 1].float().mean(0)
    torch.testing.assert_close(alone, torch.full((4,), 0.25), atol=0.025, rtol=0)


def test_the_draw_is_that_of_the_global_seed_on_every_device() -> None:
    present = torch.ones(8, 4, dtype=torch.bool)
    torch.manual_seed(7)
    a = random_subset(present)
    after = torch.rand(())
    torch.manual_seed(7)
    assert torch.equal(random_subset(present), a)
    torch.manual_seed(7)
    assert random_subset(present.to("meta")).is_meta
    assert torch.rand(()) == after  # elsewhere as many numbers were drawn, from the same generator


def test_a_case_with_nothing_keeps_nothing() -> None:
    assert not random_subset(torch.zeros(5, 3, dtype=torch.bool)).any()
