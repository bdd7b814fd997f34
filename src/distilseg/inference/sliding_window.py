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
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError, unknown
from ..functional.windows import AxisWindow, axis_windows, window_steps
from .averaging import Activation, Average, check_averaging, logits_of_mean, to_average
from .inferer import Network
from .mirroring import mean_over_flips

Blend = Literal["gaussian", "constant"]


@dataclass(frozen=True)
class SlidingWindow:
    """(image [B M *S], network) -> logits [B K *S], float32; any size, 2D or 3D."""

    patch: tuple[int, ...]  # voxels
    overlap: float = 0.25  # least share of a patch that its neighbour sees too
    blend: Blend = "gaussian"
    batch: int = 4  # patches in one pass of the network
    mirror: bool | tuple[int, ...] = False  # average over flips of all axes, or of these
    stride: tuple[int, ...] | None = None  # voxels from one window to the next, in place of the overlap
    average: Average = "logits"
    activation: Activation = "softmax"  # what makes probabilities of logits; sigmoid for regions

    def __post_init__(self) -> None:
        if not self.patch or min(self.patch) < 1:
            raise UserError(
                f"a sliding window cannot have the patch {list(self.patch)}", "give voxels from 1"
            )
        if not 0 <= self.overlap < 1:
            raise UserError(
                f"windows cannot overlap by {self.overlap}", "give a share in [0, 1), such as 0.25"
            )
        if self.blend not in get_args(Blend):
            raise unknown("blend of windows", self.blend, get_args(Blend))
        check_averaging(self.average, self.activation)
        if len(self.strides) != len(self.patch) or not all(
            1 <= step <= size for step, size in zip(self.strides, self.patch, strict=True)
        ):
            raise UserError(
                f"windows of {list(self.patch)} voxels cannot stand {list(self.strides)} apart",
                "give a stride for each axis, from 1 to the patch's voxels",
            )
        if self.batch < 1:
            raise UserError(f"a pass of {self.batch} patches is none", "give a batch of 1 or more")
        if strange := [axis for axis in self.mirrored_axes if not 0 <= axis < len(self.patch)]:
            raise UserError(
                f"there is no axis {strange[0]} to mirror", f"a patch has axes 0 to {len(self.patch) - 1}"
            )

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels from one window to the next, at most, along each axis."""
        return window_steps(self.patch, self.overlap, self.stride)

    @property
    def mirrored_axes(self) -> tuple[int, ...]:
        """Axes of space that are flipped."""
        if isinstance(self.mirror, bool):
            return tuple(range(len(self.patch))) if self.mirror else ()
        return tuple(self.mirror)

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
