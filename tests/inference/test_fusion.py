"""Views made one, by hand: votes, equals, missing views, thresholds, and organs of models of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distilseg.errors import UserError
from distilseg.inference.fusion import fuse, vote


def view(*voxels: tuple[float, ...]) -> Tensor:
    """Probabilities [K N 1 1]."""
    return torch.tensor(voxels).T[:, :, None, None]


def flat(labels: Tensor) -> list[int]:
    assert labels.dtype == torch.uint8
    return labels.flatten().tolist()


def test_majority_against_the_mean() -> None:
    """Two views are just for the structure, one is sure of background."""
    views = [view((0.45, 0.55)), view((0.45, 0.55)), view((0.99, 0.01))]
    assert flat(fuse(views, "vote")) == [1]
    assert flat(fuse(views, "mean")) == [0]
    assert flat(fuse(views, "threshold", threshold=0.3)) == [1]


def test_between_equals_decides_the_mean() -> None:
    # First voxel: three opinions, the second view is the surest. Second: two for 2 against one for 1.
    # Third: each view names another; nobody's class 3 has the highest mean and is no candidate.
    views = [
        view((0.5, 0.3, 0.2, 0.0), (0.0, 0.4, 0.6, 0.0), (0.4, 0.2, 0.0, 0.4 - 1e-3)),
        view((0.1, 0.9, 0.0, 0.0), (0.0, 0.4, 0.6, 0.0), (0.2, 0.5, 0.0, 0.4)),
        view((0.2, 0.2, 0.6, 0.0), (0.0, 1.0, 0.0, 0.0), (0.1, 0.1, 0.41, 0.4)),
    ]
    assert flat(fuse(views, "vote")) == [1, 2, 1]
    assert flat(fuse(views, "mean")) == [1, 1, 3]


def test_equals_among_four_views() -> None:
    """2 : 2; a class with one vote is out, however probable."""
    sure, unsure = (0.0, 0.1, 0.9), (0.0, 0.6, 0.4)
    assert flat(fuse([view(sure), view(sure), view(unsure), view(unsure)])) == [2]
    assert flat(fuse([view((0.9, 0.1, 0.0))] * 1 + [view((0.3, 0.4, 0.3))] * 2)) == [1]


def test_a_missing_view_leaves_the_mean_of_the_others() -> None:
    views = [view((0.45, 0.55)), view((0.45, 0.55)), view((0.99, 0.01)), None]
    assert flat(fuse(views, "vote")) == [0]
    assert flat(fuse([None, view((0.2, 0.8)), None])) == [1]
    with pytest.raises(ValueError, match="no view"):
        fuse([None, None])


@pytest.mark.parametrize("seed", range(3))
def test_a_vote_of_two_is_their_mean(seed: int) -> None:
    torch.manual_seed(seed)
    views = [torch.rand(1, 4, 5, 6), torch.rand(1, 4, 5, 6)]
    both = [torch.cat([1 - p, p]) for p in views]
    assert torch.equal(fuse(both, "vote"), fuse(both, "mean"))


@pytest.mark.parametrize("seed", range(3))
def test_three_masks_are_their_median(seed: int) -> None:
    torch.manual_seed(seed)
    p_V = torch.rand(3, 4, 5, 6)
    fused = fuse([torch.stack([1 - p, p]) for p in p_V])
    assert torch.equal(fused, (p_V.median(0).values > 0.5).to(torch.uint8))


def test_the_threshold_is_for_every_structure() -> None:
    views = [view((0.4, 0.35, 0.25), (0.1, 0.5, 0.4), (0.5, 0.1, 0.4))]
    assert flat(fuse(views, "threshold", threshold=0.45)) == [0, 1, 0]
    assert flat(fuse(views, "threshold", threshold=0.3)) == [1, 1, 2]


def test_each_voxel_takes_the_most_confident_organ() -> None:
    artery = torch.tensor([0.9, 0.6, 0.2, 0.51])
    vein = torch.tensor([0.8, 0.7, 0.4, 0.0])
    duct = torch.tensor([0.1, 0.65, 0.45, 0.0])
    assert flat(fuse([artery, vein, duct], "organs")) == [1, 2, 0, 1]
    assert flat(fuse([artery, vein, duct], "organs", threshold=0.42)) == [1, 2, 3, 1]


@pytest.mark.parametrize("shape", [(7, 9, 5), (12, 4, 9)])
def test_equals_on_another_grid_than_the_probabilities(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    mean_KS = torch.rand(3, 6, 5, 4)
    fine = F.interpolate(mean_KS[None], shape, mode="trilinear", align_corners=False)[0]
    maps = [torch.full(shape, k, dtype=torch.uint8) for k in range(3)]
    assert torch.equal(vote(maps, mean_KS), fine.argmax(0).to(torch.uint8))
    assert torch.equal(vote(maps[1:], mean_KS), fine[1:].argmax(0).to(torch.uint8) + 1)


def test_views_that_agree_need_no_probability() -> None:
    labels = torch.randint(0, 3, (4, 5, 6), dtype=torch.uint8)
    fused = vote([labels, labels.clone()], torch.full((3, 1, 1, 1), torch.nan))
    assert torch.equal(fused, labels)
    assert fused is not labels


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"how": "votes"}, "unknown way to fuse 'votes'; did you mean 'vote'"),
        ({"how": "threshold", "threshold": 1.0}, "no probability"),
    ],
)
def test_mistakes_are_named(told: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fuse([view((0.5, 0.5))], **told)
