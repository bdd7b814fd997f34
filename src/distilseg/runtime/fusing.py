"""How the logits of several views become one answer, voxel by voxel: `inference/fusion.py` on NumPy.

`Fusing` adds views up and scores the sum; `vote` is what no sum can say.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blocks import Volume
from .inferers import logits_of_mean, to_average
from .label_export import Classes, Part, interpolated, likeliest, whole_axis


@dataclass(frozen=True)
class Fusing:
    """The way of some views to answer as one."""

    how: str
    threshold: float
    regions: tuple[bool, ...]  # of each view, whether its logits are of regions
    heads: int  # of a view's logits, or of organs
    organ_of: tuple[int, ...] = ()  # of each view, where views are of one organ each
    paints: tuple[int, ...] = ()  # of regions

    def add(self, view: int, logits_KS: Volume, to_KS: Volume) -> None:
        """Adds a view's probabilities; its logits are overwritten."""
        p_KS = self.probabilities(view, logits_KS)
        if self.how == "organs":
            to_KS[self.organ_of[view]] += p_KS[-1]
        else:
            to_KS += p_KS

    def probabilities(self, view: int, logits_KS: Volume) -> Volume:
        """Of logits, which are overwritten."""
        activation = "sigmoid" if self.regions[view] else "softmax"
        p_KS: Volume = to_average(logits_KS[None], "probabilities", activation)[0]
        return p_KS

    def mean(self, sum_KS: Volume) -> Volume:
        """Of a sum of all views, which is overwritten."""
        counts = np.full(len(sum_KS), len(self.regions))
        if self.how == "organs":
            counts = np.bincount(self.organ_of, minlength=self.heads)
        sum_KS /= counts.astype(np.float32).reshape(-1, *[1] * (sum_KS.ndim - 1))
        return sum_KS

    def scores(self, mean_KS: Volume) -> Volume:
        """Logits of which the highest, or of regions those above 0, are the answer; overwrites the mean."""
        if self.how == "organs":
            threshold_S = np.full_like(mean_KS[:1], self.threshold)
            return logits_of_mean(np.concatenate([threshold_S, mean_KS]), "probabilities", "softmax")
        if self.regions[0]:
            at = self.threshold if self.how == "threshold" else 0.5
            return logits_of_mean(mean_KS, "probabilities", "sigmoid") - np.float32(np.log(at / (1 - at)))
        if self.how == "threshold":
            mean_KS[0] = self.threshold
        return logits_of_mean(mean_KS, "probabilities", "softmax")

    def fused(self, views: Sequence[Volume]) -> Volume:
        """Of a vote the logits of each view, [V K *S]; else the scores [K *S]. The logits are overwritten."""
        if self.how == "vote":
            return np.stack(views)
        total_KS = np.zeros((self.heads, *views[0].shape[1:]), np.float32)
        for view, logits_KS in enumerate(views):
            self.add(view, logits_KS, total_KS)
        return self.scores(self.mean(total_KS))

    def voted(self, coarse_VKs: Volume, parts: Sequence[Part]) -> Classes:
        """The label export of a vote, of a piece."""
        said = [self.said(coarse_Ks, parts) for coarse_Ks in coarse_VKs]
        if all(np.array_equal(said[0], one) for one in said[1:]):
            return self.painted(said[0])
        total_Ks = np.zeros(coarse_VKs.shape[1:], np.float32)
        for view, coarse_Ks in enumerate(coarse_VKs):
            self.add(view, coarse_Ks.copy(), total_Ks)
        return self.counted(said, self.mean(total_Ks), parts)

    def said(self, coarse_Ks: Volume, parts: Sequence[Part]) -> Classes:
        """What a view says in a piece: its classes, or its regions, each a bit."""
        shape = [len(part.lower) for part in parts]
        if not self.regions[0]:
            return np.broadcast_to(likeliest(coarse_Ks, parts), shape)
        bits = np.zeros(shape, np.min_scalar_type(2 ** len(coarse_Ks) - 1))
        for r, coarse_s in enumerate(coarse_Ks):
            if coarse_s.max() > 0:
                bits |= (interpolated(coarse_s, parts) > 0).astype(bits.dtype) << bits.dtype.type(r)
        return bits

    def counted(self, said: Sequence[Classes], mean_Ks: Volume, parts: Sequence[Part]) -> Classes:
        """The class that most views say, of their mean probability the highest of equals; of regions each."""
        if not self.regions[0]:
            return vote(said, mean_Ks, parts)
        bits = np.zeros_like(said[0])
        for r, p_s in enumerate(mean_Ks):
            masks = [self._region(one, r) for one in said]
            bits |= vote(masks, np.stack([1 - p_s, p_s]), parts).astype(bits.dtype) << bits.dtype.type(r)
        return self.painted(bits)

    def painted(self, said: Classes) -> Classes:
        """Class indices of what views say."""
        if not self.regions[0]:
            return said
        classes = np.zeros(said.shape, np.uint8)
        for r, k in enumerate(self.paints):
            classes[self._region(said, r) > 0] = k
        return classes

    @staticmethod
    def _region(bits: Classes, r: int) -> Classes:
        return ((bits >> bits.dtype.type(r)) & bits.dtype.type(1)).astype(np.uint8)


def vote(label_maps: Sequence[Classes], mean_KS: Volume, parts: Sequence[Part] | None = None) -> Classes:
    """As `distilseg.inference.fusion.vote`; `parts` say where in the mean they lie, else all over it."""
    fused = label_maps[0].copy()
    differing = np.any([labels != fused for labels in label_maps[1:]], axis=0)
    if not differing.any():
        return fused
    if parts is None:
        parts = [whole_axis(*sizes) for sizes in zip(mean_KS.shape[1:], fused.shape, strict=True)]
    said_VN = np.stack([labels[differing] for labels in label_maps])
    votes_VN = np.stack([(said_VN == own).sum(0) for own in said_VN])
    p_VN = np.take_along_axis(_at(mean_KS, differing, parts), said_VN.astype(np.intp), 0)
    # Half a probability never outweighs a vote.
    winners_N = (votes_VN + p_VN / 2).argmax(0)
    fused[differing] = np.take_along_axis(said_VN, winners_N[None], 0)[0]
    return fused


def _at(maps_KS: Volume, there_S: NDArray[np.bool_], parts: Sequence[Part]) -> Volume:
    """[K N]: maps on a grid of their own, linearly interpolated at the N voxels of a mask."""
    places = there_S.nonzero()
    ends = []  # of each axis, for each voxel: the coarse voxels at either side, each with its share
    for part, place in zip(parts, places, strict=True):
        weight = part.weight[place]
        ends.append(((part.lower[place], 1 - weight), (part.upper[place], weight)))
    found = np.zeros((len(maps_KS), len(places[0])), np.float32)
    for corner in itertools.product(*ends):
        share = reduce(np.multiply, [weight for _, weight in corner])
        if share.any():
            there: tuple[Any, ...] = (slice(None), *(index for index, _ in corner))
            found += maps_KS[there] * share
    return found
