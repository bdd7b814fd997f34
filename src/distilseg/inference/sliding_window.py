"""Sliding window: overlapping patches over the volume, blended into one map of logits.

    logits(x) = sum_p w_p(x) network(image[p])(x),    sum_p w_p(x) = 1

Patches stand on a grid, evenly spaced, and a weight is a product of one factor per axis (constant, or a
Gaussian of sigma = patch / 8 as in nnU-Net; Isensee et al., 2021). The sum to 1 can therefore be had on each
axis alone: no map of weights is kept beside the logits, and nothing is divided at the end. A volume that fits
into the patch is one pass of the network, its weights all 1.

A volume smaller than the patch is padded by replicating its edges, as the training patches are.

`stride` says in voxels how far apart windows stand at most, axis by axis, in place of `overlap`;
`average="probabilities"` blends those, and returns the logits of what comes out (`averaging`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..functional.window_options import SlidingWindowOptions
from ..functional.windows import AxisWindow, axis_windows
from .averaging import logits_of_mean, to_average
from .inferer import Network
from .mirroring import mean_over_flips


class SlidingWindow(SlidingWindowOptions):
    """(image [B M *S], network) -> logits [B K *S], float32; any size, 2D or 3D."""

    def __call__(self, image: Tensor, network: Network) -> Tensor:
        shape = tuple(image.shape[2:])
        if len(shape) != len(self.patch):
            raise ValueError(
                f"a patch of {len(self.patch)} axes for an image [B M *S] of {list(image.shape)}"
            )
        padded, inner = _padded(image, self.patch)
        axes = [
            axis_windows(size, patch, step, self.blend)
            for size, patch, step in zip(padded.shape[2:], self.patch, self.strides, strict=True)
        ]
        places = [(case, place) for case in range(len(image)) for place in itertools.product(*axes)]
        if len(places) == len(image):
            return mean_over_flips(padded, network, self.mirrored_axes).float()[inner]
        whole: Tensor | None = None
        for first in range(0, len(places), self.batch):
            here = places[first : first + self.batch]
            patches = [padded[case][_box(place)] for case, place in here]
            answers = mean_over_flips(torch.stack(patches), network, self.mirrored_axes)
            logits = to_average(answers, self.average, self.activation)
            if whole is None:
                size = (len(image), logits.shape[1], *padded.shape[2:])
                whole = torch.zeros(size, dtype=torch.float32, device=logits.device)
            for (case, place), part in zip(here, logits, strict=True):
                whole[case][_box(place)].addcmul_(part, _weight_P(place).to(part.device))
        assert whole is not None
        return logits_of_mean(whole, self.average, self.activation)[inner]


def _box(place: Sequence[AxisWindow]) -> tuple[slice, ...]:
    return (slice(None), *(window.voxels for window in place))


def _weight_P(place: Sequence[AxisWindow]) -> Tensor:
    """A patch's share at each of its voxels, [*P]."""
    product, *others = (torch.from_numpy(window.weight) for window in place)
    for weight in others:
        product = product[..., None] * weight
    return product


def _padded(image: Tensor, patch: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """The image grown to at least the patch, and where it lies in the result."""
    lacking = [max(0, p - size) for p, size in zip(patch, image.shape[2:], strict=True)]
    grown = zip(lacking, image.shape[2:], strict=True)
    inner = (slice(None), slice(None), *(slice(more // 2, more // 2 + size) for more, size in grown))
    if not any(lacking):
        return image, inner
    ends = [end for more in reversed(lacking) for end in (more // 2, more - more // 2)]
    return F.pad(image, ends, mode="replicate"), inner
