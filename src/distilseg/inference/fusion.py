"""Several answers about one volume made one: of three views of it, or of a model for each organ.

    vote        every voxel gets the class that most views give it; between equals decides the mean
    mean        p = 1 / V · Σ_v p_v, and the class of the highest p
    threshold   the class of the highest p among the structures with p above the threshold, else background
    organs      models of one organ each: the organ of the highest p above the threshold, else background

after Thickened 2D Networks (Yu et al.), whose views are slices along each axis. There the masks of three
views are voted upon, and where a view is missing, because its model failed, the probabilities of those left
are averaged. Of two views a vote is the mean: where they differ they are equals.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..functional.fusions import check_fusion


def fuse(views: Sequence[Tensor | None], how: str = "vote", *, threshold: float = 0.5) -> Tensor:
    """Class indices [*S], uint8, of views: their probabilities [K *S] on one grid, None where one is missing.

    Of `organs` these are [*S] each, the probability of that organ; organ o becomes o + 1.
    """
    check_fusion(how, threshold)
    there = [view for view in views if view is not None]
    if not there:
        raise ValueError("no view is there to fuse")
    if how == "organs":
        scores = organ_scores(there, threshold)
    elif how == "vote" and len(there) == len(views):
        return vote([view.argmax(0).to(torch.uint8) for view in there], mean_of(there))
    else:
        scores = mean_of(there)
        scores = thresholded(scores, threshold) if how == "threshold" else scores
    return scores.argmax(0).to(torch.uint8)


def mean_of(views: Sequence[Tensor]) -> Tensor:
    """The mean of maps of one shape, float32, by a running sum."""
    total = views[0].float().clone()
    for view in views[1:]:
        total += view
    return total.div_(len(views))


def thresholded(mean_KS: Tensor, threshold: float) -> Tensor:
    """[K *S] of which the argmax is the most probable structure above the threshold, else background."""
    return torch.cat([torch.full_like(mean_KS[:1], threshold), mean_KS[1:]])


def organ_scores(organs: Sequence[Tensor], threshold: float) -> Tensor:
    """[1 + O *S] of which the argmax is the most confident organ above the threshold, else 0."""
    return torch.stack([torch.full_like(organs[0], threshold), *organs])


def vote(label_maps: Sequence[Tensor], mean_KS: Tensor) -> Tensor:
    """The class [*S] that most of the label maps [*S] of class indices give each voxel.

    Between classes of equally many votes decides `mean_KS`, the mean probability [K *s], interpolated
    linearly where it is on a coarser or finer grid of the same extent.
    """
    fused = label_maps[0].clone()
    differing = torch.zeros_like(fused, dtype=torch.bool)
    for labels in label_maps[1:]:
        differing |= labels != fused
    if not differing.any():
        return fused
    said_VN = torch.stack([labels[differing] for labels in label_maps]).long()
    votes_VN = torch.stack([(said_VN == own).sum(0) for own in said_VN])
    p_VN = _at(mean_KS, differing).gather(0, said_VN)
    # Half a probability never outweighs a vote.
    winners_N = (votes_VN + p_VN / 2).argmax(0)
    fused[differing] = said_VN.gather(0, winners_N[None])[0].to(fused.dtype)
    return fused


def _at(maps_KS: Tensor, there_S: Tensor) -> Tensor:
    """[K N]: maps on a grid of their own, linearly interpolated at the N voxels of a mask."""
    shape = tuple(there_S.shape)
    if tuple(maps_KS.shape[1:]) == shape:
        return maps_KS[:, there_S]
    places = there_S.nonzero()
    sizes = torch.tensor(shape, device=places.device)
    centres = (places + 0.5) / sizes * 2 - 1  # -1 and 1 are the edges of the volume
    lines = centres.flip(1).to(maps_KS.dtype).view(1, *[1] * (len(shape) - 1), len(places), len(shape))
    found = F.grid_sample(maps_KS[None], lines, padding_mode="border", align_corners=False)
    return found.reshape(len(maps_KS), len(places))
